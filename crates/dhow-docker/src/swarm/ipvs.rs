//! Ports in ingress mode need IPVS in the kernel of every node that visitors come to.

use dhow_core::port::{Command, TargetError};

use crate::compose::site::Site;

/// Whether the kernel there has IPVS, loaded or to be loaded. What cannot be asked is taken for yes.
pub(super) async fn there(site: &Site) -> Result<bool, TargetError> {
    if site.run(&Command::new(["test", "-e", "/proc/net/ip_vs"])).await?.ok() {
        return Ok(true);
    }
    for program in ["modprobe", "/sbin/modprobe"] {
        match site.run(&Command::new([program, "--dry-run", "--quiet", "ip_vs"])).await {
            Ok(output) if output.ok() => return Ok(true),
            Ok(output) if output.code == Some(1) => return Ok(false),
            // No such program: the kernel has what it has.
            _ => {}
        }
    }
    Ok(false)
}

/// Why visitors do not reach a port.
pub(super) fn told(service: &str, port: i64) -> String {
    format!(
        "port {port} of {service} is published in ingress mode, and the kernel of this node has no IPVS, so nobody \
         reaches it: write `ports: [{{target: N, published: {port}, mode: host}}]` and `deploy: {{endpoint_mode: \
         dnsrr}}`, or load the module ip_vs"
    )
}
