use std::collections::BTreeMap;

use dhow_core::fleet::{DesiredHash, Probe};
use dhow_core::noun::{DeploymentId, Digest};
use dhow_core::port::{Observed, Place, Rendered, TargetError};

use super::StaticTarget;
use super::body::{self, Body, Seen};
use crate::releases::Drift;

/// Files that a message names.
const NAMED: usize = 3;

impl StaticTarget {
    /// What is current on disk, and whether it is whole and served. Reads no file's content.
    pub(super) async fn observe_here(&self, id: &DeploymentId) -> Result<Observed, TargetError> {
        let current = self.releases.current(id).await.map_err(|error| self.failed(error))?;
        let releases = self.releases.list(id).await.map_err(|error| self.failed(error))?;
        let mut seen = Seen {
            live: self.sites.live(id).and_then(|live| body::hash(live.hash())),
            hosts: self.sites.hosts(id),
            releases: releases.into_iter().filter_map(body::hash).collect(),
            ..Seen::default()
        };
        let mut running = Default::default();
        if let Some(current) = current {
            seen.whole =
                self.releases.whole(id, current).await.map_err(|error| self.failed(error))?.is_some();
            let note = self.releases.note(id, current).await.map_err(|error| self.failed(error))?;
            running = note.unwrap_or_default().pins;
        }
        Ok(Observed {
            release: current.and_then(body::hash),
            present: current.is_some(),
            running,
            body: seen.value(),
        })
    }

    /// `GET /` is 200, where the release has an `index.html`, and where there is a web server to ask.
    pub(super) async fn index_probe(
        &self,
        rendered: &Rendered,
        hash: &DesiredHash,
    ) -> Result<Option<Probe>, TargetError> {
        let elsewhere = rendered.places.iter().any(|place| matches!(place, Place::Server(_)));
        if elsewhere && Body::of(rendered)?.front.is_none() {
            return Ok(None);
        }
        let release = self.prepared(rendered, body::digest(hash)?).await?;
        Ok(release.manifest.files.contains_key("index.html").then(|| Probe::Http {
            url: "http://{host}/".into(),
            status: 200,
            contains: None,
            headers: BTreeMap::new(),
        }))
    }

    /// The link, the web server and the content of every file say that this release runs.
    pub(super) async fn verify_here(&self, id: &DeploymentId, hash: Digest) -> Result<(), TargetError> {
        let current = self.releases.current(id).await.map_err(|error| self.failed(error))?;
        let live = self.sites.live(id).map(|live| live.hash());
        for (what, found) in [("on disk", current), ("in the web server", live)] {
            if found != Some(hash) {
                let found = found.map_or("nothing".to_owned(), |found| format!("release {}", found.short()));
                return Err(TargetError::Failed(format!(
                    "{found} of {id} is live {what}, and release {} should be: somebody else switched it meanwhile",
                    hash.short()
                )));
            }
        }
        let drift = self.releases.verify(id, hash).await.map_err(|error| self.failed(error))?;
        if drift.is_none() { Ok(()) } else { Err(TargetError::Failed(told(id, hash, &drift))) }
    }
}

fn told(id: &DeploymentId, hash: Digest, drift: &Drift) -> String {
    let mut parts = Vec::new();
    for (what, files) in [("missing", &drift.missing), ("changed", &drift.changed), ("foreign", &drift.extra)]
    {
        if let Some(first) = files.get(..NAMED.min(files.len())).filter(|first| !first.is_empty()) {
            let more = if files.len() > NAMED { ", ..." } else { "" };
            parts.push(format!("{} {what} ({}{more})", files.len(), first.join(", ")));
        }
    }
    format!(
        "the files of release {} of {id} on disk are not those that were delivered: {}; somebody else wrote there",
        hash.short(),
        parts.join(", ")
    )
}
