//! A release is sent to a folder of its own, with the content that it mounts.

use std::collections::BTreeMap;

use dhow_core::port::{Context, SentFile, TargetError};

use super::body::{Body, Manifest, value};
use super::error;
use super::site::Site;

/// Sends a release. What the place has already stays as it is; a crash leaves folders whole or not there.
pub(super) async fn send(
    site: &Site,
    body: &Body,
    manifest: &Manifest,
    override_file: &str,
    data: &BTreeMap<String, String>,
    context: &Context,
) -> Result<(), TargetError> {
    send_contents(site, body, manifest, context).await?;
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

/// Sends the content that the place does not have.
async fn send_contents(
    site: &Site,
    body: &Body,
    manifest: &Manifest,
    context: &Context,
) -> Result<(), TargetError> {
    for content in body.content.values().filter(|content| manifest.content.contains(&content.hash)) {
        let folder = site.content(&content.hash, "");
        let folder = folder.trim_end_matches('/');
        if !site.executor.list(folder).await.map_err(error::executor)?.is_empty() {
            continue;
        }
        let Some(tree) = &context.tree else {
            return Err(TargetError::Blocked(format!(
                "the server does not have the files of release {}, and the fleet's commit that has them cannot be had \
                 any more; push that commit again, or roll out another release",
                context.hash.short()
            )));
        };
        let mut files = Vec::new();
        for file in &content.files {
            let bytes = tree.read(&file.from).ok().flatten().ok_or_else(|| {
                TargetError::Failed(format!("{} cannot be read from the fleet's commit", file.from))
            })?;
            files.push(SentFile {
                path: super::path::join(&content.name, &file.path),
                content: bytes.into(),
                mode: if file.executable { 0o755 } else { 0o644 },
            });
        }
        site.executor.send(folder, &files).await.map_err(error::executor)?;
    }
    Ok(())
}
