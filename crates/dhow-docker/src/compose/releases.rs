//! Releases at the place, each in a folder of its own that nothing edits.

use std::collections::BTreeSet;

use dhow_core::fleet::DesiredHash;
use dhow_core::port::{Command, Context, ReleaseOnPlace, TargetError};

use super::body::{Body, Manifest, value};
use super::site::{Site, Turn};
use super::{ComposeTarget, error};
use dhow_core::noun::Digest;

/// Folders of questions that are left alone: somebody may just ask one.
const SEEN: usize = 8;

/// The release that a folder is named after.
fn hash_of(folder: &str) -> Option<DesiredHash> {
    folder.split_once('-')?.0.parse().ok()
}

/// Every release there.
pub(super) async fn list(site: &Site) -> Result<Vec<ReleaseOnPlace>, TargetError> {
    let current = site.current().await?.and_then(|current| current.hash);
    let folders = site.executor.list(&format!("{}/releases", site.root)).await.map_err(error::executor)?;
    let hashes: BTreeSet<DesiredHash> = folders.iter().filter_map(|folder| hash_of(folder)).collect();
    Ok(hashes.into_iter().map(|hash| ReleaseOnPlace { hash, current: current == Some(hash) }).collect())
}

impl ComposeTarget {
    /// Removes releases that nobody needs, with their content and images. Only what is ours: a folder of the
    /// deployment's own, an image that one of its releases pinned and no container uses.
    /// With `hard`, of the old releases only the one before is kept.
    pub(super) async fn prune(
        &self,
        site: &Site,
        body: &Body,
        context: &Context,
        hard: bool,
    ) -> Result<(), TargetError> {
        // The newest comes first.
        let mut keep = context.keep.iter().filter(|hash| **hash != context.hash);
        let keep: BTreeSet<&DesiredHash> =
            if hard { keep.next().into_iter().collect() } else { keep.collect() };
        let current = site.current().await?;
        let in_use = |folder: &str| {
            let path = site.release(folder);
            current
                .as_ref()
                .is_some_and(|current| current.stack.files.iter().any(|file| file.starts_with(&path)))
        };
        let wanted = |folder: &str| {
            in_use(folder) || hash_of(folder).is_some_and(|h| h == context.hash || keep.contains(&h))
        };
        let list = async |name: &str| {
            site.executor.list(&format!("{}/{name}", site.root)).await.map_err(error::executor)
        };
        let remove = async |path: String| site.executor.remove(&path).await.map_err(error::executor);
        let (mut kept, mut gone) = (BTreeSet::new(), BTreeSet::new());
        let mut content = BTreeSet::new();
        let folders = list("releases").await?;
        for folder in &folders {
            let manifest: Option<Manifest> = site.json(&format!("releases/{folder}/release.json")).await?;
            let Some(manifest) = manifest else { continue };
            let images = manifest.images.into_values();
            match wanted(folder) {
                true => {
                    kept.extend(images);
                    content.extend(manifest.content);
                }
                false => gone.extend(images),
            }
        }
        for folder in folders.iter().filter(|folder| !wanted(folder)) {
            remove(site.release(folder)).await?;
        }
        let mounted: BTreeSet<String> = site
            .api()
            .await?
            .containers(&body.project)
            .await?
            .into_iter()
            .flat_map(|facts| facts.mounts.into_values())
            .collect();
        for hash in list("content").await? {
            let path = format!("{}/content/{hash}", site.root);
            let used = mounted.iter().any(|source| super::path::below(source, &path).is_some());
            if !content.contains(&hash) && !used {
                remove(path).await?;
            }
        }
        let looked = Digest::of(value(&body.inputs).to_string().as_bytes()).short();
        let mut old: Vec<String> = list("seen").await?.into_iter().filter(|key| *key != looked).collect();
        if old.len() < SEEN {
            old.clear();
        }
        for key in old {
            remove(format!("{}/seen/{key}", site.root)).await?;
        }
        for image in gone.difference(&kept).filter(|image| image.contains('@')) {
            // The engine refuses where a container uses it: that is wanted.
            let command: Command = site.docker(["image", "rm", image.as_str()]);
            site.try_change(Turn::from(context), &command).await?;
        }
        Ok(())
    }
}
