//! The mirror: a bare repository below the state folder, read and written in process.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use dhow_core::port::{CommitId, FleetRepoError};
use gix::refs::transaction::PreviousValue;
use gix::sec::Trust;
use gix::{ObjectId, Repository, ThreadSafeRepository};

use crate::network::DISK;

/// The reference that holds the remote's head as it was last seen.
pub(crate) const HEAD: &str = "refs/dhow/head";

/// The mirror.
pub(crate) struct Mirror {
    path: PathBuf,
    config: Vec<String>,
    repo: RwLock<ThreadSafeRepository>,
}

impl Mirror {
    /// Creates the folder where there is none. A crash leaves either no mirror or a whole one.
    pub(crate) fn create(path: &Path) -> Result<(), FleetRepoError> {
        if path.join("HEAD").exists() {
            return Ok(());
        }
        let refused = |e: &dyn Display| {
            FleetRepoError::Refused(format!(
                "the mirror of the fleet cannot be created at {}: {e}",
                path.display()
            ))
        };
        if fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(refused(&"the folder is not empty and is no Git repository"));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let fresh = path.with_file_name(name);
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(|e| refused(&e))?;
        }
        fs::create_dir_all(&fresh).map_err(|e| refused(&e))?;
        init(&fresh).map_err(|e| refused(&e))?;
        fs::rename(&fresh, path).map_err(|e| refused(&e))
    }

    /// Opens the mirror, alone with it, with values of configuration (`key=value`) on top of its own.
    pub(crate) fn open(path: &Path, config: Vec<String>) -> Result<Self, FleetRepoError> {
        crate::leftovers::remove_locks(path).map_err(|e| damaged(path.display(), e))?;
        let repo = open(path, &config).map_err(|e| damaged(path.display(), e))?;
        Ok(Self { path: path.to_owned(), config, repo: RwLock::new(repo) })
    }

    /// A handle for this thread.
    pub(crate) fn repo(&self) -> Repository {
        self.shared().to_thread_local()
    }

    /// A handle that threads can share.
    pub(crate) fn shared(&self) -> ThreadSafeRepository {
        self.repo.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sees what another process brought.
    pub(crate) fn reopen(&self) -> Result<(), FleetRepoError> {
        let fresh = open(&self.path, &self.config).map_err(|e| damaged(self.path.display(), e))?;
        *self.repo.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The remote's head as it was last seen, with its commit at hand.
    pub(crate) fn head(&self) -> Result<Option<ObjectId>, FleetRepoError> {
        let repo = self.repo();
        let reference = repo.try_find_reference(HEAD).map_err(|e| damaged(HEAD, e))?;
        let id = reference.and_then(|r| r.try_id().map(gix::Id::detach));
        Ok(id.filter(|id| repo.find_commit(*id).is_ok()))
    }

    /// Remembers the remote's head.
    pub(crate) fn set_head(&self, commit: ObjectId) -> Result<(), FleetRepoError> {
        let repo = self.repo();
        repo.reference(HEAD, commit, PreviousValue::Any, "dhow").map_err(|e| damaged(HEAD, e))?;
        Ok(())
    }
}

/// A bare repository whose `HEAD` is the branch `main`.
pub(crate) fn init(path: &Path) -> gix::Result<ThreadSafeRepository> {
    let mut options = gix::open::Options::isolated().with(Trust::Full);
    options = options.config_overrides(["init.defaultBranch=main"]);
    let kind = gix::create::Kind::Bare;
    ThreadSafeRepository::init_opts(path, kind, gix::create::Options::default(), options)
}

fn open(path: &Path, config: &[String]) -> gix::Result<ThreadSafeRepository> {
    let options = gix::open::Options::isolated().with(Trust::Full).open_path_as_is(true);
    options.config_overrides(config.iter().map(String::as_str)).open(path)
}

/// The error for an object or a reference that cannot be read, or be written for want of room.
pub(crate) fn damaged(what: impl Display, error: impl Display) -> FleetRepoError {
    let said = format!("{what}: {error}");
    match DISK.iter().any(|sign| said.contains(sign)) {
        true => FleetRepoError::Disk(said),
        false => FleetRepoError::Damaged(said),
    }
}

/// Git's form of a commit id.
pub(crate) fn object_id(commit: &CommitId) -> Result<ObjectId, FleetRepoError> {
    ObjectId::from_hex(commit.as_str().as_bytes()).map_err(|e| damaged(commit, e))
}

/// Our form of a commit id.
pub(crate) fn commit_id(id: impl Into<ObjectId>) -> Result<CommitId, FleetRepoError> {
    CommitId::new(id.into().to_string()).map_err(|e| damaged("a commit", e))
}

/// The tree of a commit's folder; `None` where the folder is not.
pub(crate) fn folder_of(
    repo: &Repository,
    commit: ObjectId,
    folder: &str,
) -> Result<Option<ObjectId>, FleetRepoError> {
    let tree = repo
        .find_commit(commit)
        .and_then(|c| c.tree())
        .map_err(|e| damaged(format!("commit {commit}"), e))?;
    if folder.is_empty() {
        return Ok(Some(tree.id));
    }
    let entry = tree.lookup_entry(folder.split('/').map(str::as_bytes)).map_err(|e| damaged(folder, e))?;
    Ok(entry.filter(|e| e.mode().is_tree()).map(|e| e.object_id()))
}
