//! What hangs on what: the manifests and blobs that a set of manifests needs.

use std::collections::BTreeSet;
use std::io;

use dhow_core::noun::Digest;

use super::disk::Disk;
use super::path::RepositoryPath;

/// Everything that was reached in one repository.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    pub manifests: BTreeSet<Digest>,
    pub blobs: BTreeSet<Digest>,
}

/// Whether manifests that name a reached one as their subject are reached too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Referrers {
    Follow,
    Ignore,
}

/// Follows indexes to their manifests, manifests to their blobs, and subjects to their referrers. Ends on cycles.
pub(crate) fn reach(
    disk: &Disk,
    repository: &RepositoryPath,
    roots: impl IntoIterator<Item = Digest>,
    referrers: Referrers,
) -> io::Result<Reach> {
    let mut reached = Reach::default();
    let mut open: Vec<Digest> = roots.into_iter().collect();
    while let Some(digest) = open.pop() {
        if reached.manifests.contains(&digest) {
            continue;
        }
        let Some(stored) = disk.manifest(repository, &digest)? else { continue };
        reached.manifests.insert(digest);
        let manifest = stored.parse()?;
        reached.blobs.extend(manifest.blobs().map(|blob| blob.digest));
        for child in manifest.children() {
            reached.blobs.insert(child.digest);
            open.push(child.digest);
        }
        if referrers == Referrers::Follow {
            open.extend(disk.referrers(repository, &digest)?);
        }
    }
    Ok(reached)
}
