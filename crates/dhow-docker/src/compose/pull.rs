//! Images are brought before anything is stopped, by digest; a login is there for that pull only.

use std::collections::BTreeMap;

use dhow_core::noun::ImageReference;
use dhow_core::port::{Context, TargetError};

use super::api::Api;
use super::error;
use super::site::{Site, Turn};
use crate::engine::login::{self, Logins};

/// Brings the images that are missing. Repeatable; a crash in it leaves layers that the engine uses the next time.
pub(super) async fn pull(
    site: &Site,
    api: &Api,
    logins: &dyn Logins,
    platforms: &BTreeMap<String, Option<String>>,
    context: &Context,
) -> Result<(), TargetError> {
    for (image, platform) in platforms {
        if api.image(image).await?.is_some() {
            continue;
        }
        one(site, logins, image, platform.clone(), context.into()).await?;
        let Some(found) = api.image(image).await? else {
            return Err(TargetError::Failed(format!(
                "{image} was pulled, and the engine does not know it by its digest"
            )));
        };
        let wanted = image.parse::<ImageReference>().ok().and_then(|reference| reference.digest);
        let known = |digest| found.digests.iter().any(|d| d.ends_with(&format!("@{digest}")));
        if let Some(digest) = wanted.filter(|digest| !known(*digest) && found.id != digest.to_string()) {
            return Err(TargetError::Failed(format!(
                "{image} was pulled, and the engine says that it is {} and not {digest}",
                found.digests.join(", ")
            )));
        }
    }
    let ours = api.architecture().await?;
    for (image, _) in platforms.iter().filter(|(_, platform)| platform.is_none()) {
        let Some(found) = api.image(image).await? else { continue };
        if !ours.is_empty() && !found.architecture.is_empty() && found.architecture != ours {
            return Err(TargetError::Failed(format!(
                "{image} is built for {}/{}, and this server is {}/{ours}; build it for {ours} too, or set `platform:` \
                 where the server can emulate it",
                found.os, found.architecture, found.os
            )));
        }
    }
    Ok(())
}

async fn one(
    site: &Site,
    logins: &dyn Logins,
    image: &str,
    platform: Option<String>,
    turn: Turn<'_>,
) -> Result<(), TargetError> {
    let registry =
        image.parse::<ImageReference>().map(|reference| reference.repository.registry().to_owned());
    let login = match &registry {
        Ok(registry) => logins.login(registry).await?.map(|login| (registry.clone(), login)),
        Err(_) => None,
    };
    let mut arguments = vec!["pull".to_owned(), "--quiet".to_owned()];
    arguments.extend(platform.into_iter().flat_map(|platform| ["--platform".to_owned(), platform]));
    arguments.push(image.to_owned());
    let mut command = site.docker(arguments);
    command.limit = std::time::Duration::from_secs(1_800);
    let Some(login) = login else {
        return site.change(turn, &format!("pull {image}"), &command).await.map(drop);
    };
    let folder = login::folder(site, turn, &[login]).await?;
    command.env.insert("DOCKER_CONFIG".to_owned(), folder.clone());
    let pulled = site.change(turn, &format!("pull {image}"), &command).await.map(drop);
    let removed = site.executor.remove(&folder).await.map_err(error::executor);
    pulled.and(removed)
}
