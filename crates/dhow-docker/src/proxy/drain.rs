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
    /// Its address.
    pub address: SocketAddr,
    /// A process of its container: its network is asked then, else the place's.
    pub pid: Option<u32>,
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
    executor: &dyn Executor,
    leaving: &[Leaving],
    limit: Duration,
) -> Result<Drained, ProxyError> {
    let started = Instant::now();
    loop {
        let mut open = Some(0);
        for upstream in leaving {
            let requests = proxy.open(upstream.address).await?;
            let connections = sockets::open(executor, upstream.address, upstream.pid).await?;
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
