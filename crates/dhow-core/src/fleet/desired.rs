use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The desired hash of a deployment (design section 4): equal hashes, equal releases. 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DesiredHash(String);

/// Text that is no desired hash.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no release; expected 64 hexadecimal digits")]
pub struct InvalidHash(String);

impl DesiredHash {
    /// Checks a hash.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidHash> {
        let text = text.into();
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(text))
        } else {
            Err(InvalidHash(text.chars().take(80).collect()))
        }
    }

    /// All digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for DesiredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for DesiredHash {
    type Error = InvalidHash;
    fn try_from(text: String) -> Result<Self, InvalidHash> {
        Self::new(text)
    }
}

impl From<DesiredHash> for String {
    fn from(hash: DesiredHash) -> String {
        hash.0
    }
}
