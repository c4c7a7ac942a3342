//! Host keys: which one a server showed, and which ones are known.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::Serialize;

/// A host key that a host showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostKey {
    /// `SHA256:...`
    pub fingerprint: String,
    /// The host as files of known hosts write it: `host` or `[host]:port`.
    pub host: String,
    /// Its kind, `ssh-ed25519`.
    pub kind: String,
    /// The key, base64.
    pub key: String,
}

/// Whether the host keys on the way to a server are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// All of them, the jump host's first.
    Known(Vec<HostKey>),
    /// This one is not: it is unknown, or another one than was known.
    Unknown(HostKey),
}

impl HostKey {
    /// Reads what the script noted.
    pub(super) fn noted(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let mut words = text.split_whitespace().map(str::to_owned);
        Some(Self {
            fingerprint: words.next()?,
            host: words.next()?,
            kind: words.next()?,
            key: words.next()?,
        })
    }

    /// Writes it into a file of known hosts, in place of others of its host and kind. The file is replaced by one
    /// rename: a crash leaves the old one.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn remember(&self, known_hosts: &Path) -> io::Result<()> {
        let old = match fs::read_to_string(known_hosts) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let text = self.in_place_of_others(&old);
        let new = known_hosts.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, known_hosts)
    }

    /// The text of a file of known hosts, with this key in place of others of its host and kind.
    pub(crate) fn in_place_of_others(&self, old: &str) -> String {
        let ours = |line: &&str| {
            let mut words = line.split_whitespace();
            words.next() == Some(self.host.as_str()) && words.next() == Some(self.kind.as_str())
        };
        let mut text: String =
            old.lines().filter(|line| !ours(line)).map(|line| format!("{line}\n")).collect();
        text.push_str(&format!("{} {} {}\n", self.host, self.kind, self.key));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(host: &str, key: &str) -> HostKey {
        HostKey {
            fingerprint: "SHA256:x".into(),
            host: host.into(),
            kind: "ssh-ed25519".into(),
            key: key.into(),
        }
    }

    #[test]
    fn a_new_key_of_a_host_replaces_its_old_one_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        for (host, text) in [("a", "1"), ("[a]:2222", "2"), ("a", "3")] {
            key(host, text).remember(&file).unwrap();
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "[a]:2222 ssh-ed25519 2\na ssh-ed25519 3\n");
    }
}
