//! What `ssh` says, as an error for a person.

use dhow_core::port::ExecutorError;

use super::host_key::HostKey;
use super::login::Login;

/// What is known of an attempt that failed.
pub(super) struct Attempt<'a> {
    /// The server for people.
    pub(super) label: &'a str,
    pub(super) name: &'a str,
    pub(super) login: &'a Login,
    pub(super) jump: Option<&'a Login>,
    /// The keys that the server and the jump host showed.
    pub(super) shown: Option<&'a HostKey>,
    pub(super) jump_shown: Option<&'a HostKey>,
    /// What `ssh` said.
    pub(super) said: &'a str,
}

/// The last line that says something.
pub(super) fn last_line(said: &str) -> Option<&str> {
    said.lines().map(str::trim).rfind(|line| !line.is_empty())
}

/// Whether it is the host key that is not trusted.
pub(super) fn is_host_key(said: &str) -> bool {
    ["Host key verification failed", "host key is known for", "HOST IDENTIFICATION HAS CHANGED"]
        .iter()
        .any(|text| said.contains(text))
}

impl Attempt<'_> {
    pub(super) fn error(&self) -> ExecutorError {
        let (label, said) = (self.label, self.said);
        if is_host_key(said) {
            return ExecutorError::Refused(self.host_key());
        }
        let reason = last_line(said).unwrap_or("it closed the connection without a word");
        if said.contains("Permission denied (") || said.contains("Too many authentication failures") {
            return ExecutorError::Refused(self.login_refused());
        }
        let ours = ["Load key", "Bad configuration option", "UNPROTECTED PRIVATE KEY", "bad permissions"];
        if ours.iter().any(|text| said.contains(text)) {
            return ExecutorError::Refused(format!("ssh cannot log in to {label}: {}", said.trim()));
        }
        let theirs = ["This account is", "not found", "No such file or directory", "not available"];
        if theirs.iter().any(|text| reason.contains(text)) && !reason.contains("resolve hostname") {
            let advice = "the user needs a POSIX shell there: `usermod -s /bin/sh USER`";
            return ExecutorError::Refused(format!("{label} runs no command: {reason}; {advice}"));
        }
        ExecutorError::Unreachable { place: label.into(), reason: reason.into() }
    }

    fn login_refused(&self) -> String {
        let (who, login) = match self.jump {
            Some(jump) if self.shown.is_none() => (format!("the jump host {jump} of {}", self.name), jump),
            _ => (self.label.to_owned(), self.login),
        };
        let key = match &login.identity {
            Some(path) => format!("the key {}", path.display()),
            None => "the keys of the agent and of ~/.ssh".into(),
        };
        format!(
            "{who} does not let us in with {key}: {}; put the public key into ~/.ssh/authorized_keys of that user \
             there, or name another user or identity in the fleet's dhow.yaml",
            last_line(self.said).unwrap_or_default()
        )
    }

    fn host_key(&self) -> String {
        let (login, key, whose) = match (self.jump, self.jump_shown, self.shown) {
            (Some(jump), key, None) => (jump, key, format!("the jump host {jump} of {}", self.name)),
            (_, _, key) => (self.login, key, self.label.to_owned()),
        };
        let Some(key) = key else {
            return format!("the host key of {whose} is not trusted: {}", self.said.trim());
        };
        let (kind, shown, name) = (&key.kind, &key.fingerprint, self.name);
        if let Some(wanted) = &login.fingerprint {
            return format!(
                "{whose} shows the host key {shown} ({kind}), and the fleet expects {wanted}: someone may be in \
                 between. If the server was set up anew, compare the key there and change `fingerprint` in dhow.yaml"
            );
        }
        if self.said.contains("HAS CHANGED") {
            return format!(
                "the host key of {whose} changed: it shows {shown} ({kind}) now, and another one is known: someone \
                 may be in between. If the server was set up anew, run `dhow server add {name}`"
            );
        }
        format!(
            "the host key of {whose} is not known: it shows {shown} ({kind}). Compare it there with \
             `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`, then run `dhow server add {name}`, or write \
             `fingerprint: {shown}` into the fleet's dhow.yaml"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(said: &str, shown: Option<&HostKey>, fingerprint: Option<&str>) -> ExecutorError {
        let login = Login {
            user: "deploy".into(),
            host: "web1.acme.dev".into(),
            port: 22,
            identity: None,
            fingerprint: fingerprint.map(str::to_owned),
        };
        let label = "web1 (deploy@web1.acme.dev)";
        Attempt { label, name: "web1", login: &login, jump: None, shown, jump_shown: None, said }.error()
    }

    #[test]
    fn an_unknown_key_is_told_with_its_fingerprint_and_what_to_do() {
        let key = HostKey {
            fingerprint: "SHA256:abc".into(),
            host: "web1".into(),
            kind: "ssh-ed25519".into(),
            key: "A".into(),
        };
        let unknown = "No ED25519 host key is known for web1 and you have requested strict checking.\nHost key verification failed.\n";
        let text = error(unknown, Some(&key), None).to_string();
        assert!(text.contains("SHA256:abc") && text.contains("dhow server add web1"), "{text}");
        let text = error(unknown, Some(&key), Some("SHA256:other")).to_string();
        assert!(text.contains("the fleet expects SHA256:other"), "{text}");
    }

    #[test]
    fn what_comes_back_by_itself_is_told_from_what_a_person_must_mend() {
        for said in [
            "ssh: connect to host web1 port 22: Connection refused",
            "ssh: Could not resolve hostname web1: Name or service not known",
            "kex_exchange_identification: Connection closed by remote host",
            "",
        ] {
            assert!(matches!(error(said, None, None), ExecutorError::Unreachable { .. }), "{said}");
        }
        for said in
            ["deploy@web1: Permission denied (publickey).", "This account is currently not available."]
        {
            assert!(matches!(error(said, None, None), ExecutorError::Refused(_)), "{said}");
        }
    }
}
