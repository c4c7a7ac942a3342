use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use dhow_core::noun::{DeploymentId, Digest};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::error::disk_error;
use super::{Release, ReleaseError, Releases};
use crate::manifest::FileEntry;

/// How a release's files on disk differ from its manifest. All empty: they do not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// Files of the manifest that are not on disk as files.
    pub missing: Vec<String>,
    /// Files with other content.
    pub changed: Vec<String>,
    /// What is on disk and not in the manifest. The web server never serves it.
    pub extra: Vec<String>,
}

impl Drift {
    /// Whether the disk holds exactly what the manifest says.
    pub fn is_none(&self) -> bool {
        self.missing.is_empty() && self.changed.is_empty() && self.extra.is_empty()
    }
}

impl Releases {
    /// Reads every file of a release and compares it with the manifest. A crash in it changes nothing.
    ///
    /// # Errors
    /// The release is not there, or its manifest is damaged: no comparison is possible.
    pub async fn verify(&self, id: &DeploymentId, hash: Digest) -> Result<Drift, ReleaseError> {
        let id = id.clone();
        self.blocking(move |this| match this.read(&id, hash)? {
            Some(release) => compare(&release),
            None => Err(ReleaseError::NotPrepared { deployment: id, hash }),
        })
        .await
    }
}

fn compare(release: &Release) -> Result<Drift, ReleaseError> {
    let root = release.files_dir();
    let mut found = BTreeSet::new();
    if root.is_dir() {
        walk(&root, "", &mut found).map_err(disk_error("list", &root))?;
    }
    let mut drift = Drift::default();
    let mut buffer = vec![0; 64 << 10];
    for (path, entry) in &release.manifest.files {
        if !found.remove(path) {
            drift.missing.push(path.clone());
            continue;
        }
        let file = root.join(path);
        if !same(&file, entry, &mut buffer).map_err(disk_error("read", &file))? {
            drift.changed.push(path.clone());
        }
    }
    drift.extra = found.into_iter().collect();
    Ok(drift)
}

/// Collects the paths of all that is no folder. Follows no link.
fn walk(dir: &Path, prefix: &str, found: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{path}/"), found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}

fn same(path: &Path, entry: &FileEntry, buffer: &mut [u8]) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_file() || metadata.len() != entry.size {
        return Ok(false);
    }
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    loop {
        let read = file.read(buffer)?;
        if read == 0 {
            return Ok(Digest::from_bytes(hash.finalize().into()) == entry.sha256);
        }
        hash.update(&buffer[..read]);
    }
}
