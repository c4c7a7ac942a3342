//! Connections as the kernel of a place counts them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use dhow_core::port::{Command, Executor, ExecutorError};

/// State of a connection that both sides hold open.
const ESTABLISHED: &str = "01";

/// Connections that are open to an address: within the network of the process `pid`, those that came in at its port; else
/// those that leave the place's own network for it. `None` where the place does not show them.
pub(super) async fn open(
    executor: &dyn Executor,
    address: SocketAddr,
    pid: Option<u32>,
) -> Result<Option<u64>, ExecutorError> {
    let folder = pid.map_or("/proc/net".to_owned(), |pid| format!("/proc/{pid}/net"));
    let mut command = Command::new(["cat".to_owned(), format!("{folder}/tcp"), format!("{folder}/tcp6")]);
    command.limit = Duration::from_secs(10);
    let output = executor.run(&command, &()).await?;
    // Without IPv6 there is no second file, and an exit code of 1.
    let text = String::from_utf8_lossy(&output.stdout);
    if !text.contains("local_address") {
        return Ok(None);
    }
    let counts = |(local, remote): (SocketAddr, SocketAddr)| match pid {
        Some(_) => local.port() == address.port(),
        None => remote == address,
    };
    let count = text.lines().filter_map(established).filter(|both| counts(*both)).count();
    Ok(Some(count as u64))
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
