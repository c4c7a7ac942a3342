//! A static site on a server, by nothing but a shell and coreutils there.
//!
//! ```text
//! <directory>/current -> releases/<hash>       what the server's web server serves
//! <directory>/releases/<hash>/...              the files of a release
//! <directory>/releases/<hash>.mend/...         the same, while a damaged copy is replaced
//! <directory>/releases/.owner                  the deployment, `<environment>/<service>`
//! <directory>/releases/.same-<hash>            as old as the last comparison that found no difference
//! <home>/static_file/<environment>/<service>   the directories that were ever used, the last one last
//! ```
//!
//! Guarantees: a folder with a release's name is whole; `current` moves by one rename; all that changes something runs
//! under the deployment's lock, where a lower epoch is refused. Other names that begin with `.` are work in
//! progress, and go with the next change.

mod trouble;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dhow_core::fleet::DesiredHash;
use dhow_core::noun::DeploymentId;
use dhow_core::port::{Command, Executor, Output, PlaceLock, TargetError};

use crate::manifest::Manifest;
use crate::releases::Release;
pub(crate) use trouble::executor_error;

const ENTER: &str = include_str!("enter.sh");
const LOOK: &str = include_str!("look.sh");
const UNCHANGED: &str = include_str!("unchanged.sh");
const COMPARE: &str = include_str!("compare.sh");
const POINT: &str = include_str!("point.sh");
const RETIRE: &str = include_str!("retire.sh");
const REMOVE: &str = include_str!("remove.sh");
/// How a comparison says that something differs.
const OTHER: i32 = 66;
/// How a script says that a directory is another deployment's.
const TAKEN: i32 = 68;
/// How a script says that a program is missing.
const LACKS: i32 = 69;
/// What a copy that replaces a damaged one is called for a moment.
const MEND: &str = ".mend";
/// Bytes that a slow disk reads in a second.
const SLOW: u64 = 10_000_000;

/// Under what something is changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// Number of the rollout; 0 for a removal.
    pub(crate) rollout: u64,
    /// Epoch of the lease.
    pub(crate) epoch: u64,
}

/// What stands in a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// The text of the link `current`.
    pub(crate) link: Option<String>,
    /// Releases with their own name.
    pub(crate) releases: Vec<DesiredHash>,
    /// All that is named like a release.
    pub(crate) names: Vec<String>,
}

impl Look {
    /// The release that `current` leads to.
    pub(crate) fn current(&self) -> Option<DesiredHash> {
        let name = self.link.as_deref()?.strip_prefix("releases/")?;
        name.strip_suffix(MEND).unwrap_or(name).parse().ok()
    }

    fn read(text: &str) -> Option<Self> {
        let mut look = Self::default();
        let mut rest = text;
        loop {
            let (line, after) = rest.split_once('\n')?;
            match line.split_once(' ') {
                Some(("release", name)) => {
                    look.releases.extend(name.parse::<DesiredHash>());
                    if name.strip_suffix(MEND).unwrap_or(name).parse::<DesiredHash>().is_ok() {
                        look.names.push(name.to_owned());
                    }
                }
                Some(("link", _)) => {
                    look.link = rest.strip_prefix("link ").map(|text| text.trim_end_matches('\n').to_owned());
                    return Some(look);
                }
                None if line == "none" => return Some(look),
                _ => return None,
            }
            rest = after;
        }
    }
}

/// One deployment on one server.
pub(crate) struct Site {
    executor: Arc<dyn Executor>,
    id: DeploymentId,
    directory: String,
    notes: String,
    /// `<environment>/<service>`: how a directory says whose it is.
    owner: String,
}

impl Site {
    /// The site in its directory, or in Dhow's own where none is named. Changes nothing.
    pub(crate) async fn new(
        executor: Arc<dyn Executor>,
        id: &DeploymentId,
        directory: Option<&str>,
    ) -> Result<Self, TargetError> {
        let home = executor.home().await.map_err(executor_error)?;
        let owner = format!("{}/{}", id.environment, id.service);
        let directory = directory.map_or_else(|| format!("{home}/static/{owner}"), str::to_owned);
        let notes = format!("{home}/static_file/{owner}");
        Ok(Self { executor, id: id.clone(), directory, notes, owner })
    }

    /// The site in the directory that was used last; `None` where none ever was. Changes nothing.
    pub(crate) async fn known(
        executor: Arc<dyn Executor>,
        id: &DeploymentId,
    ) -> Result<Option<Self>, TargetError> {
        let mut site = Self::new(executor, id, None).await?;
        let notes = site.executor.read(&site.notes).await.map_err(executor_error)?.unwrap_or_default();
        let last = String::from_utf8_lossy(&notes).lines().last().map(str::to_owned);
        Ok(last.map(|last| {
            site.directory = last;
            site
        }))
    }

    fn lock(&self, turn: Turn) -> PlaceLock {
        let name = format!("static_file/{}/{}", self.id.environment, self.id.service);
        PlaceLock { name, rollout: turn.rollout, epoch: turn.epoch }
    }

    async fn change<'a>(
        &self,
        turn: Turn,
        what: &str,
        script: &'static str,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Result<Output, TargetError> {
        let command = Command::new(["sh", "-c", script, "dhow"].into_iter().chain(args));
        let output = self.executor.run_locked(&self.lock(turn), &command, &()).await;
        let output = output.map_err(executor_error)?;
        if output.ok() { Ok(output) } else { Err(self.trouble(what, &output)) }
    }

    fn trouble(&self, what: &str, output: &Output) -> TargetError {
        trouble::of_script(&self.id, &self.directory, &self.executor.place(), what, output)
    }

    /// What is there. Changes nothing.
    ///
    /// # Errors
    /// `current` is no link: what stands there is not ours.
    pub(crate) async fn look(&self) -> Result<Look, TargetError> {
        let command = Command::new(["sh", "-c", LOOK, "dhow", &self.directory]);
        let output = self.executor.run(&command, &()).await.map_err(executor_error)?;
        if !output.ok() {
            return Err(self.trouble("be looked at", &output));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Look::read(&text).ok_or_else(|| trouble::foreign(&self.id, &self.directory, &self.executor.place()))
    }

    /// Makes the folders and notes the directory; one that another deployment has now is refused. Gives the folders on the way that are closed to others. A crash in it
    /// leaves some of it, for the next time.
    pub(crate) async fn enter(&self, turn: Turn) -> Result<Vec<String>, TargetError> {
        let output =
            self.change(turn, "be made", ENTER, [&*self.directory, &*self.notes, &*self.owner]).await?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Sends a release that is not there, and compares what is there then. A crash in it leaves it whole or not there.
    pub(crate) async fn send(&self, turn: Turn, name: &str, release: &Release) -> Result<(), TargetError> {
        let folder = format!("{}/releases/{name}", self.directory);
        let sent = self.executor.send_folder(&self.lock(turn), &folder, &release.files_dir()).await;
        sent.map_err(executor_error)?;
        match self.compare(name, &release.manifest).await? {
            None => Ok(()),
            Some(differs) => Err(TargetError::Blocked(format!(
                "the files of {} that were sent to {} on {} are not those of the release: {differs}; nothing was switched. \
                 Look at the disks here and there, and it goes on by itself within a minute",
                self.id,
                folder,
                self.executor.place()
            ))),
        }
    }

    /// True where no file of the release there was touched since `compare` found it to be whole. Reads no file.
    pub(crate) async fn unchanged(&self, name: &str, files: usize) -> Result<bool, TargetError> {
        let releases = format!("{}/releases", self.directory);
        let command = Command::new(["sh", "-c", UNCHANGED, "dhow", &releases, name, &files.to_string()]);
        let output = self.executor.run(&command, &()).await.map_err(executor_error)?;
        Ok(output.ok())
    }

    /// How the files of a release there differ from what they should be; `None`: they do not. Changes nothing.
    pub(crate) async fn compare(
        &self,
        name: &str,
        manifest: &Manifest,
    ) -> Result<Option<String>, TargetError> {
        let folder = format!("{}/releases/{name}", self.directory);
        let count = manifest.files.len();
        let mut lines = String::new();
        for (path, file) in &manifest.files {
            lines.push_str(&format!("{}  ./{path}\n", file.sha256.hex()));
        }
        let mut command = Command::new(["sh", "-c", COMPARE, "dhow", &folder, &count.to_string()]);
        command.stdin = Some(Bytes::from(lines));
        command.limit = Duration::from_secs((60 + manifest.total_bytes() / SLOW).min(3600));
        let output = self.executor.run(&command, &()).await.map_err(executor_error)?;
        match output.code {
            Some(0) => Ok(None),
            Some(OTHER) => Ok(Some(trouble::difference(&output.stdout, count))),
            _ => Err(self.trouble("be compared", &output)),
        }
    }

    /// Lets `current` be this release, by one rename. A crash leaves the old link or the new one.
    pub(crate) async fn point(&self, turn: Turn, name: &str) -> Result<(), TargetError> {
        let to = format!("releases/{name}");
        self.change(turn, "be switched", POINT, [&*self.directory, &*to]).await.map(drop)
    }

    /// Lets `current` be what it was before, where it is this release. A crash leaves the old link or the new one.
    pub(crate) async fn point_back(
        &self,
        turn: Turn,
        hash: &DesiredHash,
        previous: Option<&str>,
    ) -> Result<(), TargetError> {
        let (own, mended) = (format!("releases/{hash}"), format!("releases/{}", mend_name(hash)));
        let args = [&*self.directory, previous.unwrap_or_default(), &*own, &*mended];
        if self.look().await? == Look::default() {
            return Ok(());
        }
        self.change(turn, "be switched back", POINT, args).await.map(drop)
    }

    /// Removes releases, but never the current one. Repeatable.
    pub(crate) async fn retire(&self, turn: Turn, names: &[String]) -> Result<(), TargetError> {
        let args = [&*self.directory].into_iter().chain(names.iter().map(String::as_str));
        self.change(turn, "be tidied up", RETIRE, args).await.map(drop)
    }

    /// Removes the site from every directory that it ever had. The directories themselves stay. Repeatable.
    pub(crate) async fn remove(&self, turn: Turn) -> Result<(), TargetError> {
        self.change(turn, "be removed", REMOVE, [&*self.notes, &*self.owner]).await.map(drop)
    }
}

/// The name of the copy that stands in while a damaged one is replaced.
pub(crate) fn mend_name(hash: &DesiredHash) -> String {
    format!("{hash}{MEND}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_there_is_read_whatever_the_link_says() {
        let hash = "0123456789abcdef".repeat(4);
        let text = format!("release {hash}\nrelease {hash}.mend\nrelease other\nlink releases/{hash}.mend\n");
        let look = Look::read(&text).unwrap();
        assert_eq!(look.current().unwrap().to_string(), hash);
        assert_eq!((look.releases.len(), look.names.len()), (1, 2));
        let odd = Look::read("link a\nrelease x\n").unwrap();
        assert_eq!((odd.link.as_deref(), odd.current()), (Some("a\nrelease x"), None));
        assert_eq!(Look::read("none\n"), Some(Look::default()));
        assert_eq!(Look::read("other\n"), None);
        assert_eq!(Look::read(""), None);
    }
}
