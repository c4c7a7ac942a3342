//! A fleet in a bare repository, and the people who push to it.

use std::path::{Path, PathBuf};

use super::process::{Said, git, run};

/// Name of the embedded registry in the tests' fleets: its port is not known when the fleet is written.
pub const HOST: &str = "dhow.test";

/// A service of one bundle in stage, which takes every version.
pub const SHOP: [(&str, &str); 2] = [
    (
        "services/shop/dhow.yaml",
        "artifacts:\n  web: { bundle: dhow.test/shop/web, policy: { semver: \"*\" } }\nchecks:\n  - http: { url: \
         \"http://{host}/health\", contains: ok }\n    limit: 1s\n    retry: 100ms\n",
    ),
    ("services/shop/static_file/stage/dhow.yaml", "bundle: dhow.test/shop/web\n"),
];

/// A folder with a bare repository `fleet.git`, a person's clone of it in `work`, and a home.
pub struct Fleet {
    folder: tempfile::TempDir,
}

impl Fleet {
    /// A repository without a commit.
    pub async fn empty() -> Self {
        let fleet = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(fleet.home()).unwrap();
        let bare = fleet.bare().to_string_lossy().into_owned();
        fleet.git(&["init", "--quiet", "--bare", "--initial-branch=main", &bare]).await.ok();
        let work = fleet.work().to_string_lossy().into_owned();
        fleet.git(&["init", "--quiet", "--initial-branch=main", &work]).await.ok();
        fleet.in_work(&["remote", "add", "origin", &bare]).await.ok();
        fleet
    }

    /// A repository with these files.
    pub async fn with(files: &[(&str, &str)]) -> Self {
        let fleet = Self::empty().await;
        fleet.push("the fleet begins", files).await;
        fleet
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn home(&self) -> PathBuf {
        self.folder().join("home")
    }

    pub fn bare(&self) -> PathBuf {
        self.folder().join("fleet.git")
    }

    pub fn work(&self) -> PathBuf {
        self.folder().join("work")
    }

    pub fn url(&self) -> String {
        format!("file://{}", self.bare().display())
    }

    async fn git(&self, arguments: &[&str]) -> Said {
        let mut command = git(&self.home());
        command.args(arguments);
        run(command).await
    }

    /// `git` in the person's clone.
    pub async fn in_work(&self, arguments: &[&str]) -> Said {
        let mut command = git(&self.home());
        command.arg("-C").arg(self.work()).args(arguments);
        run(command).await
    }

    /// Writes files into the person's clone; an empty text removes the file.
    pub fn write(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = self.work().join(path);
            if text.is_empty() {
                std::fs::remove_file(path).unwrap();
                continue;
            }
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    /// Commits files on top of what the branch has, and pushes; again, as a person does, where somebody was quicker.
    pub async fn push(&self, message: &str, files: &[(&str, &str)]) {
        self.pull().await;
        self.write(files);
        self.in_work(&["add", "--all"]).await.ok();
        self.in_work(&["commit", "--quiet", "-m", message]).await.ok();
        let mut tries = 0;
        loop {
            let said = self.in_work(&["push", "--quiet", "origin", "main"]).await;
            if said.code == Some(0) {
                return;
            }
            tries += 1;
            assert!(tries < 20, "{}", said.stderr);
            self.pull().await;
        }
    }

    async fn pull(&self) {
        if !self.log().await.is_empty() {
            self.in_work(&["pull", "--quiet", "--rebase", "origin", "main"]).await.ok();
        }
    }

    /// The subjects of the branch's commits, newest first; none where it has no commit.
    pub async fn log(&self) -> Vec<String> {
        let bare = self.bare().to_string_lossy().into_owned();
        let said = self.git(&["--git-dir", &bare, "log", "--format=%s", "main", "--"]).await;
        said.stdout.lines().map(str::to_owned).collect()
    }

    /// A file at the branch's head.
    pub async fn read(&self, path: &str) -> String {
        let bare = self.bare().to_string_lossy().into_owned();
        self.git(&["--git-dir", &bare, "show", &format!("main:{path}")]).await.ok().stdout
    }
}
