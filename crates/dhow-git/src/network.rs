//! Asking, fetching and pushing, by the git command.

use std::sync::Arc;
use std::time::Duration;

use dhow_core::port::{BranchName, CommitId, FleetRepoError, PushOutcome};

use crate::command::{Git, Output};
use crate::local;
use crate::mirror::HEAD;
use crate::outcome;
use crate::remote::Remote;

/// The remote's name in the configuration that git gets; its URL thus is in no argument.
pub(crate) const NAME: &str = "dhow-fleet";
/// How long the question for a branch's head may take.
const QUESTION: Duration = Duration::from_secs(60);

/// What the remote has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// A branch with a commit.
    Head { branch: BranchName, commit: CommitId },
    /// No such branch, or no commit.
    Nothing,
    /// A `HEAD` that names no branch.
    NoBranch,
}

/// The way to the remote.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) git: Arc<Git>,
    pub(crate) remote: Remote,
    pub(crate) limit: Duration,
}

impl Network {
    /// Asks for the branch's head. Brings no objects.
    pub(crate) async fn find(&self, branch: Option<&BranchName>) -> Result<Found, FleetRepoError> {
        self.remote.refuse_work_tree()?;
        if let Some(path) = self.remote.path.clone() {
            let branch = branch.cloned();
            let found = tokio::task::spawn_blocking(move || local::find(&path, branch.as_ref())).await;
            if let Ok(Some(found)) = found {
                return Ok(found);
            }
        }
        let name = branch.map_or_else(|| "HEAD".to_owned(), |b| format!("refs/heads/{b}"));
        let arguments = ["ls-remote", "--symref", "--quiet", "--", NAME, &name];
        let output = self.run(&arguments, QUESTION.min(self.limit)).await?;
        if !output.ok {
            return Err(self.remote.unreachable(&output.stderr));
        }
        Ok(read_refs(&output.stdout, branch, &name))
    }

    /// Brings the branch's commits into the mirror and points [`HEAD`] at its head.
    pub(crate) async fn fetch(&self, branch: &BranchName) -> Result<(), FleetRepoError> {
        let refspec = format!("+refs/heads/{branch}:{HEAD}");
        let mut arguments =
            vec!["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"];
        arguments.extend(["--no-recurse-submodules", "--", NAME, &refspec]);
        let output = self.run(&arguments, self.limit).await?;
        if output.ok {
            Ok(())
        } else if output.stderr.contains("couldn't find remote ref") {
            Err(FleetRepoError::NoCommits { remote: self.remote.shown.clone(), branch: branch.to_string() })
        } else {
            Err(self.remote.unreachable(&output.stderr))
        }
    }

    /// Pushes one refspec; with `expect`, only if the remote's reference is there.
    pub(crate) async fn push(
        &self,
        refspec: &str,
        expect: Option<(&BranchName, &CommitId)>,
    ) -> Result<PushOutcome, FleetRepoError> {
        let lease = expect.map(|(branch, at)| format!("--force-with-lease=refs/heads/{branch}:{at}"));
        let mut arguments = vec!["push", "--porcelain", "--no-verify", "--no-follow-tags"];
        arguments.extend(lease.as_deref());
        arguments.extend(["--recurse-submodules=no", "--", NAME, refspec]);
        let output = self.run(&arguments, self.limit).await?;
        outcome::of_push(&output, &self.remote)
    }

    async fn run(&self, arguments: &[&str], limit: Duration) -> Result<Output, FleetRepoError> {
        self.git.run(arguments, limit).await.map_err(|e| self.remote.unreachable(&e.to_string()))
    }
}

/// Reads what `git ls-remote --symref` prints. Patterns match tails of names, so names are compared whole.
pub(crate) fn read_refs(output: &str, branch: Option<&BranchName>, name: &str) -> Found {
    let mut named = None;
    let mut commit = None;
    for (value, of) in output.lines().filter_map(|line| line.split_once('\t')).filter(|(_, of)| *of == name) {
        match value.strip_prefix("ref: ") {
            Some(target) if of == "HEAD" => named = target.strip_prefix("refs/heads/"),
            Some(_) => {}
            None => commit = CommitId::new(value).ok(),
        }
    }
    let named = branch.cloned().or_else(|| named.and_then(|name| BranchName::new(name).ok()));
    match (named, commit) {
        (Some(branch), Some(commit)) => Found::Head { branch, commit },
        (None, Some(_)) => Found::NoBranch,
        (_, None) => Found::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_reference_that_was_asked_for_counts() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let main = BranchName::new("main").unwrap();
        let text = format!("ref: refs/heads/main\tHEAD\n{a}\tHEAD\n{b}\trefs/remotes/x/HEAD\n");
        let commit = CommitId::new(a.clone()).unwrap();
        assert_eq!(read_refs(&text, None, "HEAD"), Found::Head { branch: main.clone(), commit });
        assert_eq!(read_refs(&format!("{a}\tHEAD\n"), None, "HEAD"), Found::NoBranch);
        let text = format!("{b}\trefs/heads/refs/heads/main\n");
        assert_eq!(read_refs(&text, Some(&main), "refs/heads/main"), Found::Nothing);
    }
}
