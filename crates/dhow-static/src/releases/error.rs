use std::io;
use std::path::{Path, PathBuf};

use dhow_core::noun::{DeploymentId, Digest};
use thiserror::Error;

use crate::manifest::InvalidOptions;
use crate::unpack::UnpackError;

/// What can go wrong with releases on disk.
#[derive(Debug, Error)]
pub enum ReleaseError {
    /// The content was refused, or could not be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The options do not fit the content.
    #[error(transparent)]
    Options(#[from] InvalidOptions),
    /// A release that is needed is not there.
    #[error("{deployment} has no release {}; prepare it first", hash.short())]
    NotPrepared {
        /// Whose.
        deployment: DeploymentId,
        /// Which.
        hash: Digest,
    },
    /// A manifest that cannot be used.
    #[error("the manifest {} is damaged: {problem}; prepare the release again", path.display())]
    Manifest {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// `current` is not the symlink that this program writes.
    #[error("{} is no link to a release; somebody else wrote it. Move it away, then deploy again", path.display())]
    ForeignCurrent {
        /// Where it lies.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("could not {action} {}: {source}", path.display())]
    Disk {
        /// What was tried: `create`, `read`, `rename`, ...
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The thread that did the work died.
    #[error("the thread that works on the disk ended early: {0}")]
    Worker(String),
}

pub(super) fn disk_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ReleaseError {
    let path = path.to_owned();
    move |source| ReleaseError::Disk { action, path, source }
}
