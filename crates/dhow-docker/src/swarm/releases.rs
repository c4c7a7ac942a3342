//! Releases at the place, each in a folder of its own that nothing edits; and what nobody needs any more.

use std::collections::BTreeSet;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::Digest;
use dhow_core::port::{Command, Context, ReleaseOnPlace, TargetError};

use super::SwarmTarget;
use super::body::{Body, Current};
use super::observe::{manifest, uses};
use crate::compose::site::{Site, Turn};
use crate::engine::error;
use crate::files::path;
use crate::stored::value;

/// Folders of questions that are left alone: somebody may just ask one.
const SEEN: usize = 8;

/// The release that a folder is named after.
fn hash_of(folder: &str) -> Option<DesiredHash> {
    folder.split_once('-')?.0.parse().ok()
}

/// Every release there.
pub(super) async fn list(site: &Site) -> Result<Vec<ReleaseOnPlace>, TargetError> {
    let current: Option<Current> = site.json("current.json").await?;
    let current = current.and_then(|current| current.hash);
    let folders = site.executor.list(&format!("{}/releases", site.root)).await.map_err(error::executor)?;
    let hashes: BTreeSet<DesiredHash> = folders.iter().filter_map(|folder| hash_of(folder)).collect();
    Ok(hashes.into_iter().map(|hash| ReleaseOnPlace { hash, current: current == Some(hash) }).collect())
}

impl SwarmTarget {
    /// Removes releases that nobody needs, with their content, configs, secrets and images. Only what is ours: a
    /// folder of the deployment's own, a config that carries the stack's label and no service takes, an image that one
    /// of its releases pinned and no container uses.
    pub(super) async fn prune(&self, site: &Site, body: &Body, context: &Context) -> Result<(), TargetError> {
        let current: Option<Current> = site.json("current.json").await?;
        let wanted = |folder: &str| {
            current.as_ref().is_some_and(|current| current.release == folder)
                || hash_of(folder).is_some_and(|hash| hash == context.hash || context.keep.contains(&hash))
        };
        let list = async |name: &str| {
            site.executor.list(&format!("{}/{name}", site.root)).await.map_err(error::executor)
        };
        let remove = async |path: String| site.executor.remove(&path).await.map_err(error::executor);
        let (mut kept, mut gone, mut content) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let folders = list("releases").await?;
        for folder in &folders {
            let Some(of_release) = manifest(site, folder).await? else { continue };
            match wanted(folder) {
                true => {
                    kept.extend(of_release.images.into_values());
                    content.extend(of_release.content);
                }
                false => gone.extend(of_release.images.into_values()),
            }
        }
        for folder in folders.iter().filter(|folder| !wanted(folder)) {
            remove(site.release(folder)).await?;
        }
        let mounted = self.prune_things(site, body, context).await?;
        for hash in list("content").await?.into_iter().filter(|hash| !content.contains(hash)) {
            let folder = format!("{}/content/{hash}", site.root);
            if !mounted.iter().any(|source| path::below(source, &folder).is_some()) {
                remove(folder).await?;
            }
        }
        let looked = Digest::of(value(&body.inputs).to_string().as_bytes()).short();
        let old: Vec<String> = list("seen").await?.into_iter().filter(|key| *key != looked).collect();
        for key in old.iter().filter(|_| old.len() >= SEEN) {
            remove(format!("{}/seen/{key}", site.root)).await?;
        }
        for image in gone.difference(&kept).filter(|image| image.contains('@')) {
            // The engine refuses where a container uses it: that is wanted. Other nodes' images are theirs.
            let command: Command = site.docker(["image", "rm", image.as_str()]);
            site.try_change(Turn::from(context), &command).await?;
        }
        Ok(())
    }

    /// Removes the configs and secrets of the stack that no service takes; what services mount from the node.
    async fn prune_things(
        &self,
        site: &Site,
        body: &Body,
        context: &Context,
    ) -> Result<BTreeSet<String>, TargetError> {
        let api = site.api().await?;
        let (services, _) = api.stack(&body.stack).await?;
        let things =
            [("config", api.configs(&body.stack).await?), ("secret", api.secrets(&body.stack).await?)];
        for (kind, things) in things {
            let unused = things.into_iter().filter(|thing| !uses(&services, &thing.name));
            let ids: Vec<String> = unused.map(|thing| thing.id).collect();
            if !ids.is_empty() {
                let command = site.docker([kind.to_owned(), "rm".to_owned()].into_iter().chain(ids));
                // A service may have taken one since: the next rollout looks again.
                site.try_change(Turn::from(context), &command).await?;
            }
        }
        let containers = services.iter().filter_map(|service| service.spec.task_template.as_ref());
        let mounts = containers.filter_map(|task| task.container_spec.as_ref()?.mounts.as_ref());
        Ok(mounts.flatten().filter_map(|mount| mount.source.clone()).collect())
    }
}
