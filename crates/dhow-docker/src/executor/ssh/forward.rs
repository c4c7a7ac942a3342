//! Sockets here that lead to sockets there. What listens here is ours and stays, whatever becomes of the connection:
//! each caller is led through the connection of the moment.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use dhow_core::port::ExecutorError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::link::Link;

/// The forwards of one server.
pub(super) struct Forwards {
    way: Arc<Way>,
    open: Mutex<Open>,
}

/// What listens here; it ends with the executor.
#[derive(Default)]
struct Open {
    sockets: BTreeMap<String, PathBuf>,
    addresses: BTreeMap<SocketAddr, SocketAddr>,
    tasks: JoinSet<()>,
}

/// The way there, by the connection of the moment.
struct Way {
    link: Arc<Link>,
    /// What the connection of a generation leads to already.
    led: Mutex<Led>,
}

#[derive(Default)]
struct Led {
    paths: BTreeMap<String, (u64, PathBuf)>,
    count: u64,
}

impl Way {
    async fn connect(&self, to: &str) -> Result<UnixStream, ExecutorError> {
        let up = self.link.up().await?;
        let mut led = self.led.lock().await;
        let path = match led.paths.get(to) {
            Some((generation, path)) if *generation == up.generation => path.clone(),
            _ => {
                led.count += 1;
                let path = self.link.folder().join(format!("l{}", led.count));
                self.link.forward(&up, &path, to).await?;
                led.paths.insert(to.to_owned(), (up.generation, path.clone()));
                path
            }
        };
        drop(led);
        UnixStream::connect(&path).await.map_err(|error| ExecutorError::Unreachable {
            place: self.link.label().to_owned(),
            reason: format!("the way to {to} is broken: {error}"),
        })
    }

    async fn lead(self: Arc<Self>, mut from: impl AsyncRead + AsyncWrite + Unpin, to: String) {
        match self.connect(&to).await {
            // A caller that goes away in the middle is no news.
            Ok(mut there) => drop(tokio::io::copy_bidirectional(&mut from, &mut there).await),
            Err(error) => tracing::warn!(%error, "a connection to {to} was dropped"),
        }
    }
}

impl Forwards {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { way: Arc::new(Way { link, led: Mutex::default() }), open: Mutex::default() }
    }

    pub(super) async fn socket(&self, path: &str) -> Result<PathBuf, ExecutorError> {
        if path.contains(':') {
            return Err(ExecutorError::Refused(format!("{path} cannot be forwarded: its name has a colon")));
        }
        let mut open = self.open.lock().await;
        if let Some(here) = open.sockets.get(path) {
            return Ok(here.clone());
        }
        // Seen to work once, so that a trouble is told to whoever asks, and not to a caller of the socket.
        self.way.connect(path).await?;
        let here = self.way.link.folder().join(format!("s{}", open.sockets.len()));
        let listener = UnixListener::bind(&here).map_err(|error| self.cannot_listen(&error))?;
        let (way, to) = (Arc::clone(&self.way), path.to_owned());
        open.tasks.spawn(async move {
            let mut calls = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                calls.spawn(Arc::clone(&way).lead(stream, to.clone()));
                while calls.try_join_next().is_some() {}
            }
        });
        open.sockets.insert(path.to_owned(), here.clone());
        Ok(here)
    }

    pub(super) async fn tcp(&self, to: SocketAddr) -> Result<SocketAddr, ExecutorError> {
        let mut open = self.open.lock().await;
        if let Some(here) = open.addresses.get(&to) {
            return Ok(*here);
        }
        self.way.connect(&to.to_string()).await?;
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|e| self.cannot_listen(&e))?;
        let here = listener.local_addr().map_err(|error| self.cannot_listen(&error))?;
        let way = Arc::clone(&self.way);
        open.tasks.spawn(async move {
            let mut calls = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                calls.spawn(Arc::clone(&way).lead(stream, to.to_string()));
                while calls.try_join_next().is_some() {}
            }
        });
        open.addresses.insert(to, here);
        Ok(here)
    }

    fn cannot_listen(&self, error: &std::io::Error) -> ExecutorError {
        ExecutorError::Refused(format!("nothing can listen here for {}: {error}", self.way.link.label()))
    }
}
