use std::collections::BTreeMap;

use dhow_core::fleet::Deployment;
use dhow_core::noun::{ArtifactName, ImageReference, Pin};
use dhow_core::port::{RenderInput, Rendered, TargetError};

use super::body::{Body, Source};
use crate::manifest::ServeOptions;

/// Files of a deployment's folder that configure it. They are never served.
const SETTINGS: [&str; 4] = ["dhow.yaml", "dhow.yml", "sami.yaml", "sami.yml"];
/// The one hidden folder that visitors ask for (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// What the deployment is to serve: its bundle, else the files of its folder.
pub(super) fn render(input: RenderInput) -> Result<Rendered, TargetError> {
    let RenderInput { deployment, pins, .. } = input;
    let settings = &deployment.settings;
    let (source, fleet_files) = match &settings.bundle {
        Some(bundle) => (bundle_source(&deployment, bundle, &pins)?, Vec::new()),
        None => (Source::Folder(deployment.folder.clone()), served_files(&deployment)?),
    };
    let options = ServeOptions {
        not_found: settings.not_found.clone(),
        fallback: settings.fallback.clone(),
        ..ServeOptions::default()
    };
    let mut hosts: Vec<String> = settings.route.iter().map(|route| route.host.clone()).collect();
    for host in &settings.hosts {
        if !hosts.contains(host) {
            hosts.push(host.clone());
        }
    }
    let mut notes = Vec::new();
    if !settings.servers.is_empty() && settings.directory.is_none() {
        notes.push(format!(
            "its files go to ~/.dhow/static/{}/{} on each server, which is private to the user that Dhow logs in as: the web \
             server there must run as that user, or set `directory:` to a folder that it can read, such as /srv/www/{}",
            deployment.id.environment, deployment.id.service, deployment.id.service
        ));
    }
    Ok(Rendered {
        deployment: deployment.id.clone(),
        places: deployment.places(),
        pins,
        reads: fleet_files.clone(),
        fleet_files,
        body: Body { source, options, hosts, directory: settings.directory.clone(), front: settings.front }
            .value(),
        notes,
    })
}

/// The pin of the bundle's repository; where several artifacts share it, the one with the bundle's digest or tag.
fn bundle_source(
    deployment: &Deployment,
    bundle: &ImageReference,
    pins: &BTreeMap<ArtifactName, Pin>,
) -> Result<Source, TargetError> {
    let fits = |pin: &Pin| (bundle.digest == Some(pin.digest), bundle.tag.is_some() && bundle.tag == pin.tag);
    let found = pins
        .iter()
        .filter(|(_, pin)| pin.repository == bundle.repository)
        .max_by_key(|(_, pin)| fits(pin))
        .map(|(artifact, pin)| Source::Bundle { artifact: Some(artifact.clone()), pin: pin.clone() });
    let written = || {
        let pin =
            Pin { repository: bundle.repository.clone(), tag: bundle.tag.clone(), digest: bundle.digest? };
        Some(Source::Bundle { artifact: None, pin })
    };
    found.or_else(written).ok_or_else(|| {
        TargetError::Failed(format!(
            "{} has no version of its bundle {} yet; the first update sets it, or write `bundle: {}:<tag>` into {}",
            deployment.id,
            bundle.repository,
            bundle.repository,
            in_folder(&deployment.folder, "dhow.yaml"),
        ))
    })
}

/// The files of the folder but settings and hidden ones; where the settings name files, only those.
fn served_files(deployment: &Deployment) -> Result<Vec<String>, TargetError> {
    let named = &deployment.settings.named_files;
    let is_named = |file: &String| {
        named.is_empty()
            || named.iter().any(|name| name == file || in_folder(&deployment.folder, name) == *file)
    };
    let mut files: Vec<String> = deployment
        .files
        .iter()
        .filter(|file| is_named(file) && is_served(site_path(&deployment.folder, file)))
        .cloned()
        .collect();
    files.sort();
    files.dedup();
    if files.is_empty() {
        return Err(TargetError::Failed(format!(
            "{} has nothing to serve; put the site's files into the folder {:?}, or name a bundle in its dhow.yaml: \
             `bundle: <registry>/<repository>`",
            deployment.id, deployment.folder
        )));
    }
    Ok(files)
}

fn is_served(path: &str) -> bool {
    !SETTINGS.contains(&path) && path.split('/').all(|part| !part.starts_with('.') || part == WELL_KNOWN)
}

fn in_folder(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A fleet file's path on the site: that within the deployment's folder.
pub(super) fn site_path<'a>(folder: &str, file: &'a str) -> &'a str {
    let within = file.strip_prefix(folder).map(|rest| rest.trim_start_matches('/'));
    within.filter(|_| !folder.is_empty()).unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_hidden_files_are_never_served() {
        for hidden in ["dhow.yaml", "sami.yml", ".env", ".git/config", "a/.htpasswd"] {
            assert!(!is_served(hidden), "{hidden}");
        }
        for served in ["index.html", "docs/dhow.yaml", ".well-known/security.txt"] {
            assert!(is_served(served), "{served}");
        }
    }

    #[test]
    fn a_file_is_served_by_its_path_within_the_folder() {
        assert_eq!(
            site_path("services/shop/static_file/stage", "services/shop/static_file/stage/a/b"),
            "a/b"
        );
        assert_eq!(site_path("", "a/b"), "a/b");
    }
}
