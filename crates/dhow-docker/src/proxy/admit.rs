//! The door: an upstream that takes no connection is never added.

use std::net::SocketAddr;
use std::time::Duration;

use dhow_core::port::Executor;
use futures::future::try_join_all;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::ProxyError;

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(3);
/// Over a forward, a refusal shows only after the connection: as its end. A server that waits for a request says nothing.
const LISTEN: Duration = Duration::from_millis(300);

/// Makes sure that each of these takes a connection at the executor's place. No request is sent. `NotListening` names the
/// first that does not.
pub async fn admit(executor: &dyn Executor, upstreams: &[SocketAddr]) -> Result<(), ProxyError> {
    try_join_all(upstreams.iter().map(|address| one(executor, *address))).await?;
    Ok(())
}

async fn one(executor: &dyn Executor, address: SocketAddr) -> Result<(), ProxyError> {
    let here = executor.forward_tcp(address).await?;
    let refused = |reason: String| ProxyError::NotListening { address: address.to_string(), reason };
    let mut stream = match timeout(CONNECT, TcpStream::connect(here)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(refused(error.to_string())),
        Err(_) => return Err(refused(format!("no answer in {CONNECT:?}"))),
    };
    if here == address {
        return Ok(());
    }
    match timeout(LISTEN, stream.read(&mut [0; 1])).await {
        Err(_) | Ok(Ok(1..)) => {}
        Ok(Ok(0)) => return Err(refused("it hung up at once".into())),
        Ok(Err(error)) => return Err(refused(error.to_string())),
    }
    Ok(())
}
