use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest name of a token, in bytes.
const MAX: usize = 63;

/// The name of a token: letters, digits, `-`, `_` and `.`, starting with a letter or a digit, at most 63 of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenName(String);

/// Text that cannot name a token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} cannot name a token: 1 to 63 letters, digits, '-', '_' and '.', the first a letter or a digit"
)]
pub struct InvalidTokenName(String);

impl TokenName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenName {
    type Err = InvalidTokenName;
    fn from_str(text: &str) -> Result<Self, InvalidTokenName> {
        let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let legal = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if starts && legal && text.len() <= MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidTokenName(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for TokenName {
    type Error = InvalidTokenName;
    fn try_from(text: String) -> Result<Self, InvalidTokenName> {
        text.parse()
    }
}

impl From<TokenName> for String {
    fn from(name: TokenName) -> String {
        name.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_mistaken_for_something_else_is_refused() {
        for bad in ["", "-a", "a b", "a/b", "a\n", "é", &"a".repeat(64)] {
            assert!(bad.parse::<TokenName>().is_err(), "{bad:?} was accepted");
        }
        assert!("ci-2.shop_web".parse::<TokenName>().is_ok());
    }
}
