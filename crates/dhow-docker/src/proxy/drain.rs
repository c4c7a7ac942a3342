//! Waiting for what is still open to upstreams that were taken out.

use std::net::SocketAddr;
use std::time::Duration;

use dhow_core::port::Executor;
use tokio::time::{Instant, sleep};

use super::error::ProxyError;
use super::{Proxy, sockets};

/// Time between two counts.
const PAUSE: Duration = Duration::from_millis(200);

/// An upstream that gets no new request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// Its address, as the proxy reaches it.
    pub address: SocketAddr,
    /// Its container, where it is one.
    pub inside: Option<Inside>,
}

/// A container at its own place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inside {
    /// A process of it, as the place numbers them.
    pub pid: u32,
    /// An address of its own, with the port that takes the requests.
    pub address: SocketAddr,
}

/// Whose kernels know of connections.
#[derive(Clone, Copy)]
pub struct Kernels<'a> {
    /// The proxy's place.
    pub proxy: &'a dyn Executor,
    /// The upstreams' place.
    pub own: &'a dyn Executor,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// How long it took.
    pub waited: Duration,
    /// Requests, WebSockets and connections that are still open, and are cut when the upstream stops; `None` where
    /// neither the proxy nor the place could say, and the whole time was waited.
    pub open: Option<u64>,
}

/// Waits until nothing is open to these upstreams, WebSockets included, for at most `limit`. Changes nothing: may be
/// repeated, and cut off at any time.
///
/// Nothing is open where the proxy counts no request and the kernel no connection. The proxies' own idle connections are
/// no longer than two seconds (`idle` in their files), so that they are not waited for in vain.
pub async fn drain(
    proxy: &dyn Proxy,
    kernels: Kernels<'_>,
    leaving: &[Leaving],
    limit: Duration,
) -> Result<Drained, ProxyError> {
    let started = Instant::now();
    loop {
        let mut open = Some(0);
        for upstream in leaving {
            let requests = proxy.open(upstream.address).await?;
            let connections = sockets::open(kernels, upstream).await?;
            // Neither knows of everything: the larger one is nearer.
            open = open.zip(requests.max(connections)).map(|(sum, more)| sum + more);
        }
        let waited = started.elapsed();
        if open == Some(0) || waited >= limit {
            return Ok(Drained { waited, open });
        }
        sleep(PAUSE.min(limit - waited)).await;
    }
}
