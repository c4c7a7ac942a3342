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

/// The root file: two environments and two people.
pub const ROOT: &str = "\
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

/// A fleet of one site in two environments: path and text.
pub fn files(registry: SocketAddr) -> Vec<(String, String)> {
    let service = format!(
        "\
owners: [alice]
artifacts:
  web: {{ bundle: {registry}/site/web, policy: {{ semver: \"*\" }} }}
{CHECKS}"
    );
    let deployment = format!("bundle: {registry}/site/web\n");
    vec![
        ("dhow.yaml".into(), ROOT.into()),
        ("services/site/dhow.yaml".into(), service),
        ("services/site/static_file/stage/dhow.yaml".into(), deployment.clone()),
        ("services/site/static_file/production/dhow.yaml".into(), deployment),
    ]
}

/// What a version must pass.
pub const CHECKS: &str = "\
checks:
  - http: { url: \"http://{host}/health\", status: 200, contains: ok }
    limit: 5s
";

/// Makes a fleet of these files.
pub async fn create_fleet(path: &Path, files: Vec<(String, String)>) -> Result<()> {
    let files: BTreeMap<String, Vec<u8>> =
        files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect();
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

/// A client of the demo's own registry, and its host.
pub fn client(server: &Server) -> Result<(Client, String)> {
    let token = std::fs::read_to_string(server.state().join("admin.token")).context("the admin token")?;
    let host = server.listen.to_string();
    let credentials = Some(Credentials::Dhow(SecretString::from(token.trim().to_owned())));
    let mut settings = Settings::default();
    settings.hosts.insert(host.clone(), HostSettings { credentials, ..HostSettings::default() });
    Ok((Client::new(settings), host))
}

/// Publishes a folder, as `dhow publish` does.
pub async fn publish(server: &Server, folder: &Path, version: &str) -> Result<Version> {
    let (client, host) = client(server)?;
    let reference: ImageReference = format!("{host}/site/web:{version}").parse()?;
    let labels = SourceLabels { version: Some(version.to_owned()), ..SourceLabels::default() };
    Ok(bundle::publish(&client, folder, &reference, &labels).await?)
}

/// What Git says: `wanted` stands at the head in this file, and the way back from `failed` is in its history.
pub async fn pinned_in_git(fleet: &Path, file: &str, wanted: &str, failed: &str) -> Result<()> {
    let git = |args: &[&str]| {
        let mut command = tokio::process::Command::new("git");
        command.arg("--git-dir").arg(fleet).args(args);
        command
    };
    let shown = git(&["show", &format!("main:{file}")]).output().await.context("git")?;
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
