//! The embedded registry: the OCI distribution specification 1.1 at `/v2/`, over a folder on disk.
//!
//! Nothing is held in memory but a chunk of what passes through. What the folder looks like, and what a crash does to it,
//! is told in `disk`.

mod auth;
mod collect;
mod disk;
mod event;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod in_use;
mod path;
mod reach;
mod refusal;
mod route;
mod upload;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::routing::any;
use dhow_file::Buffers;
use tokio::sync::RwLock;

pub use auth::{Action, Authorizer, Decision, Open, Presented};
pub use collect::{CollectError, Collected, LEAST_AGE};
pub use event::{Silent, TagListener, TagWritten};
pub use in_use::{InUse, InUseUnknown, NothingInUse};

/// Where the registry keeps its content and how much it takes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder; made where it is missing. One process at a time may use it.
    pub root: PathBuf,
    /// Largest blob, in bytes.
    pub max_blob: u64,
    /// Largest manifest, in bytes.
    pub max_manifest: usize,
    /// Most uploads open at once.
    pub max_uploads: usize,
    /// An upload's request that brings nothing for this long is ended; what came is kept.
    pub idle: Duration,
}

impl Settings {
    /// The defaults: blobs of 20 GiB, manifests of 4 MiB, 1,000 uploads, 60 s without a byte.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            max_blob: 20 << 30,
            max_manifest: 4 << 20,
            max_uploads: 1000,
            idle: Duration::from_secs(60),
        }
    }
}

/// The registry. Clones share it.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Arc<disk::Disk>,
    buffers: Buffers,
    uploads: upload::Uploads,
    settings: Settings,
    authorizer: Arc<dyn Authorizer>,
    in_use: Arc<dyn InUse>,
    listener: Arc<dyn TagListener>,
    /// Held for reading by whatever adds content, for writing by the collector.
    gate: Arc<RwLock<()>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl Registry {
    /// Opens the folder and removes uploads that were idle for a day. Blocks for as long as that takes.
    ///
    /// # Errors
    /// The folder cannot be made or read; the error names the path.
    pub fn open(
        settings: Settings,
        authorizer: Arc<dyn Authorizer>,
        in_use: Arc<dyn InUse>,
        listener: Arc<dyn TagListener>,
    ) -> io::Result<Self> {
        let disk = Arc::new(disk::Disk::open(&settings.root)?);
        let limits =
            upload::Limits { bytes: settings.max_blob, uploads: settings.max_uploads, idle: settings.idle };
        let uploads = upload::Uploads::new(&disk, limits);
        uploads.remove_stale(&disk, SystemTime::now())?;
        let gate = Arc::default();
        Ok(Self {
            inner: Arc::new(Inner {
                disk,
                buffers: Buffers::default(),
                uploads,
                settings,
                authorizer,
                in_use,
                listener,
                gate,
            }),
        })
    }
}

/// The routes `/v2`, `/v2/` and all below. To be merged into a listener's router; sets no limits on the body's size or on
/// the request's time, so none may lie around it.
pub fn router(registry: Registry) -> Router {
    Router::new()
        .route("/v2", any(route::base))
        .route("/v2/", any(route::base))
        .route("/v2/{*rest}", any(route::resource))
        .with_state(registry)
}

/// Runs what blocks on the disk where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
