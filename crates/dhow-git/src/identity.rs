//! What the user's git configuration says about who commits and how commits are signed.

use std::collections::BTreeMap;
use std::time::Duration;

use dhow_core::port::FleetRepoError;

use crate::command::Git;
use crate::config::Identity;

/// Keys that are handed on to the code that writes and signs commits.
const HANDED_ON: [&str; 8] = [
    "user.signingkey",
    "commit.gpgsign",
    "gpg.format",
    "gpg.program",
    "gpg.openpgp.program",
    "gpg.ssh.program",
    "gpg.x509.program",
    "gpg.ssh.defaultkeycommand",
];
/// Of these, the ones that are paths.
const PATHS: [&str; 5] =
    ["user.signingkey", "gpg.program", "gpg.openpgp.program", "gpg.ssh.program", "gpg.x509.program"];

/// The user's git configuration, as `git` itself reads it.
#[derive(Debug, Clone, Default)]
pub(crate) struct UserConfig {
    values: BTreeMap<String, String>,
    home: Option<String>,
}

impl UserConfig {
    /// Asks git, so that includes, conditions and variables count as they do for git.
    pub(crate) async fn read(git: &Git) -> Result<Self, FleetRepoError> {
        let refused =
            |why: String| FleetRepoError::Refused(format!("git's configuration cannot be read: {why}"));
        let output = git
            .run(&["config", "--null", "--list"], Duration::from_secs(20))
            .await
            .map_err(|e| refused(e.to_string()))?;
        if !output.ok {
            return Err(refused(crate::redact::words(&output.stderr, &[])));
        }
        Ok(Self { values: parsed(&output.stdout), home: git.variable("HOME") })
    }

    /// Whether the user chose how SSH is started.
    pub(crate) fn has_ssh_command(&self) -> bool {
        self.values.contains_key("core.sshcommand")
    }

    /// Who commits, when Dhow was told nothing.
    pub(crate) fn identity(&self) -> Identity {
        let standard = Identity::default();
        let value = |key: &str| self.values.get(key).filter(|v| !v.trim().is_empty()).cloned();
        Identity {
            name: value("user.name").unwrap_or(standard.name),
            email: value("user.email").unwrap_or(standard.email),
        }
    }

    /// `key=value` for everything that signing needs, with paths below `~` resolved.
    pub(crate) fn signing(&self) -> Vec<String> {
        let known = HANDED_ON.iter().filter_map(|key| Some((*key, self.values.get(*key)?)));
        known.map(|(key, value)| format!("{key}={}", self.resolved(key, value))).collect()
    }

    fn resolved(&self, key: &str, value: &str) -> String {
        match (value.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) if PATHS.contains(&key) => format!("{home}/{rest}"),
            _ => value.to_owned(),
        }
    }
}

/// Of each key, the value that is named last. A key without a value means "true" to git.
pub(crate) fn parsed(list: &str) -> BTreeMap<String, String> {
    let entries = list.split('\0').filter(|entry| !entry.is_empty());
    entries
        .map(|entry| match entry.split_once('\n') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (entry.to_owned(), "true".to_owned()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts_and_home_is_resolved_in_paths_only() {
        let list =
            "user.name\nA\0user.name\nB\0commit.gpgsign\0user.signingkey\n~/.ssh/id.pub\0gpg.format\nssh\0";
        let config = UserConfig { values: parsed(list), home: Some("/home/b".into()) };
        assert_eq!(config.identity(), Identity { name: "B".into(), email: "dhow@localhost".into() });
        assert_eq!(
            config.signing(),
            ["user.signingkey=/home/b/.ssh/id.pub", "commit.gpgsign=true", "gpg.format=ssh"]
        );
        assert!(!config.has_ssh_command());
    }
}
