//! Who logs in, where, and with what.

use std::fmt;
use std::path::PathBuf;

/// A login at a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// User.
    pub user: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Private key; none: the agent, and the keys that `ssh` finds by itself.
    pub identity: Option<PathBuf>,
    /// The host key's fingerprint, `SHA256:...`; none: what stands in the file of known hosts.
    pub fingerprint: Option<String>,
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.host)?;
        if self.port == 22 { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}
