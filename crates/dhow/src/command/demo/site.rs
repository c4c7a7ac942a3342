//! The demo's application and fleet.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use dhow_core::noun::{ImageReference, SourceLabels, Version};
use dhow_git::{Identity, init_bare};
use dhow_registry::bundle;
use dhow_registry::client::{Client, Credentials, HostSettings, Settings};
use secrecy::SecretString;

use crate::serve::Server;

/// Makes a fleet of one service in two environments.
pub async fn create_fleet(path: &Path, registry: SocketAddr) -> Result<()> {
    let root = "\
environments:
  stage: { update: commit }
  production:
    from: stage
    update: approval
    approvals: { needed: 1, from: [alice, bob], author_may_approve: false }
people:
  alice: { emails: [alice@example.com] }
  bob: { emails: [bob@example.com] }
";
    let service = format!(
        "\
owners: [alice]
artifacts:
  web: {{ bundle: {registry}/site/web, policy: {{ semver: \"*\" }} }}
checks:
  - http: {{ url: \"http://{{host}}/health\", status: 200, contains: ok }}
    limit: 2s
"
    );
    let deployment = format!("bundle: {registry}/site/web\n");
    let files: BTreeMap<String, Vec<u8>> = [
        ("dhow.yaml", root.to_owned()),
        ("services/site/dhow.yaml", service),
        ("services/site/static_file/stage/dhow.yaml", deployment.clone()),
        ("services/site/static_file/production/dhow.yaml", deployment),
    ]
    .into_iter()
    .map(|(path, text)| (path.to_owned(), text.into_bytes()))
    .collect();
    let path = path.to_owned();
    let author = Identity { name: "alice".into(), email: "alice@example.com".into() };
    tokio::task::spawn_blocking(move || init_bare(&path, &files, &author)).await??;
    Ok(())
}

/// Writes one version of the site. A bad one says so at /health.
pub fn write_site(folder: &Path, version: &str, good: bool) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let page = format!("<!doctype html><title>Demo</title><h1>Version {version}</h1>\n");
    std::fs::write(folder.join("index.html"), page)?;
    let health = if good { "ok\n" } else { "the database has no tables\n" };
    std::fs::write(folder.join("health"), health)?;
    Ok(())
}

/// Publishes a folder, as `dhow publish` does.
pub async fn publish(server: &Server, folder: &Path, version: &str) -> Result<Version> {
    let token = std::fs::read_to_string(server.state().join("admin.token")).context("the admin token")?;
    let host = server.listen.to_string();
    let credentials = Some(Credentials::Dhow(SecretString::from(token.trim().to_owned())));
    let mut settings = Settings::default();
    settings.hosts.insert(host.clone(), HostSettings { credentials, ..HostSettings::default() });
    let reference: ImageReference = format!("{host}/site/web:{version}").parse()?;
    let labels = SourceLabels { version: Some(version.to_owned()), ..SourceLabels::default() };
    Ok(bundle::publish(&Client::new(settings), folder, &reference, &labels).await?)
}

/// What Git says: `wanted` stands at the head, and the way back from `failed` is in its history.
pub async fn pinned_in_git(fleet: &Path, wanted: &str, failed: &str) -> Result<()> {
    let git = |args: &[&str]| {
        let mut command = tokio::process::Command::new("git");
        command.arg("--git-dir").arg(fleet).args(args);
        command
    };
    let file = "main:services/site/static_file/stage/dhow.yaml";
    let shown = git(&["show", file]).output().await.context("git")?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    ensure!(text.contains(&format!(":{wanted}@sha256:")), "the fleet does not say {wanted}: {text}");
    let log = git(&["log", "--format=%B", "main"]).output().await.context("git")?;
    let text = String::from_utf8_lossy(&log.stdout).into_owned();
    ensure!(
        text.contains(failed) && text.contains("rolled back"),
        "the history does not tell of {failed}: {text}"
    );
    Ok(())
}
