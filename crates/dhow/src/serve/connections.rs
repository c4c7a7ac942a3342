//! How many connections are served at once: what comes from outside never takes the descriptors that the work needs.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::serve::Listener;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Files that may be open at once, where the system lets us have so many.
const FILES: u64 = 65_536;
/// Most connections to the sites.
const SITES: u64 = 4096;
/// Most connections to the API and the registry.
const API: u64 = 1024;
/// Most files of sites that stay open.
const OPEN: u64 = 256;
/// Fewer make no server.
const LEAST: u64 = 16;
/// After accepting failed, because no descriptor is free for example.
const PAUSE: Duration = Duration::from_millis(100);
/// The other side of a connection on which nothing happens is asked for after this time: one that is gone frees its place.
const ALIVE: Duration = Duration::from_secs(60);
/// That all are taken is told again after this time.
const AGAIN: Duration = Duration::from_secs(60);

/// What may be open at once, by what it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// To the sites.
    pub sites: usize,
    /// To the API and the registry.
    pub api: usize,
    /// Big files of sites that stay open between two requests.
    pub open: usize,
}

/// Raises the process's limit of open files as far as the system lets us, and shares it: nearly half stays for the work.
pub fn shares() -> Shares {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(FILES).min(FILES);
    let has = limit.current.unwrap_or(FILES);
    if has >= most {
        return shares_of(has);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }) {
        Ok(()) => shares_of(most),
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays at {has}");
            shares_of(has)
        }
    }
}

fn shares_of(files: u64) -> Shares {
    // At most a quarter each, so that it fits.
    let share = |most: u64| usize::try_from((files / 4).clamp(LEAST, most)).unwrap_or(usize::MAX);
    let open = usize::try_from((files / 16).min(OPEN)).unwrap_or(0);
    Shares { sites: share(SITES), api: share(API), open }
}

/// A listener that has so many connections at once; more wait to be accepted.
#[derive(Debug)]
pub struct Bounded {
    listener: TcpListener,
    most: usize,
    slots: Arc<Semaphore>,
    told: Option<Instant>,
}

impl Bounded {
    /// At most so many connections of this listener.
    pub fn new(listener: TcpListener, most: usize) -> Self {
        Self { listener, most, slots: Arc::new(Semaphore::new(most)), told: None }
    }

    async fn slot(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some(slot);
        }
        if self.told.is_none_or(|told| told.elapsed() > AGAIN) {
            self.told = Some(Instant::now());
            tracing::warn!(
                "all {} connections to the API and the registry are taken; more wait to be accepted",
                self.most
            );
        }
        // Never closed, so this waits and does not fail.
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let slot = self.slot().await;
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    let there = TcpKeepalive::new().with_time(ALIVE);
                    if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&there) {
                        tracing::debug!(%error, "a connection is not looked after");
                    }
                    return (Connection { stream, _slot: slot }, from);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the API could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection, which frees its place when it ends.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    _slot: Option<OwnedSemaphorePermit>,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_half_of_the_descriptors_stay_for_the_work() {
        assert_eq!(shares_of(65_536), Shares { sites: 4096, api: 1024, open: 256 });
        assert_eq!(shares_of(1024), Shares { sites: 256, api: 256, open: 64 });
        assert_eq!(shares_of(0), Shares { sites: 16, api: 16, open: 0 });
    }

    #[tokio::test]
    async fn a_connection_more_is_accepted_when_another_has_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut bounded = Bounded::new(listener, 1);
        let _clients =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let (first, _) = bounded.accept().await;
        assert!(tokio::time::timeout(Duration::from_millis(50), bounded.accept()).await.is_err());
        drop(first);
        bounded.accept().await;
    }
}
