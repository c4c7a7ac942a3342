use std::collections::BTreeSet;
use std::fs;
use std::io;

use dhow_core::noun::{DeploymentId, Digest};
use serde::{Deserialize, Serialize};

use super::error::disk_error;
use super::{ReleaseError, Releases};
use crate::disk;

const NOTE: &str = "release.json";
/// One fixed name: what a crash leaves is written over by the next.
const HALF: &str = ".release.json";

/// What the target knows of a release beyond its files. It lies beside the manifest and goes with the release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The digests of the versions in it.
    pub pins: BTreeSet<Digest>,
    /// The hosts it is served for, beside the one that every deployment has.
    pub hosts: Vec<String>,
}

impl Releases {
    /// What was noted of a release; `None` where there is no note, or a damaged one. A crash in it changes nothing.
    pub async fn note(&self, id: &DeploymentId, hash: Digest) -> Result<Option<Note>, ReleaseError> {
        let id = id.clone();
        self.blocking(move |this| this.read_note(&id, hash)).await
    }

    /// Notes something of a release that is there, durably. The same note again writes nothing. A crash in it leaves
    /// the old note or the new one.
    pub async fn set_note(&self, id: &DeploymentId, hash: Digest, note: Note) -> Result<(), ReleaseError> {
        let id = id.clone();
        self.blocking(move |this| {
            if this.read_note(&id, hash)?.as_ref() == Some(&note) {
                return Ok(());
            }
            let dir = this.release_dir(&id, hash);
            let (half, path) = (dir.join(HALF), dir.join(NOTE));
            let json = serde_json::to_vec(&note)
                .map_err(|error| ReleaseError::Manifest { path: path.clone(), problem: error.to_string() })?;
            disk::remove_any(&half).map_err(disk_error("remove", &half))?;
            disk::write_synced(&half, &json).map_err(disk_error("write", &half))?;
            fs::rename(&half, &path).map_err(disk_error("rename", &path))?;
            disk::sync_dir(&dir).map_err(disk_error("flush", &dir))
        })
        .await
    }

    pub(super) fn read_note(&self, id: &DeploymentId, hash: Digest) -> Result<Option<Note>, ReleaseError> {
        let path = self.release_dir(id, hash).join(NOTE);
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disk_error("read", &path)(error)),
        }
    }
}
