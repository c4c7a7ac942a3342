//! The fleet's repository, and the person who pushes to it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};

use crate::lab::clean;

/// A bare repository `fleet.git`, and a person's clone of it in `work`.
#[derive(Debug, Clone)]
pub struct Repository {
    folder: PathBuf,
}

impl Repository {
    /// That of a folder. Nothing is read yet.
    pub fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Makes it, with these files.
    ///
    /// # Errors
    /// Git refuses.
    pub async fn make(folder: &Path, files: &[(String, String)]) -> Result<Self> {
        let this = Self::of(folder);
        std::fs::create_dir_all(this.home())?;
        let bare = this.bare().display().to_string();
        let work = this.work().display().to_string();
        this.git(&["init", "--quiet", "--bare", "--initial-branch=main", &bare]).await?;
        this.git(&["init", "--quiet", "--initial-branch=main", &work]).await?;
        this.git(&["-C", &work, "remote", "add", "origin", &bare]).await?;
        this.commit("the fleet begins", files).await?;
        Ok(this)
    }

    /// After the folder was copied: the clone's remote is the copy.
    ///
    /// # Errors
    /// Git refuses.
    pub async fn moved(&self) -> Result<()> {
        let (work, bare) = (self.work().display().to_string(), self.bare().display().to_string());
        self.git(&["-C", &work, "remote", "set-url", "origin", &bare]).await.map(drop)
    }

    /// The home of those who work here.
    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// The remote.
    pub fn bare(&self) -> PathBuf {
        self.folder.join("fleet.git")
    }

    fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// The address for `serve`.
    pub fn url(&self) -> String {
        format!("file://{}", self.bare().display())
    }

    /// Commits files on top of the branch, and pushes; again where somebody was quicker. No text: the file goes.
    ///
    /// # Errors
    /// Git refuses again and again.
    pub async fn commit(&self, message: &str, files: &[(String, String)]) -> Result<()> {
        let work = self.work();
        let shown = work.display().to_string();
        let pull = ["-C", &shown, "pull", "--quiet", "--rebase", "origin", "main"];
        if !self.git(&["--git-dir", &self.bare().display().to_string(), "branch"]).await?.is_empty() {
            self.git(&pull).await?;
        }
        for (path, text) in files {
            let path = work.join(path);
            if text.is_empty() {
                std::fs::remove_file(&path)?;
                continue;
            }
            std::fs::create_dir_all(path.parent().context("a path has a folder")?)?;
            std::fs::write(path, text)?;
        }
        self.git(&["-C", &shown, "add", "--all"]).await?;
        self.git(&["-C", &shown, "commit", "--quiet", "-m", message]).await?;
        for _ in 0..20 {
            if self.git(&["-C", &shown, "push", "--quiet", "origin", "main"]).await.is_ok() {
                return Ok(());
            }
            self.git(&pull).await?;
        }
        bail!("{message:?} cannot be pushed")
    }

    /// `git` on the bare repository.
    ///
    /// # Errors
    /// Git refuses.
    pub async fn ask(&self, arguments: &[&str]) -> Result<String> {
        let bare = self.bare().display().to_string();
        let mut all = vec!["--git-dir", &bare];
        all.extend(arguments);
        self.git(&all).await
    }

    async fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut git = clean(Path::new("git"), &self.home());
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "alice").env(format!("GIT_{role}_EMAIL"), "alice@acme.dev");
        }
        let output = git.args(arguments).stdin(Stdio::null()).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "git {}: {}", arguments.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
