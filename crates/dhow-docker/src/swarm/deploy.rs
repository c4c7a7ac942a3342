//! The two commands that change a swarm: `docker stack deploy` and `docker stack rm`.

use std::collections::BTreeSet;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use dhow_core::noun::ImageReference;
use dhow_core::port::{Output, TargetError};
use secrecy::ExposeSecret as _;
use tokio::time::{Instant, sleep};

use super::judge::ended;
use crate::compose::site::{Site, Turn};
use crate::engine::error;
use crate::engine::login::{self, Login, Logins};

/// The generated file of a release.
pub(super) const FILE: &str = "stack.json";
/// How long what was removed may take to be gone.
const GONE: Duration = Duration::from_secs(90);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Hands a release to the swarm. The logins are there for this command only; Swarm gives them to its nodes. Repeatable.
///
/// # Errors
/// `Blocked`: neither version nor files are to blame.
pub(super) async fn deploy(
    site: &Site,
    logins: &dyn Logins,
    stack: &str,
    release: &str,
    images: impl Iterator<Item = &String>,
    turn: Turn<'_>,
) -> Result<(), TargetError> {
    let logins = of_images(logins, images).await?;
    let folder = match logins.is_empty() {
        true => None,
        false => Some(login::folder(site, turn, &logins).await?),
    };
    let deployed = run(site, stack, release, folder.as_deref(), turn).await;
    if let Some(folder) = folder {
        site.executor.remove(&folder).await.map_err(error::executor)?;
    }
    let output = deployed?;
    if output.ok() { Ok(()) } else { Err(failed(stack, &output)) }
}

async fn run(
    site: &Site,
    stack: &str,
    release: &str,
    logins: Option<&str>,
    turn: Turn<'_>,
) -> Result<Output, TargetError> {
    let file = format!("{}/{FILE}", site.release(release));
    let command = |detach: &[&str]| {
        // What has no digest is not looked up anew where its reference did not change.
        let first = ["stack", "deploy", "--with-registry-auth", "--prune", "--resolve-image", "changed"];
        let all = first.iter().chain(detach).copied().chain(["-c", file.as_str(), stack]);
        let mut command = site.docker(all);
        command.env.extend(logins.map(|folder| ("DOCKER_CONFIG".to_owned(), folder.to_owned())));
        command
    };
    let output = site.try_change(turn, &command(&["--detach=true"])).await?;
    // Before version 26 there was nothing but to detach, and no word for it.
    if !output.ok() && String::from_utf8_lossy(&output.stderr).contains("unknown flag: --detach") {
        return site.try_change(turn, &command(&[])).await;
    }
    Ok(output)
}

fn failed(stack: &str, output: &Output) -> TargetError {
    let what = format!("docker stack deploy {stack}");
    let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
    // The manager's own trouble says nothing of what is deployed.
    let passing =
        ["update out of sequence", "deadline exceeded", "does not have a leader", "code = unavailable"];
    if passing.iter().any(|sign| said.contains(sign)) {
        let said: String = said.trim().chars().take(1_000).collect();
        return TargetError::Passing(format!("{what}: the swarm did not take it now: {said}"));
    }
    match error::docker(&what, output) {
        TargetError::Failed(told) if told.contains("is already in use by service") => {
            TargetError::Blocked(format!("{told}; give another port, or remove that service"))
        }
        TargetError::Failed(told) if told.contains("could not be found. You need to create") => {
            TargetError::Blocked(format!(
                "{told}; create the external network there, or take `external: true` out"
            ))
        }
        other => other,
    }
}

/// The logins of the registries that these images come from.
pub(super) async fn of_images(
    logins: &dyn Logins,
    images: impl Iterator<Item = &String>,
) -> Result<Vec<(String, Login)>, TargetError> {
    let references = images.filter_map(|image| image.parse::<ImageReference>().ok());
    let registries: BTreeSet<String> =
        references.map(|reference| reference.repository.registry().to_owned()).collect();
    let mut found = Vec::new();
    for registry in registries {
        let login = logins.login(&registry).await?;
        found.extend(login.map(|login| (registry, login)));
    }
    Ok(found)
}

/// The login for an image, as the Engine API takes it.
pub(super) fn credentials(logins: &[(String, Login)], image: &str) -> Option<DockerCredentials> {
    let reference: ImageReference = image.parse().ok()?;
    let (registry, login) =
        logins.iter().find(|(registry, _)| registry == reference.repository.registry())?;
    Some(DockerCredentials {
        username: Some(login.user.clone()),
        password: Some(login.password.expose_secret().to_owned()),
        serveraddress: Some(registry.clone()),
        ..DockerCredentials::default()
    })
}

/// Removes a stack, and returns when nothing of it runs any more. Volumes stay. Repeatable.
pub(super) async fn remove(site: &Site, stack: &str, turn: Turn<'_>) -> Result<(), TargetError> {
    let api = site.api().await?;
    let begun = Instant::now();
    let mut asked: Option<Instant> = None;
    loop {
        let (services, tasks) = api.stack(stack).await?;
        let things = !api.stack_networks(stack).await?.is_empty()
            || !api.configs(stack).await?.is_empty()
            || !api.secrets(stack).await?.is_empty();
        let runs = tasks.iter().any(|task| !ended(task));
        if services.is_empty() && !things && !runs {
            return Ok(());
        }
        if begun.elapsed() >= GONE {
            return Err(TargetError::Passing(format!(
                "{stack} was removed, and after {GONE:?} something of it is still there; see `docker stack ps {stack}`"
            )));
        }
        // A network cannot go before the last task that is on it: then it is asked for again.
        let again = asked.is_none_or(|at| !runs && at.elapsed() >= Duration::from_secs(1));
        if again && (!services.is_empty() || things) {
            let output = site.try_change(turn, &site.docker(["stack", "rm", stack])).await?;
            let said = String::from_utf8_lossy(&output.stderr);
            if !output.ok()
                && !said.contains("in use")
                && !said.contains("not found")
                && !said.contains("Failed to remove")
            {
                return Err(error::docker(&format!("docker stack rm {stack}"), &output));
            }
            asked = Some(Instant::now());
        }
        sleep(PAUSE).await;
    }
}
