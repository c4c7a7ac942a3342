//! Where versions of artifacts stand in the files of deployments (design section 8), and what is surely wrong there.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{ArtifactKind, Deployment, Fleet, Service};
use super::path;
use super::tree::Tree;
use crate::diagnostic::{Diagnostic, Severity};
use crate::edit::{self, FindRequest, Form, Site, SiteKey};
use crate::noun::{ArtifactName, EnvironmentName, Repository, ServiceName};
use crate::policy::Policy;

/// A place in the fleet where a version of an artifact stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionSite {
    /// Of which artifact.
    pub artifact: ArtifactName,
    /// Where, and what stands there.
    pub site: Site,
}

/// Where versions stand in the files of a deployment.
pub(super) fn find(tree: &dyn Tree, deployment: &Deployment, service: &Service) -> Vec<VersionSite> {
    let settings = &deployment.settings;
    let own = format!("{}/dhow.yaml", deployment.folder);
    let mut files: BTreeSet<&str> =
        deployment.files.iter().map(String::as_str).filter(|f| edit::is_looked_at(f)).collect();
    files.insert(own.trim_start_matches('/'));
    files.extend(settings.oob.iter().map(|oob| oob.file.as_str()));
    let mut repositories: BTreeSet<Repository> =
        service.artifacts.values().map(|a| a.repository.clone()).collect();
    repositories.extend(settings.bundle.iter().map(|b| b.repository.clone()));
    let mut found = Vec::new();
    for file in files {
        let Ok(Some(bytes)) = tree.read(file) else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let request = FindRequest {
            repositories: Some(repositories.clone()),
            oob: settings.oob.iter().filter(|o| o.file == file).map(|o| o.path.clone()).collect(),
            env_file: !edit::is_looked_at(file),
        };
        for site in edit::find(file, &text, &request).sites {
            if let Some(artifact) = artifact_of(&site, service) {
                found.push(VersionSite { artifact, site });
            }
        }
    }
    found.shrink_to_fit();
    found
}

/// The artifact that a site holds a version of: the declared one of its repository or its marker's name; a bundle that
/// nobody declared is called after the last part of its repository.
fn artifact_of(site: &Site, service: &Service) -> Option<ArtifactName> {
    for artifact in service.artifacts.values() {
        let fits = match (&site.key, &site.repository) {
            (SiteKey::Marker { name, .. }, None) => *name == artifact.name.as_str(),
            (_, Some(repository)) => {
                let form_fits = (site.form == Form::Bundle) == (artifact.kind == ArtifactKind::Bundle);
                *repository == artifact.repository && form_fits
            }
            _ => false,
        };
        if fits {
            return Some(artifact.name.clone());
        }
    }
    let repository = site.repository.as_ref().filter(|_| site.form == Form::Bundle)?;
    ArtifactName::new(repository.path().rsplit('/').next()?).ok()
}

/// What is surely wrong with the places of a service's versions. `places` says where its artifacts are declared.
pub(super) fn findings<'a>(
    service: &Service,
    places: &[(ArtifactName, Diagnostic)],
    deployments: impl Iterator<Item = &'a Deployment> + Clone,
) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let all = || deployments.clone().flat_map(|d| d.sites.iter().map(move |site| (d, site)));
    for (artifact, at) in places {
        let has_rule = |e: &EnvironmentName| service.rule(e, artifact).is_some();
        let decides = deployments.clone().any(|d| has_rule(&d.id.environment));
        if decides && !all().any(|(_, site)| site.artifact == *artifact) {
            let message =
                format!("no file of the service's deployments holds a version of the artifact {artifact}");
            let found = Diagnostic { message, severity: Severity::Warning, ..at.clone() };
            findings.push(
                found.help("put its repository into an image: or bundle:, or mark the place with a comment"),
            );
        }
    }
    for (deployment, VersionSite { artifact, site }) in all() {
        let rule = service.rule(&deployment.id.environment, artifact);
        if rule.is_some_and(|r| matches!(r.policy, Policy::Digest { .. })) && !site.holds_digest() {
            let message = format!("{artifact} follows a tag by digest, and only a tag can stand here");
            findings.push(
                Diagnostic {
                    line: site.line,
                    column: site.column,
                    ..Diagnostic::error(site.file.as_str(), message)
                }
                .help("write the whole reference, repo:tag@digest, or choose another policy"),
            );
        }
    }
    findings
}

/// Files outside of their deployments' folders in which versions stand for more than one service or environment: an
/// edit for one would change the others, so none is made.
pub(super) fn shared(fleet: &Fleet) -> (BTreeSet<String>, Vec<Diagnostic>) {
    let mut readers: BTreeMap<&str, BTreeSet<(&ServiceName, &EnvironmentName)>> = BTreeMap::new();
    for deployment in fleet.deployments.values() {
        let outside = |site: &&VersionSite| !path::is_within(&site.site.file, &deployment.folder);
        for site in deployment.sites.iter().filter(outside) {
            let scope = (&deployment.id.service, &deployment.id.environment);
            readers.entry(site.site.file.as_str()).or_default().insert(scope);
        }
    }
    readers.retain(|_, scopes| scopes.len() > 1);
    let files = readers.keys().map(|file| (*file).to_owned()).collect();
    let findings = readers.iter().map(|(file, scopes)| {
        let who: Vec<String> = scopes.iter().map(|(s, e)| format!("{s} in {e}")).collect();
        let message =
            format!("versions in this file are read by {}; none is updated here", who.join(" and "));
        Diagnostic::warning(*file, message).help("put an override into each deployment's own folder")
    });
    (files, findings.collect())
}

/// Artifacts that an environment with `from` has and the one before it has not: they follow their own policy there.
pub(super) fn unbound(fleet: &Fleet) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let mut had: BTreeMap<(&ServiceName, &EnvironmentName), BTreeSet<&ArtifactName>> = BTreeMap::new();
    for deployment in fleet.deployments.values() {
        let scope = (&deployment.id.service, &deployment.id.environment);
        had.entry(scope).or_default().extend(deployment.sites.iter().map(|site| &site.artifact));
    }
    let broken: BTreeSet<&ServiceName> = fleet.broken.keys().map(|id| &id.service).collect();
    for deployment in fleet.deployments.values() {
        let id = &deployment.id;
        let Some(from) = fleet.environments.get(&id.environment).and_then(|e| e.from.as_ref()) else {
            continue;
        };
        let there = had.get(&(&id.service, from));
        let alone = |s: &&VersionSite| there.is_none_or(|there| !there.contains(&s.artifact));
        for VersionSite { artifact, site } in deployment.sites.iter().filter(alone) {
            if broken.contains(&id.service) {
                continue;
            }
            let follows =
                fleet.services.get(&id.service).is_some_and(|s| s.rule(&id.environment, artifact).is_some());
            let what = if follows { "it follows its own policy" } else { "nothing updates it" };
            let message =
                format!("{from} has no {artifact} of {}, so it is not promoted: {what}", id.service);
            let found = Diagnostic::warning(site.file.as_str(), message);
            findings.push(Diagnostic { line: site.line, column: site.column, ..found });
        }
    }
    findings
}
