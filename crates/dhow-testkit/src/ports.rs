//! Ports for servers that must be told theirs before they listen.

use std::net::{IpAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range that the system gives to outgoing connections: none of these takes the port meanwhile.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;
/// Ports of one process begin this far from those of the next.
const SHARE: u32 = 97;

/// A port that nobody listens on at this address, and that this process gives nobody else.
///
/// # Panics
/// Where all of them are taken.
pub fn free_port(address: impl Into<IpAddr>) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let address = address.into();
    let begin = std::process::id().wrapping_mul(SHARE) % u32::from(COUNT);
    for _ in 0..COUNT {
        let at = (begin + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % u32::from(COUNT);
        let port = FIRST + u16::try_from(at).unwrap_or_default();
        if TcpListener::bind((address, port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {FIRST} on is free at {address}");
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn nobody_is_given_a_port_that_another_has() {
        let (one, other) = (free_port(Ipv4Addr::LOCALHOST), free_port(Ipv4Addr::LOCALHOST));
        assert_ne!(one, other);
        assert!((FIRST..FIRST + COUNT).contains(&one));
    }
}
