use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dhow_core::fleet::Tree;
use dhow_core::port::{Context, TargetError};
use futures::{TryStreamExt, stream};

use super::body::{Body, Source};
use super::render::site_path;
use crate::unpack::Content;

/// Files of the fleet go through memory; a bundle does not.
const MAX_FLEET_BYTES: usize = 256 << 20;

/// The files of the release. A bundle is asked for when its first byte is read.
///
/// # Errors
/// Fleet files that are not there or cannot be had any more.
pub(super) async fn content(body: &Body, context: &Context) -> Result<Content, TargetError> {
    match &body.source {
        Source::Bundle { pin, .. } => {
            let (bundles, pin) = (context.bundles.clone(), pin.clone());
            let bytes = stream::once(async move { bundles.bundle(&pin).await }).try_flatten();
            Ok(Content::archive(bytes.map_err(io::Error::other)))
        }
        Source::Folder(folder) => {
            let tree = context.tree.clone().ok_or_else(|| {
                TargetError::Blocked(format!(
                    "release {} of {} is not on disk, and the fleet's commit that has its files cannot be had any \
                     more; push that commit again, or roll out another release",
                    context.hash.short(),
                    context.rendered.deployment
                ))
            })?;
            let (folder, files) = (folder.clone(), context.rendered.fleet_files.clone());
            tokio::task::spawn_blocking(move || read_files(&tree, &folder, &files)).await.unwrap_or_else(
                |error| {
                    Err(TargetError::Passing(format!("the thread that reads the fleet ended early: {error}")))
                },
            )
        }
    }
}

fn read_files(tree: &Arc<dyn Tree>, folder: &str, files: &[String]) -> Result<Content, TargetError> {
    let mut read = Vec::with_capacity(files.len());
    let mut total = 0;
    for file in files {
        let bytes = tree
            .read(file)
            .map_err(|error| TargetError::Passing(format!("{file} could not be read from the fleet: {error}")))?
            .ok_or_else(|| {
                TargetError::Failed(format!(
                    "{file} is to be served and is no regular file in the fleet's commit; replace a link by its file"
                ))
            })?;
        total += bytes.len();
        if total > MAX_FLEET_BYTES {
            return Err(TargetError::Failed(format!(
                "the files in {folder:?} are bigger than {} MiB together; put them into a bundle",
                MAX_FLEET_BYTES >> 20
            )));
        }
        read.push((site_path(folder, file).to_owned(), Bytes::from(bytes)));
    }
    Ok(Content::Files(read))
}
