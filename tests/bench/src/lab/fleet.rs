//! A fleet of many static sites, in a bare repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// A folder with `fleet.git`, and a clone of it in `work`.
#[derive(Debug)]
pub struct Fleet {
    folder: tempfile::TempDir,
}

/// What every site is checked with: one request, answered twice.
const CHECKS: &str = "checks:\n  - http: { url: \"http://{host}/\", contains: site }\n    interval: 50ms\n    limit: 30s\n    retry: 100ms\n";

impl Fleet {
    /// An empty one.
    pub fn new() -> Result<Self> {
        let fleet = Self { folder: tempfile::Builder::new().prefix("dhow-bench-").tempdir()? };
        fs::create_dir(fleet.folder().join("home"))?;
        fleet.git(fleet.folder(), &["init", "--quiet", "--bare", "--initial-branch=main", "fleet.git"])?;
        fleet.git(fleet.folder(), &["clone", "--quiet", "fleet.git", "work"])?;
        fleet.git(&fleet.work(), &["symbolic-ref", "HEAD", "refs/heads/main"])?;
        Ok(fleet)
    }

    /// Where everything of it lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn work(&self) -> PathBuf {
        self.folder().join("work")
    }

    /// Runs `git` and gives what it printed.
    pub fn git(&self, at: &Path, arguments: &[&str]) -> Result<String> {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=bench", "-c", "user.email=bench@dhow.test", "-c", "gc.auto=0"]);
        git.args(arguments)
            .current_dir(at)
            .env("HOME", self.folder().join("home"))
            .env("GIT_CONFIG_NOSYSTEM", "1");
        let output = git.stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Writes a file, not committed.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.work().join(path);
        fs::create_dir_all(path.parent().context("no parent")?)?;
        Ok(fs::write(path, text)?)
    }

    /// Writes a site in stage that takes every version of its own repository.
    pub fn site(&self, service: &str, registry: &str, pinned: &str) -> Result<()> {
        let artifacts = format!(
            "artifacts:\n  web: {{ bundle: {registry}/{service}/web, policy: {{ semver: \"*\" }} }}\n{CHECKS}"
        );
        self.write(&format!("services/{service}/dhow.yaml"), &artifacts)?;
        let bundle = format!("bundle: {registry}/{service}/web{pinned}\n");
        self.write(&format!("services/{service}/static_file/stage/dhow.yaml"), &bundle)
    }

    /// Brings the clone to what the remote has.
    pub fn pull(&self) -> Result<()> {
        self.git(&self.work(), &["pull", "--quiet", "--ff-only", "origin", "main"]).map(drop)
    }

    /// Commits what was written, and pushes it.
    pub fn push(&self, message: &str) -> Result<()> {
        let work = self.work();
        self.git(&work, &["add", "--all"])?;
        self.git(&work, &["commit", "--quiet", "-m", message])?;
        self.git(&work, &["push", "--quiet", "origin", "main"]).map(drop)
    }

    /// How many commits the branch has.
    pub fn commits(&self) -> Result<u64> {
        let bare = self.folder().join("fleet.git");
        Ok(self.git(&bare, &["rev-list", "--count", "main"])?.trim().parse()?)
    }
}
