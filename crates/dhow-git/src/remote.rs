//! The remote: what is accepted as one, and how it is shown.

use std::path::{Path, PathBuf};

use dhow_core::port::FleetRepoError;
use secrecy::{ExposeSecret, SecretString};

use crate::redact;

/// Transports that git carries and that run no command named in the URL.
const SCHEMES: [&str; 7] = ["file", "ssh", "git+ssh", "ssh+git", "git", "http", "https"];

/// A remote that was checked.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    /// What git gets.
    url: SecretString,
    /// What people see: no credentials.
    pub(crate) shown: String,
    /// The folder, when the remote is on this machine.
    pub(crate) path: Option<PathBuf>,
    /// Parts that must not be shown wherever git repeats them.
    secrets: Vec<SecretString>,
}

impl Remote {
    /// Checks a remote. Nothing is contacted.
    pub(crate) fn parse(given: &SecretString) -> Result<Self, FleetRepoError> {
        let text = given.expose_secret();
        // Redacted first: what stands behind the mark may be the rest of a password.
        let shown = redact::words(text, &[]);
        let shown = shown.split(['?', '#']).next().unwrap_or_default().to_owned();
        let refuse = |why: &str| Err(FleetRepoError::Refused(format!("the fleet {shown:?} {why}")));
        if text.is_empty() {
            return refuse("is empty; name a URL or the path of a bare repository");
        }
        if text.starts_with('-') || text.contains(|c: char| c.is_control()) {
            return refuse("is no URL and no path: it starts with '-' or holds control characters");
        }
        if let Some((helper, _)) = text.split_once("::")
            && helper.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        {
            return refuse(
                "names a transport helper of git, which could run any command; use https, ssh, file or a path",
            );
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            if !SCHEMES.contains(&scheme) {
                return refuse("has a scheme that is not known; use https, ssh, file or a path");
            }
            if scheme == "file" {
                if !rest.starts_with('/') {
                    return refuse("names a host; write file:///path for a folder of this machine");
                }
                let path = PathBuf::from(percent_decoded(rest));
                return Ok(Self { url: given.clone(), shown, path: Some(path), secrets: Vec::new() });
            }
            let authority = rest.split('/').next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            if host.is_empty() || host.starts_with('-') || authority.starts_with('-') {
                return refuse("names no host that can be reached");
            }
            return Ok(Self { url: given.clone(), shown, path: None, secrets: secrets(rest) });
        }
        match text.find([':', '/']) {
            // git takes `host:path` for SSH unless a slash comes first.
            Some(at) if text.as_bytes()[at] == b':' => {
                let host = text[..at].rsplit('@').next().unwrap_or_default();
                if host.is_empty() || host.starts_with('-') {
                    return refuse("names no host that can be reached");
                }
                Ok(Self { url: given.clone(), shown, path: None, secrets: Vec::new() })
            }
            _ => {
                let path = std::path::absolute(text)
                    .map_err(|e| FleetRepoError::Refused(format!("the fleet {shown:?} is no path: {e}")))?;
                let url = SecretString::from(path.to_string_lossy().into_owned());
                Ok(Self { url, shown, path: Some(path), secrets: Vec::new() })
            }
        }
    }

    /// What git gets. Never to be printed.
    pub(crate) fn url(&self) -> &str {
        self.url.expose_secret()
    }

    /// Git's words without our secrets, cut.
    pub(crate) fn words(&self, text: &str) -> String {
        let secrets: Vec<String> = self.secrets.iter().map(|s| s.expose_secret().to_owned()).collect();
        redact::words(text, &secrets)
    }

    /// The error for a remote that does not answer as it should.
    pub(crate) fn unreachable(&self, reason: &str) -> FleetRepoError {
        let reason = match self.words(reason) {
            empty if empty.is_empty() => "git gave no reason".to_owned(),
            words => words,
        };
        FleetRepoError::Unreachable { remote: self.shown.clone(), reason }
    }

    /// Refuses a folder with a work tree: git refuses pushes to the branch that is checked out there.
    pub(crate) fn refuse_work_tree(&self) -> Result<(), FleetRepoError> {
        match &self.path {
            Some(path) if has_work_tree(path) => {
                let bare = path.with_extension("git");
                Err(FleetRepoError::Refused(format!(
                    "the fleet {} is a repository with a work tree, and Git refuses pushes to its checked-out branch; make \
                     a bare one with `git clone --bare {} {}`, name that as the fleet, and make it the remote of your work \
                     tree",
                    self.shown,
                    path.display(),
                    bare.display()
                )))
            }
            _ => Ok(()),
        }
    }
}

fn has_work_tree(path: &Path) -> bool {
    let is_git_folder = path.file_name().is_some_and(|name| name == ".git") && path.join("HEAD").exists();
    is_git_folder || (path.join(".git").exists() && !path.join("HEAD").exists())
}

/// The user information of a URL, whole and in parts.
fn secrets(rest: &str) -> Vec<SecretString> {
    let authority = rest.rsplit_once('@').map(|(user, _)| user).unwrap_or_default();
    let mut parts = vec![authority.to_owned()];
    if let Some((_, password)) = authority.split_once(':') {
        parts.push(password.to_owned());
        parts.push(percent_decoded(password));
    }
    parts.into_iter().filter(|p| p.contains(':') || p.len() > 3).map(SecretString::from).collect()
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Remote, FleetRepoError> {
        Remote::parse(&SecretString::from(text))
    }

    #[test]
    fn a_remote_that_could_run_a_command_is_refused() {
        for bad in [
            "",
            "--upload-pack=touch /tmp/x",
            "ext::sh -c id",
            "fd::7",
            "foo+bar::x",
            "ssh://-oProxyCommand=id/x",
            "ssh://git@-oProxyCommand=id/x",
            "-oProxyCommand=id:x",
            "git@-oProxyCommand=id:x",
            "https:///x",
            "ftp://h/x",
            "file://h/x",
            "a\nb",
        ] {
            assert!(matches!(parse(bad), Err(FleetRepoError::Refused(_))), "{bad:?}");
        }
    }

    #[test]
    fn usual_remotes_are_taken() {
        for good in ["https://h/x.git", "ssh://git@h:22/x", "git@h:x/y.git", "ssh://[::1]:22/x"] {
            assert_eq!(parse(good).unwrap().path, None, "{good}");
        }
        assert_eq!(parse("/srv/x.git").unwrap().path, Some("/srv/x.git".into()));
        assert_eq!(parse("file:///srv/a%20b.git").unwrap().path, Some("/srv/a b.git".into()));
        assert!(parse("x.git").unwrap().path.unwrap().is_absolute());
        assert!(parse("./a:b").unwrap().path.is_some());
    }

    #[test]
    fn a_password_is_nowhere_to_be_seen() {
        let remote = parse("https://me:s3cr%21et@h/x?private_token=abcdef").unwrap();
        assert_eq!(remote.shown, "https://***@h/x");
        assert_eq!(parse("https://me:s3#cr?et@h/x").unwrap().shown, "https://***@h/x");
        let error = remote
            .unreachable("cannot log in with s3cr!et or s3cr%21et at https://me:s3cr%21et@h/x")
            .to_string();
        assert!(!error.contains("s3cr") && !error.contains("abcdef"), "{error}");
        assert!(!format!("{remote:?}").contains("s3cr"));
    }
}
