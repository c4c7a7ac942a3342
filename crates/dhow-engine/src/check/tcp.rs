//! A TCP connection as a check.

use std::net::SocketAddr;

use dhow_core::port::CheckAddress;

use super::answer::Deadline;
use super::connect::connect;

/// Succeeds once connected. `port` replaces the address's own; a unix socket has none to replace.
pub(super) async fn probe(
    address: &CheckAddress,
    port: Option<u16>,
    deadline: Deadline,
) -> Result<(), String> {
    let address = match (address, port) {
        (CheckAddress::Tcp(own) | CheckAddress::Tls(own), Some(port)) => {
            &CheckAddress::Tcp(SocketAddr::new(own.ip(), port))
        }
        (own, _) => own,
    };
    connect(address, deadline).await.map(drop)
}
