//! A release that is not live, at an address that only this process's user can reach.
//!
//! It is answered by the same code as the live sites, so that a check sees what visitors would see.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempPath;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::web::{LiveRelease, serve_candidate};

/// A socket's path must fit the system's address (108 bytes with its end on Linux, 104 elsewhere).
const MAX_PATH: usize = 100;
const RANDOM: usize = 12;
const ENDING: &str = ".sock";

/// A release served on a unix socket with a random name, whatever the request's host.
///
/// Dropping it stops serving and removes the socket. A crash leaves the socket's file, which nothing answers, for
/// [`Candidate::clean`].
#[derive(Debug)]
pub struct Candidate {
    path: TempPath,
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Candidate {
    /// Serves the release on a socket (mode 0600) in `dir`, which is made private (mode 0700). The socket accepts
    /// connections when this returns.
    ///
    /// # Errors
    /// The folder or the socket cannot be created, or the path is too long for a socket.
    pub async fn start(release: Arc<LiveRelease>, dir: &Path) -> io::Result<Self> {
        let length = dir.as_os_str().len() + 1 + RANDOM + ENDING.len();
        if length >= MAX_PATH {
            let message = format!(
                "the sockets of releases under check would have paths of {length} bytes in {}, and the system allows \
                 less than {MAX_PATH}; use a state folder with a shorter path",
                dir.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        fs::create_dir_all(dir)?;
        // The folder is closed before the socket is there, so that its mode is never too wide.
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        let socket = tempfile::Builder::new()
            .prefix("")
            .suffix(ENDING)
            .rand_bytes(RANDOM)
            .make_in(dir, |path| UnixListener::bind(path))?;
        let (listener, path) = socket.into_parts();
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve_candidate(listener, release, stop.clone()));
        Ok(Self { path, stop: stop.drop_guard(), task })
    }

    /// Where it is served.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the socket, lets running requests end, and returns when nothing of it is left.
    ///
    /// # Errors
    /// The socket could not be removed; it is served no longer all the same.
    pub async fn stop(self) -> io::Result<()> {
        let removed = self.path.close();
        drop(self.stop);
        self.task.await.map_err(io::Error::other)?;
        removed
    }

    /// Removes the sockets that a crashed process left in `dir`. It is fine if there is no such folder. Only for the
    /// start, when no candidate is served yet.
    pub fn clean(dir: &Path) -> io::Result<()> {
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let paths: Vec<PathBuf> =
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        for path in
            paths.iter().filter(|path| path.as_os_str().as_encoded_bytes().ends_with(ENDING.as_bytes()))
        {
            crate::disk::remove_any(path)?;
        }
        Ok(())
    }
}
