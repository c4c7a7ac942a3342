use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::answer;
use super::body::SiteBody;
use super::live::LiveRelease;
use super::page;
use super::sites::{Sites, host_of};
use super::stall::Stall;

/// For the head of a request; so also how long a connection may idle between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// For running requests when the server stops.
const GRACE: Duration = Duration::from_secs(10);
/// Connections at once to a candidate: only checks come there.
const CANDIDATE: usize = 64;
/// The head of a request, in bytes.
const MAX_HEAD: usize = 32 << 10;
/// After accepting failed, because no descriptor is free for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// That all connections are taken is told again after this time.
const AGAIN: Duration = Duration::from_secs(60);

/// Serves the live sites over HTTP/1.1 until `stop` is cancelled. Then no connection is accepted any more, idle ones
/// are closed, and running requests get 10 s to end. It has at most so many `connections` at once; more wait to be
/// accepted.
///
/// A crash in it breaks running connections and nothing else.
pub async fn serve(listener: TcpListener, sites: Sites, connections: usize, stop: CancellationToken) {
    serve_with(listener, sites, connections, stop).await;
}

/// Finds the release that answers a request.
trait Resolve: Clone + Send + Sync + 'static {
    fn resolve(&self, request: &Request<Incoming>) -> Result<Arc<LiveRelease>, Box<Response<SiteBody>>>;
}

impl Resolve for Sites {
    fn resolve(&self, request: &Request<Incoming>) -> Result<Arc<LiveRelease>, Box<Response<SiteBody>>> {
        let host = host_of(request).ok_or_else(|| Box::new(page::no_host()))?;
        self.by_host(&host).ok_or_else(|| Box::new(page::unknown_host(&host)))
    }
}

/// One release, whatever the host.
#[derive(Clone)]
struct Always(Arc<LiveRelease>);

impl Resolve for Always {
    fn resolve(&self, _: &Request<Incoming>) -> Result<Arc<LiveRelease>, Box<Response<SiteBody>>> {
        Ok(self.0.clone())
    }
}

/// A socket that connections come from.
trait Accept: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;
    async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;
    async fn accept(&self) -> io::Result<UnixStream> {
        Ok(UnixListener::accept(self).await?.0)
    }
}

/// Serves one candidate, for checks, until `stop` is cancelled.
pub(crate) async fn serve_candidate(listener: UnixListener, live: Arc<LiveRelease>, stop: CancellationToken) {
    serve_with(listener, Always(live), CANDIDATE, stop).await;
}

/// A place among those that are served at once; a word where all are taken.
async fn slot(
    slots: &Arc<Semaphore>,
    most: usize,
    told: &mut Option<Instant>,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(slot) = slots.clone().try_acquire_owned() {
        return Some(slot);
    }
    if told.is_none_or(|told| told.elapsed() > AGAIN) {
        *told = Some(Instant::now());
        tracing::warn!("all {most} connections to the sites are taken; more wait to be accepted");
    }
    // Never closed, so this waits and does not fail.
    slots.clone().acquire_owned().await.ok()
}

async fn serve_with<L: Accept>(listener: L, resolver: impl Resolve, most: usize, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(most));
    let mut told = None;
    let connections = TaskTracker::new();
    loop {
        let accepted = async {
            let slot = slot(&slots, most, &mut told).await;
            (slot, listener.accept().await)
        };
        tokio::select! {
            () = stop.cancelled() => break,
            (slot, accepted) = accepted => match accepted {
                Ok(stream) => {
                    let work = connection(stream, resolver.clone(), stop.clone());
                    connections.spawn(async move {
                        work.await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the sites could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection<S>(stream: S, resolver: impl Resolve, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let found = resolver.resolve(&request);
        async move {
            Ok::<_, Infallible>(match found {
                Ok(live) => answer(&live, &request).await,
                Err(response) => *response,
            })
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Stall::new(stream)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(GRACE, connection).await {
                Ok(ended) => ended,
                Err(_) => return tracing::warn!("a request to the sites did not end in time and was cut off"),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the sites broke");
    }
}
