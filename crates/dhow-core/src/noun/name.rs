use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A name that breaks the rule of its kind: says which character or length is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind} name {name:?} {problem}")]
pub struct InvalidName {
    /// What was to be named: `service`, `environment`, ...
    pub kind: &'static str,
    /// The text as given, cut to 80 characters.
    pub name: String,
    /// What is wrong with it, as the end of a sentence.
    pub problem: String,
}

/// Longest name of any kind, in bytes: a DNS label, because names become host names and engine names.
pub const MAX_NAME: usize = 63;

/// Letters, digits, `-`, `_` and `.`; starts with a letter or digit; never `..`; at most [`MAX_NAME`] bytes.
fn check(kind: &'static str, name: &str) -> Result<(), InvalidName> {
    let fail = |problem: String| Err(InvalidName { kind, name: name.chars().take(80).collect(), problem });
    if name.is_empty() {
        return fail("is empty".into());
    }
    if let Some(bad) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_.".contains(*c))) {
        return fail(format!(
            "has {bad:?}; only letters a-z and A-Z, digits, '-', '_' and '.' may stand in it"
        ));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return fail("must start with a letter or a digit".into());
    }
    if name.contains("..") {
        return fail("has two dots in a row".into());
    }
    if name.len() > MAX_NAME {
        return fail(format!("has {} characters; at most {MAX_NAME} are allowed", name.len()));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            #[doc = concat!("Checks a ", $kind, " name.")]
            pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
                let name = name.into();
                check($kind, &name)?;
                Ok(Self(name))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl std::str::FromStr for $type {
            type Err = InvalidName;
            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }
    };
}

name!(
    /// The name of a service: the folder `services/<service>/`.
    ServiceName, "service"
);
name!(
    /// The name of an environment, after aliases were resolved: `stage`, `production`, ...
    EnvironmentName, "environment"
);
name!(
    /// The name of an artifact of a service, as `artifacts:` declares it.
    ArtifactName, "artifact"
);
name!(
    /// The name of a person: who authors, approves, owns.
    PersonName, "person"
);
name!(
    /// The name of a server of the fleet.
    ServerName, "server"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_leave_its_folder_or_reach_a_shell_is_refused() {
        for bad in ["", "..", "../x", "a/b", "a b", "a;b", "a'b", "a\"b", "a\nb", "-a", ".a", "a..b", "é"] {
            assert!(ServiceName::new(bad).is_err(), "{bad:?} was accepted");
        }
        for good in ["shop", "Shop-2", "caparledev-bot", "a_b", "camerdevs.com", "0"] {
            assert!(ServiceName::new(good).is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn the_message_names_the_character() {
        let error = EnvironmentName::new("prod;rm").unwrap_err().to_string();
        assert!(error.contains("environment name \"prod;rm\" has ';'"), "{error}");
    }

    #[test]
    fn deserialising_checks_too() {
        assert!(serde_json::from_str::<ServiceName>("\"../x\"").is_err());
    }
}
