//! What is done in a voyage. A new one is a file here and a line in [`all`].

mod migration;
mod promotion;
mod publish;
mod push;
mod quarantine;
mod removal;
mod rollback;
mod several;
mod upload;

use anyhow::Result;
use async_trait::async_trait;

use crate::world::{Rig, World};

/// A voyage: what there is before it, and what is done in it. It is killed in `act` only, at each point that `act` passes.
#[async_trait]
pub trait Scenario: Send + Sync {
    /// Its name, for `--scenario`.
    fn name(&self) -> &'static str;

    /// The fleet's files, path and text.
    fn fleet(&self) -> Vec<(String, String)>;

    /// What the process needs.
    fn rig(&self) -> Rig {
        Rig::default()
    }

    /// What was done before, undisturbed; once for all its voyages.
    ///
    /// # Errors
    /// It does not come to its end.
    async fn prepare(&self, _: &World) -> Result<()> {
        Ok(())
    }

    /// Whether its voyages begin in the state that `prepare` left; else in an empty one.
    fn uses_a_state(&self) -> bool {
        true
    }

    /// So many ways to die has it that no point knows: `act` kills the process, as `World::own` says. It is died in
    /// these ways only.
    fn own_deaths(&self) -> u64 {
        0
    }

    /// What is killed. Whoever is cut off asks again.
    ///
    /// # Errors
    /// It does not come to its end.
    async fn act(&self, world: &World) -> Result<()>;
}

/// All that run without an engine.
pub fn all() -> Vec<Box<dyn Scenario>> {
    vec![
        Box::new(publish::Publish),
        Box::new(promotion::Promotion),
        Box::new(rollback::Rollback),
        Box::new(quarantine::Quarantine),
        Box::new(removal::Removal),
        Box::new(several::Several),
        Box::new(push::LatePush),
        Box::new(upload::Upload),
        Box::new(migration::Migration),
    ]
}

/// Production takes what runs healthy in stage, after one vote.
pub(crate) fn gated(services: &[&str]) -> Vec<(String, String)> {
    let root = "environments:\n  stage: { update: commit }\n  production: { from: stage, approvals: { needed: 1 } }\n";
    let mut files = vec![("dhow.yaml".to_owned(), root.to_owned())];
    for name in services {
        let repository = format!("dhow.test/{name}/web");
        let service = format!(
            "artifacts:\n  web: {{ bundle: {repository}, policy: {{ semver: \"*\" }} }}\nchecks:\n  - http: {{ url: \
             \"http://{{host}}/health\", contains: ok }}\n    limit: 20s\n    retry: 100ms\n"
        );
        files.push((format!("services/{name}/dhow.yaml"), service));
        for environment in ["stage", "production"] {
            let path = format!("services/{name}/static_file/{environment}/dhow.yaml");
            files.push((path, format!("bundle: {repository}\n")));
        }
    }
    files
}

/// A site that is healthy.
pub(crate) fn site(text: &str) -> Vec<(&'static str, String)> {
    vec![("index.html", format!("<h1>{text}</h1>\n")), ("health", "ok\n".into())]
}

/// A site whose check fails.
pub(crate) fn broken_site(text: &str) -> Vec<(&'static str, String)> {
    vec![("index.html", format!("<h1>{text}</h1>\n")), ("health", "no tables\n".into())]
}

impl World {
    /// Publishes a version of a service, and brings it to both environments.
    pub(crate) async fn carry(&self, service: &str, version: &str) -> Result<()> {
        self.publish(&site(&format!("{service} {version}")), &format!("{service}/web:{version}")).await?;
        self.reaches(service, "stage", version).await?;
        self.approve(service, "production").await?;
        self.reaches(service, "production", version).await
    }
}
