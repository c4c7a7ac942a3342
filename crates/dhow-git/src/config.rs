use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use dhow_core::port::{BranchName, FleetRepoError};
use secrecy::SecretString;

/// The name and the e-mail address that a commit carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
}

impl Default for Identity {
    fn default() -> Self {
        Self { name: "Dhow".into(), email: "dhow@localhost".into() }
    }
}

impl Identity {
    /// Git cannot store these characters in a name or an address.
    pub(crate) fn check(&self) -> Result<(), FleetRepoError> {
        let bad = |text: &str| text.trim().is_empty() || text.contains(['<', '>', '\n', '\r', '\0']);
        if bad(&self.name) || bad(&self.email) {
            return Err(FleetRepoError::Refused(format!(
                "the author {:?} <{:?}> cannot be written into a commit; name and e-mail must not be empty and not \
                 contain '<', '>' or line breaks",
                self.name, self.email
            )));
        }
        Ok(())
    }
}

/// Where the fleet is, and how Dhow writes to it.
#[derive(Debug, Clone)]
pub struct GitFleetConfig {
    /// A URL (`https://`, `ssh://`, `file://`, `git://`), `user@host:path`, or the path of a bare repository. It may
    /// carry a password, therefore it is a secret; messages show it without.
    pub remote: SecretString,
    /// The fleet's branch; without one, the branch that the remote's `HEAD` names.
    pub branch: Option<BranchName>,
    /// The folder of the branch that is the fleet's root; without one, the branch's root.
    pub subfolder: Option<String>,
    /// The folder of the mirror; it is created when it is missing. One process at a time may use it.
    pub mirror: PathBuf,
    /// Who commits; without, git's `user.name` and `user.email`, else `Dhow <dhow@localhost>`.
    pub author: Option<Identity>,
    /// Variables that every `git` gets on top of this process's environment.
    pub environment: BTreeMap<String, SecretString>,
    /// How long one `git` command over the network may take.
    pub timeout: Duration,
}

impl GitFleetConfig {
    /// The fleet at `remote`, mirrored in `mirror`, everything else as git has it.
    pub fn new(remote: impl Into<String>, mirror: impl Into<PathBuf>) -> Self {
        Self {
            remote: SecretString::from(remote.into()),
            branch: None,
            subfolder: None,
            mirror: mirror.into(),
            author: None,
            environment: BTreeMap::new(),
            timeout: Duration::from_secs(300),
        }
    }
}

/// Checks the fleet's folder and brings it into one form: no `/` at the ends. The root is `""`.
pub(crate) fn subfolder(given: Option<&str>) -> Result<String, FleetRepoError> {
    let folder = given.unwrap_or_default().trim_matches('/');
    if given.is_some_and(|g| g.starts_with('/')) || (!folder.is_empty() && !is_plain_path(folder)) {
        return Err(FleetRepoError::Refused(format!(
            "the fleet's folder {:?} is no path inside a repository; name it like \"deploy/fleet\"",
            given.unwrap_or_default()
        )));
    }
    Ok(folder.to_owned())
}

/// Whether a path names something inside a repository, without tricks.
pub(crate) fn is_plain_path(path: &str) -> bool {
    path.split('/').all(|part| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && !part.eq_ignore_ascii_case(".git")
            && !part.contains(|c: char| c.is_control())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_outside_the_repository_is_refused() {
        for bad in ["../x", "/etc", "a/../b", ".git", "a/.GIT/b", "a//b", "./a"] {
            assert!(subfolder(Some(bad)).is_err(), "{bad}");
        }
        assert_eq!(subfolder(Some("deploy/fleet/")).unwrap(), "deploy/fleet");
        assert_eq!(subfolder(None).unwrap(), "");
    }

    #[test]
    fn an_author_that_would_break_a_commit_is_refused() {
        assert!(Identity { name: "A\nparent x".into(), email: "a@b".into() }.check().is_err());
        assert!(Identity { name: "A".into(), email: "a>b".into() }.check().is_err());
        assert!(Identity::default().check().is_ok());
    }
}
