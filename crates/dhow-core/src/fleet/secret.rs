//! Reading references to secrets. What is no reference is taken for a secret and never shown.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::model::SecretReference;
use crate::yaml::{Node, Reader};

/// `env:NAME`, `file:PATH` or `command:NAME`.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<SecretReference> {
    let reference = node.as_str().and_then(|text| text.parse().ok());
    if reference.is_none() {
        let message = format!("{what} is no reference to a secret; a literal secret is refused");
        let help =
            "write env:NAME, file:PATH or command:NAME; if a secret stood here, replace it: it is in Git";
        reader.error_unseen(node.at, message, help);
    }
    reference
}

/// Text that is no reference to a secret. The text is not kept: it may be the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("this is no reference to a secret; write env:NAME, file:PATH or command:NAME")]
pub struct InvalidSecretReference;

impl FromStr for SecretReference {
    type Err = InvalidSecretReference;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("env", name)) if is_name(name) => Ok(Self::Env(name.into())),
            Some(("command", name)) if is_name(name) => Ok(Self::Command(name.into())),
            Some(("file", path)) if !path.is_empty() && !path.chars().any(char::is_control) => {
                Ok(Self::File(path.into()))
            }
            _ => Err(InvalidSecretReference),
        }
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
            Self::Command(name) => write!(f, "command:{name}"),
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}
