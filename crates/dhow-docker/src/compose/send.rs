//! A release is sent to a folder of its own, with the content that it mounts.

use std::collections::BTreeMap;

use dhow_core::port::{Context, TargetError};

use super::body::{Body, Manifest, value};
use super::site::Site;
use super::{content, error};

/// Sends a release. What the place has already stays as it is; a crash leaves folders whole or not there.
pub(super) async fn send(
    site: &Site,
    body: &Body,
    manifest: &Manifest,
    override_file: &str,
    data: &BTreeMap<String, String>,
    context: &Context,
) -> Result<(), TargetError> {
    let contents = body.content.values().filter(|content| manifest.content.contains(&content.hash));
    content::send(site.executor.as_ref(), &site.root, contents, context).await?;
    let own: Vec<String> = data.values().filter(|folder| folder.starts_with(&site.root)).cloned().collect();
    site.make(context.into(), &own).await?;
    let write = async |name: &str, text: String| {
        let path = format!("{}/{name}", site.root);
        site.executor.write(&path, text.as_bytes(), 0o600).await.map_err(error::executor)
    };
    write("data.json", value(&data).to_string()).await?;
    write("project", body.project.clone()).await?;
    let files = Site::release_files(body, Some((override_file, manifest)));
    let folder = site.release(&release_name(context, override_file));
    site.executor.send(&folder, &files).await.map_err(error::executor)
}

/// Releases that are spelled otherwise are other folders: none is ever edited.
pub(super) fn release_name(context: &Context, override_file: &str) -> String {
    format!("{}-{}", context.hash, spelled(override_file))
}

/// The part of a release folder's name that says how its override is spelled.
pub(super) fn spelled(override_file: &str) -> String {
    dhow_core::noun::Digest::of(override_file.as_bytes()).hex().chars().take(8).collect()
}
