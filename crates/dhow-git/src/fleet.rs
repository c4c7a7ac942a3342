use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dhow_core::fleet::Tree;
use dhow_core::port::{
    BranchName, CommitDraft, CommitId, CommitInfo, FleetRepo, FleetRepoError, Head, PushOutcome, Relation,
};
use secrecy::{ExposeSecret, SecretString};

use crate::command::Git;
use crate::config::{self, GitFleetConfig};
use crate::identity::UserConfig;
use crate::mirror::{Mirror, commit_id, folder_of, object_id};
use crate::network::{Found, NAME, Network};
use crate::remote::Remote;
use crate::tree::GitTree;
use crate::upkeep::Upkeep;
use crate::write::Writer;
use crate::{diff, history};

/// How long writing a commit may take, signing included.
const WRITING: Duration = Duration::from_secs(60);

/// A fleet in Git.
///
/// *Guarantees*: as [`FleetRepo`]. One question, fetch or push runs at a time; reading goes on meanwhile. *Assumes*:
/// no other process writes to the mirror. Git's configuration is read once, when the fleet is opened.
#[derive(Clone)]
pub struct GitFleet {
    inner: Arc<Inner>,
}

struct Inner {
    mirror: Mirror,
    network: Network,
    writer: Writer,
    branch: Option<BranchName>,
    /// The branch that the remote's `HEAD` named when it was last asked.
    seen: Mutex<Option<BranchName>>,
    turn: tokio::sync::Mutex<()>,
    upkeep: Upkeep,
}

impl GitFleet {
    /// Checks the configuration and opens the mirror, creating it when it is missing. The remote is not contacted;
    /// a remote on this machine that has a work tree is refused.
    pub async fn open(config: GitFleetConfig) -> Result<Self, FleetRepoError> {
        let remote = Remote::parse(&config.remote)?;
        remote.refuse_work_tree()?;
        let folder = config::subfolder(config.subfolder.as_deref())?;
        let path = absolute(&config.mirror)?;
        Mirror::create(&path)?;
        let mut git =
            Git { git_dir: Some(path.clone()), environment: config.environment, config: Vec::new() };
        let user = UserConfig::read(&git).await?;
        let author = config.author.unwrap_or_else(|| user.identity());
        author.check()?;
        git.config = settings(&remote, &git, &user);
        let environment =
            git.environment.iter().map(|(name, value)| (name.into(), value.expose_secret().into())).collect();
        let mirror = Mirror::open(&path, user.signing())?;
        let network = Network { git: Arc::new(git), remote, limit: config.timeout };
        let inner = Inner {
            mirror,
            network,
            writer: Writer { author, folder, environment },
            branch: config.branch,
            seen: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
            upkeep: Upkeep::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The remote, fit to be shown: without credentials.
    pub fn remote(&self) -> &str {
        &self.inner.network.remote.shown
    }

    /// Runs work on the mirror where it may block.
    async fn local<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, FleetRepoError> + Send + 'static,
    ) -> Result<T, FleetRepoError> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|e| Err(FleetRepoError::Damaged(format!("work on the mirror ended early: {e}"))))
    }
}

impl Inner {
    async fn fetch(&self) -> Result<Head, FleetRepoError> {
        let (branch, at) = self.find().await?;
        if self.mirror.head()? == Some(object_id(&at)?) {
            return Ok(Head { commit: at, branch });
        }
        self.network.fetch(&branch).await?;
        self.mirror.reopen()?;
        self.upkeep.count(&self.network.git);
        match self.mirror.head()? {
            Some(id) => Ok(Head { commit: commit_id(id)?, branch }),
            None => Err(FleetRepoError::Damaged(format!("{at} was fetched and is not there"))),
        }
    }

    /// The branch and its head as the remote has them.
    async fn find(&self) -> Result<(BranchName, CommitId), FleetRepoError> {
        let remote = &self.network.remote;
        match self.network.find(self.branch.as_ref()).await? {
            Found::Head { branch, commit } => {
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(branch.clone());
                Ok((branch, commit))
            }
            Found::Nothing => Err(FleetRepoError::NoCommits {
                remote: remote.shown.clone(),
                branch: self.branch.as_ref().map_or_else(|| "HEAD".into(), BranchName::to_string),
            }),
            Found::NoBranch => Err(FleetRepoError::Refused(format!(
                "the HEAD of the fleet {} names no branch; say which branch is the fleet with --branch",
                remote.shown
            ))),
        }
    }

    /// The fleet's branch: named, or as the remote's `HEAD` had it, or asked for now.
    async fn branch(&self) -> Result<BranchName, FleetRepoError> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match self.branch.clone().or(seen) {
            Some(branch) => Ok(branch),
            None => Ok(self.find().await?.0),
        }
    }

    async fn push(&self, commit: &CommitId, expect: &CommitId) -> Result<PushOutcome, FleetRepoError> {
        let branch = self.branch().await?;
        // On this machine the answer is known without starting git.
        if self.network.remote.path.is_some()
            && let Found::Head { commit: at, .. } = self.network.find(Some(&branch)).await?
            && at != *expect
            && at != *commit
        {
            return Ok(PushOutcome::Moved);
        }
        let outcome =
            self.network.push(&format!("{commit}:refs/heads/{branch}"), Some((&branch, expect))).await?;
        if outcome == PushOutcome::Pushed {
            self.mirror.set_head(object_id(commit)?)?;
            self.upkeep.count(&self.network.git);
        }
        Ok(outcome)
    }

    fn relation(&self, older: &CommitId, newer: &CommitId) -> Result<Relation, FleetRepoError> {
        history::relation(&mut self.mirror.repo(), object_id(older)?, object_id(newer)?)
    }
}

#[async_trait]
impl FleetRepo for GitFleet {
    async fn fetch(&self) -> Result<Head, FleetRepoError> {
        let _turn = self.inner.turn.lock().await;
        self.inner.fetch().await
    }

    async fn tree(&self, commit: &CommitId) -> Result<Arc<dyn Tree>, FleetRepoError> {
        let commit = commit.clone();
        self.local(move |inner| {
            let folder = &inner.writer.folder;
            let root = folder_of(&inner.mirror.repo(), object_id(&commit)?, folder)?.ok_or_else(|| {
                // An empty fleet in its place would take everything down.
                FleetRepoError::Refused(format!(
                    "the fleet's folder {folder:?} is not in commit {}",
                    commit.short()
                ))
            })?;
            Ok(Arc::new(GitTree::new(inner.mirror.shared(), root)) as Arc<dyn Tree>)
        })
        .await
    }

    async fn changed(&self, from: &CommitId, to: &CommitId) -> Result<Vec<String>, FleetRepoError> {
        let (from, to) = (object_id(from)?, object_id(to)?);
        self.local(move |inner| {
            let (repo, folder) = (inner.mirror.repo(), &inner.writer.folder);
            diff::changed(&repo, folder_of(&repo, from, folder)?, folder_of(&repo, to, folder)?)
        })
        .await
    }

    async fn relation(&self, older: &CommitId, newer: &CommitId) -> Result<Relation, FleetRepoError> {
        let (older, newer) = (older.clone(), newer.clone());
        self.local(move |inner| inner.relation(&older, &newer)).await
    }

    async fn log(
        &self,
        from: Option<&CommitId>,
        to: &CommitId,
        limit: usize,
    ) -> Result<Vec<CommitInfo>, FleetRepoError> {
        let (from, to) = (from.map(object_id).transpose()?, object_id(to)?);
        self.local(move |inner| history::log(&mut inner.mirror.repo(), from, to, limit, &inner.writer.folder))
            .await
    }

    async fn write(&self, draft: CommitDraft) -> Result<CommitId, FleetRepoError> {
        let writing = self.local(move |inner| inner.writer.write(&inner.mirror.repo(), &draft));
        tokio::time::timeout(WRITING, writing).await.unwrap_or_else(|_| {
            Err(FleetRepoError::Refused(format!(
                "the commit was not written within {} s; the program that signs may be waiting for a passphrase",
                WRITING.as_secs()
            )))
        })
    }

    async fn push(&self, commit: &CommitId, expect: &CommitId) -> Result<PushOutcome, FleetRepoError> {
        // The lease alone would let a commit pass that drops the expected one.
        if self.relation(expect, commit).await? == Relation::Diverged {
            return Err(FleetRepoError::Refused(format!(
                "commit {} does not build on {}; nothing was pushed",
                commit.short(),
                expect.short()
            )));
        }
        let _turn = self.inner.turn.lock().await;
        self.inner.push(commit, expect).await
    }

    async fn push_proposal(
        &self,
        branch: &BranchName,
        commit: Option<&CommitId>,
    ) -> Result<PushOutcome, FleetRepoError> {
        let refuse =
            |why: &str| Err(FleetRepoError::Refused(format!("the branch {branch} is not pushed: {why}")));
        if !branch.as_str().starts_with("dhow/") {
            return refuse("proposals are on branches below dhow/ only");
        }
        let _turn = self.inner.turn.lock().await;
        self.inner.network.remote.refuse_work_tree()?;
        if self.inner.branch().await? == *branch {
            return refuse("it is the fleet's own branch");
        }
        let refspec = match commit {
            Some(commit) => format!("+{commit}:refs/heads/{branch}"),
            None => format!(":refs/heads/{branch}"),
        };
        self.inner.network.push(&refspec, None).await
    }
}

fn absolute(path: &Path) -> Result<std::path::PathBuf, FleetRepoError> {
    std::path::absolute(path).map_err(|e| {
        FleetRepoError::Refused(format!("the mirror's folder {} is no path: {e}", path.display()))
    })
}

/// Configuration that every git command gets on top of the user's.
fn settings(remote: &Remote, git: &Git, user: &UserConfig) -> Vec<(String, SecretString)> {
    let mut settings = vec![
        (format!("remote.{NAME}.url"), SecretString::from(remote.url().to_owned())),
        ("protocol.ext.allow".into(), "never".into()),
        // Hooks of the user's are for their own work trees.
        ("core.hooksPath".into(), "/dev/null".into()),
        ("fetch.recurseSubmodules".into(), "no".into()),
    ];
    let chosen = user.has_ssh_command()
        || ["GIT_SSH_COMMAND", "GIT_SSH"].iter().any(|name| git.variable(name).is_some());
    if !chosen {
        settings.push(("core.sshCommand".into(), "ssh -o BatchMode=yes".into()));
    }
    settings
}
