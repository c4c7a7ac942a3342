//! Connections as the kernel of a place counts them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use dhow_core::port::{Command, Executor, ExecutorError};

use super::drain::{Inside, Kernels, Leaving};

/// State of a connection that both sides hold open.
const ESTABLISHED: &str = "01";

/// The connections of every network that a process of the place is in: a proxy in a container has one of its own. The
/// kernel numbers the files of each network anew, so that each is read once.
const NETWORKS: &str = r#"stat -c '%i %n' /proc/[0-9]*/net/tcp 2>/dev/null | sort -u -k1,1 |
while read -r _ file; do cat "$file" "${file}6" 2>/dev/null; done; :"#;

/// Connections that are open to an upstream: those that came into its container's network from elsewhere; where that cannot
/// be looked into, or the process is not the container's (an engine may number processes otherwise), those that leave any
/// network of the proxy's place for it. `None` where neither place shows them.
pub(super) async fn open(kernels: Kernels<'_>, leaving: &Leaving) -> Result<Option<u64>, ExecutorError> {
    if let Some(Inside { pid, address }) = leaving.inside {
        let inside = text(kernels.own, &format!("/proc/{pid}/net")).await?;
        if has(&inside, address.ip()) {
            // What the container says to itself is no visitor's.
            let came = |(local, remote): (SocketAddr, SocketAddr)| {
                let itself = remote.ip().to_canonical().is_loopback() && !address.ip().is_loopback();
                local.port() == address.port() && !itself
            };
            return Ok(count(&inside, came));
        }
    }
    let leads = |(_, remote): (SocketAddr, SocketAddr)| remote == leaving.address;
    let own = count(&text(kernels.proxy, "/proc/net").await?, leads);
    if own.is_some_and(|open| open > 0) {
        return Ok(own);
    }
    let mut command = Command::new(["sh", "-c", NETWORKS]);
    command.limit = Duration::from_secs(10);
    let all = kernels.proxy.run(&command, &()).await?;
    Ok(count(&String::from_utf8_lossy(&all.stdout), leads).or(own))
}

/// A network's connections and its own addresses, as the kernel writes them.
async fn text(executor: &dyn Executor, folder: &str) -> Result<String, ExecutorError> {
    let files = ["tcp", "tcp6", "fib_trie", "if_inet6"].map(|file| format!("{folder}/{file}"));
    let mut command = Command::new(["cat".to_owned()].into_iter().chain(files));
    command.limit = Duration::from_secs(10);
    // Without IPv6 some are not there, and the exit code is 1.
    Ok(String::from_utf8_lossy(&executor.run(&command, &()).await?.stdout).into_owned())
}

/// Whether the network has this address.
fn has(network: &str, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let line = format!("|-- {address}");
            network.lines().any(|known| known.trim_end().ends_with(&line))
        }
        IpAddr::V6(address) => {
            let digits = format!("{:032x}", u128::from(address));
            network.lines().any(|known| known.starts_with(&digits))
        }
    }
}

fn count(network: &str, counts: impl Fn((SocketAddr, SocketAddr)) -> bool) -> Option<u64> {
    let connections = network.lines().filter_map(established).filter(|both| counts(*both)).count();
    network.contains("local_address").then_some(connections as u64)
}

/// Both ends of a connection that is open.
fn established(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut words = line.split_whitespace().skip(1);
    let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
    (state == ESTABLISHED).then_some((end(local)?, end(remote)?))
}

/// `0100007F:1F90`: each group of 32 bits in the order of the machine.
fn end(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for group in ip.as_bytes().chunks(8) {
        let group = u32::from_str_radix(std::str::from_utf8(group).ok()?, 16).ok()?;
        bytes.extend(group.to_ne_bytes());
    }
    let ip = match (<[u8; 4]>::try_from(bytes.as_slice()), <[u8; 16]>::try_from(bytes.as_slice())) {
        (Ok(bytes), _) => IpAddr::V4(Ipv4Addr::from(bytes)),
        (_, Ok(bytes)) => IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Reads any text as the kernel's.
#[cfg(feature = "fuzz")]
pub(super) fn fuzz(network: &str) {
    let lines = network.lines().count() as u64;
    assert!(count(network, |_| true).is_none_or(|open| open <= lines));
    let _ = (has(network, Ipv4Addr::LOCALHOST.into()), has(network, Ipv6Addr::LOCALHOST.into()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_connections_are_read_and_others_are_not() {
        let v4 = "   1: 0100007F:1F90 0200007F:C350 01 00000000:00000000 00:00000000 00000000     0 0 1";
        let (local, remote) = established(v4).unwrap();
        assert_eq!(
            (local.to_string(), remote.to_string()),
            ("127.0.0.1:8080".into(), "127.0.0.2:50000".into())
        );
        let mapped = "   0: 0000000000000000FFFF0000050011AC:0050 0000000000000000FFFF0000010011AC:C350 01 0";
        assert_eq!(established(mapped).unwrap().0.to_string(), "172.17.0.5:80");
        for other in
            ["   2: 0100007F:1F90 00000000:0000 0A 0", "  sl  local_address rem_address   st", "", "x y z"]
        {
            assert_eq!(established(other), None, "{other}");
        }
    }
}
