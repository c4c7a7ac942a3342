//! A bare repository, other people's clone of it, and Dhow's view of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dhow_core::port::{CommitDraft, CommitId, FileChange, FleetRepo};
use dhow_git::{GitFleet, GitFleetConfig};
use secrecy::SecretString;
use tempfile::TempDir;

pub struct Lab {
    pub folder: TempDir,
}

impl Lab {
    /// An empty bare repository with the branch `main`, and a clone of other people's.
    pub fn empty() -> Self {
        let lab = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(lab.path("gitconfig"), "[init]\n\tdefaultBranch = main\n").unwrap();
        let (remote, clone) = (lab.path("fleet.git"), lab.path("clone"));
        lab.git(lab.folder.path(), &["init", "-q", "--bare", remote.to_str().unwrap()]);
        lab.git(lab.folder.path(), &["clone", "-q", remote.to_str().unwrap(), clone.to_str().unwrap()]);
        lab.git(&clone, &["config", "user.name", "Grace"]);
        lab.git(&clone, &["config", "user.email", "grace@example.org"]);
        lab.git(&clone, &["checkout", "-q", "-B", "main"]);
        lab
    }

    /// With a first commit of these files.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let lab = Self::empty();
        lab.others_commit(files);
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn remote(&self) -> PathBuf {
        self.path("fleet.git")
    }

    pub fn git(&self, at: &Path, arguments: &[&str]) -> String {
        let output = self.try_git(at, arguments);
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    pub fn try_git(&self, at: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new("git");
        command.current_dir(at).args(arguments).envs(self.plain_environment());
        command.output().unwrap()
    }

    fn plain_environment(&self) -> BTreeMap<String, String> {
        let config = self.path("gitconfig").to_str().unwrap().to_owned();
        let home = self.folder.path().to_str().unwrap().to_owned();
        [("GIT_CONFIG_GLOBAL", config), ("GIT_CONFIG_NOSYSTEM", "1".into()), ("HOME", home)]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }

    /// Other people commit and push; the new head.
    pub fn others_commit(&self, files: &[(&str, &str)]) -> CommitId {
        let clone = self.path("clone");
        for (path, content) in files {
            let path = clone.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        self.others_push("work of others")
    }

    /// Other people commit whatever is in their clone.
    pub fn others_push(&self, message: &str) -> CommitId {
        let clone = self.path("clone");
        self.git(&clone, &["add", "-A"]);
        self.git(&clone, &["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&clone, &["push", "-q", "--force", "origin", "HEAD:main"]);
        CommitId::new(self.git(&clone, &["rev-parse", "HEAD"])).unwrap()
    }

    pub fn remote_head(&self) -> String {
        self.git(&self.remote(), &["rev-parse", "refs/heads/main"])
    }

    pub fn config(&self) -> GitFleetConfig {
        let mut config = GitFleetConfig::new(self.remote().to_str().unwrap(), self.path("state/mirror"));
        config.environment = self
            .plain_environment()
            .into_iter()
            .map(|(name, value)| (name, SecretString::from(value)))
            .collect();
        config
    }

    pub async fn fleet(&self) -> GitFleet {
        GitFleet::open(self.config()).await.unwrap()
    }

    /// A hook of the remote.
    pub fn hook(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.remote().join("hooks").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

pub fn draft(parent: &CommitId, changes: &[(&str, Option<&str>)]) -> CommitDraft {
    let changes = changes.iter().map(|(path, content)| FileChange {
        path: (*path).into(),
        content: content.map(|c| c.as_bytes().to_vec()),
    });
    let message = "stage/web: 1.2.0\n\nDeployment: stage/web\nWhy: policy".into();
    CommitDraft { parent: parent.clone(), changes: changes.collect(), message }
}

/// Dhow's commit of one file on the remote's head: (parent, commit).
pub async fn one_commit(fleet: &GitFleet, path: &str, content: &str) -> (CommitId, CommitId) {
    let parent = fleet.fetch().await.unwrap().commit;
    let commit = fleet.write(draft(&parent, &[(path, Some(content))])).await.unwrap();
    (parent, commit)
}
