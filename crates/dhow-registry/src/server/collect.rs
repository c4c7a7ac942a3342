//! Removes what nobody needs.
//!
//! Kept: what a tag names, what is in use, what was pushed or asked for lately, everything these refer to, and the
//! referrers of all that. A push cannot lose its blobs: uploading, mounting and asking for one makes it young, writing a
//! manifest makes young what it names, and while the collector works no push may finish a blob or write a manifest.
//! Killed half-way it has removed some of what may go; the next time it removes the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, SystemTime};

use dhow_core::noun::Digest;
use thiserror::Error;

use super::disk::{BLOBS, Disk, MANIFESTS, names_in};
use super::in_use::{InUse, InUseUnknown};
use super::path::RepositoryPath;
use super::reach::{Reach, Referrers, reach};
use super::{Registry, blocking};

/// The least age at which content is collected, whatever the caller says: no push takes longer between two requests.
pub const LEAST_AGE: Duration = Duration::from_secs(60 * 60);

/// What went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Manifests that left their repository.
    pub manifests: u64,
    /// Blobs that left their repository.
    pub blobs: u64,
    /// Files of content that were deleted, because no repository has them any more.
    pub files: u64,
    /// What these held, in bytes.
    pub bytes: u64,
    /// Uploads that were idle for a day.
    pub uploads: u64,
}

/// Why nothing, or not everything, was collected. Nothing that is needed was removed.
#[derive(Debug, Error)]
pub enum CollectError {
    /// Nothing was removed.
    #[error("nothing was collected: {0}")]
    InUse(#[from] InUseUnknown),
    /// The disk failed half-way.
    #[error("the registry's content cannot be collected: {0}; check the disk, it is tried again next time")]
    Disk(#[from] io::Error),
}

impl Registry {
    /// Removes content that nothing tags, nothing uses, and that is older than `older_than` at `now` (at least
    /// [`LEAST_AGE`]). May run at any time, beside pushes and pulls.
    pub async fn collect(
        &self,
        in_use: &dyn InUse,
        older_than: Duration,
        now: SystemTime,
    ) -> Result<Collected, CollectError> {
        let inner = self.inner.clone();
        let gate = inner.gate.clone().write_owned().await;
        let used: BTreeSet<Digest> = in_use.digests().await?.into_keys().collect();
        let before = now.checked_sub(older_than.max(LEAST_AGE)).unwrap_or(SystemTime::UNIX_EPOCH);
        let collected = blocking(move || {
            let _gate = gate;
            let mut collected = sweep(&inner.disk, &used, before)?;
            collected.uploads = inner.uploads.remove_stale(&inner.disk, now)?;
            Ok(collected)
        })
        .await?;
        Ok(collected)
    }
}

fn sweep(disk: &Disk, used: &BTreeSet<Digest>, before: SystemTime) -> io::Result<Collected> {
    let mut collected = Collected::default();
    let mut linked = BTreeSet::new();
    for repository in disk.repositories()? {
        let kept = keep(disk, &repository, used, before)?;
        for digest in disk.digests(&repository, MANIFESTS)? {
            if kept.manifests.contains(&digest) {
                linked.insert(digest);
                continue;
            }
            unlink_manifest(disk, &repository, &digest)?;
            collected.manifests += 1;
        }
        for digest in disk.digests(&repository, BLOBS)? {
            let link = disk.link(&repository, BLOBS, &digest);
            let needed = kept.blobs.contains(&digest) || used.contains(&digest);
            if needed || is_young(disk, &link, before)? {
                linked.insert(digest);
                continue;
            }
            collected.blobs += u64::from(disk.remove(&link)?);
        }
    }
    sweep_content(disk, &linked, before, &mut collected)?;
    Ok(collected)
}

fn is_young(disk: &Disk, path: &std::path::Path, before: SystemTime) -> io::Result<bool> {
    Ok(disk.modified(path)?.is_some_and(|modified| modified >= before))
}

fn keep(
    disk: &Disk,
    repository: &RepositoryPath,
    used: &BTreeSet<Digest>,
    before: SystemTime,
) -> io::Result<Reach> {
    let mut roots = BTreeSet::new();
    for tag in disk.tags(repository)? {
        roots.extend(disk.tag(repository, &tag)?);
    }
    for digest in disk.digests(repository, MANIFESTS)? {
        if used.contains(&digest) || is_young(disk, &disk.link(repository, MANIFESTS, &digest), before)? {
            roots.insert(digest);
        }
    }
    reach(disk, repository, roots, Referrers::Follow)
}

/// Takes a manifest out of its repository: the mark at its subject first, then the link.
pub(crate) fn unlink_manifest(disk: &Disk, repository: &RepositoryPath, digest: &Digest) -> io::Result<bool> {
    let subject = match disk.manifest(repository, digest)? {
        Some(stored) => stored.parse()?.subject,
        None => None,
    };
    if let Some(subject) = subject {
        disk.remove(&disk.referrer(repository, &subject.digest, digest))?;
    }
    disk.remove(&disk.link(repository, MANIFESTS, digest))
}

fn sweep_content(
    disk: &Disk,
    linked: &BTreeSet<Digest>,
    before: SystemTime,
    collected: &mut Collected,
) -> io::Result<()> {
    for folder in names_in(&disk.content_root())? {
        for hex in names_in(&disk.content_root().join(folder))? {
            let Ok(digest) = format!("sha256:{hex}").parse::<Digest>() else { continue };
            let path = disk.content(&digest);
            if linked.contains(&digest) || is_young(disk, &path, before)? {
                continue;
            }
            let size = std::fs::metadata(&path).map(|metadata| metadata.len()).unwrap_or(0);
            if disk.remove(&path)? {
                collected.files += 1;
                collected.bytes += size;
            }
        }
    }
    Ok(())
}

/// Why `digest` may not leave `repository`: itself in use, or part of a manifest that is.
pub(crate) async fn why_kept(
    registry: &Registry,
    repository: &RepositoryPath,
    digest: Digest,
) -> Result<Option<String>, super::refusal::Refusal> {
    let in_use = &registry.inner.in_use;
    if let Some(reason) = in_use.why(repository.as_str(), &digest).await? {
        return Ok(Some(reason));
    }
    let used: BTreeMap<Digest, String> = in_use.digests().await?;
    let (disk, repository) = (registry.inner.disk.clone(), repository.clone());
    let holder = blocking(move || {
        for (root, reason) in used {
            let reached = reach(&disk, &repository, [root], Referrers::Ignore)?;
            if reached.blobs.contains(&digest) || reached.manifests.contains(&digest) {
                return Ok(Some(format!("part of {root}, {reason}")));
            }
        }
        Ok(None)
    })
    .await?;
    Ok(holder)
}
