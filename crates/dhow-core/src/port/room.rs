//! The engine room: what runs of a deployment at a place, what it writes, and commands in it.

use std::fmt;
use std::pin::Pin as BoxPin;
use std::str::FromStr;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream as Values;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Stream, TargetError};
use crate::noun::Digest;

/// Longest name of a container, in bytes.
const MAX_CONTAINER: usize = 255;
/// Fewest digits of an id that name a container.
const SHORTEST_ID: usize = 6;

/// How a person names what runs: the service of the Compose file, or the name or id of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

/// Text that can name no container.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} can name no container: letters, digits, '-', '_' and '.' may stand in it, 255 of them at most"
)]
pub struct InvalidContainerName(String);

impl FromStr for ContainerName {
    type Err = InvalidContainerName;
    fn from_str(text: &str) -> Result<Self, InvalidContainerName> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && text.len() <= MAX_CONTAINER && text.chars().all(legal) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidContainerName(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for ContainerName {
    type Error = InvalidContainerName;
    fn try_from(text: String) -> Result<Self, InvalidContainerName> {
        text.parse()
    }
}

impl From<ContainerName> for String {
    fn from(name: ContainerName) -> String {
        name.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ContainerName {
    /// Whether it names this: by component, by name, or by the first digits of the id, 6 at least.
    pub fn names(&self, component: &str, name: &str, id: &str) -> bool {
        let by_id = self.0.len() >= SHORTEST_ID && id.starts_with(&self.0);
        self.0 == component || self.0 == name || by_id
    }
}

/// One thing that runs, or ran, of a deployment: a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// The engine's id.
    pub id: String,
    /// The engine's name.
    pub name: String,
    /// The part of the deployment that it is: a service of the Compose file.
    pub component: String,
    /// The image as it was asked for.
    pub image: String,
    /// The digest that runs, where the engine knows it.
    pub digest: Option<Digest>,
    /// In the engine's words: `running`, `restarting`, `exited`.
    pub state: String,
    /// In the engine's words: `healthy`, `unhealthy`, `starting`; none where nothing checks it.
    pub health: Option<String>,
    /// Since when it is so, RFC 3339 in UTC; none where it never ran.
    pub since: Option<String>,
    /// The exit code of its last end; none while it runs.
    pub exit_code: Option<i64>,
    /// How often the engine started it again.
    pub restarts: u64,
    /// Bytes of memory in use, without what the kernel could drop at once.
    pub memory: Option<u64>,
    /// The limit of its memory in bytes; none where the machine's is its own.
    pub memory_limit: Option<u64>,
    /// Share of one processor in percent: 200 are two processors.
    pub cpu: Option<f64>,
}

/// Which lines are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// The last so many of each container.
    pub lines: usize,
    /// What comes after them too, until the reader drops the stream.
    pub follow: bool,
    /// Of these containers only.
    pub container: Option<ContainerName>,
}

/// A line that a deployment wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The part of the deployment that wrote it; empty where the type has no parts.
    pub component: String,
    /// The name of the container; empty where there is none.
    pub container: String,
    /// Where it wrote it.
    pub stream: Stream,
    /// When, RFC 3339 in UTC as the engine noted it; none where it is not known.
    pub at: Option<String>,
    /// The line without its end, cut to 16 KiB.
    pub text: String,
}

/// Lines as they come. After an error nothing comes.
pub type LogLines = BoxPin<Box<dyn Values<Item = Result<LogLine, TargetError>> + Send>>;

/// A command to be run inside of what runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// In which container; none: in the only component that there is.
    pub container: Option<ContainerName>,
    /// Program and arguments, never a shell string.
    pub argv: Vec<String>,
    /// What it reads.
    pub stdin: Option<Bytes>,
    /// How long it is listened to.
    pub limit: Duration,
}

/// What comes of a command inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It was started in this container.
    Began {
        /// The engine's name of it.
        container: String,
    },
    /// It wrote something.
    Wrote {
        /// Where.
        stream: Stream,
        /// What; lines may be torn.
        bytes: Bytes,
    },
    /// It ended with this code: the last that comes.
    Ended {
        /// The exit code.
        code: i64,
    },
}

/// A command's answer as it comes. After an error nothing comes.
pub type Hearing = BoxPin<Box<dyn Values<Item = Result<Heard, TargetError>> + Send>>;

/// Lines that are all there already.
pub(super) struct Given(std::vec::IntoIter<String>);

impl Given {
    pub(super) fn lines(lines: Vec<String>) -> LogLines {
        Box::pin(Self(lines.into_iter()))
    }
}

impl Values for Given {
    type Item = Result<LogLine, TargetError>;

    fn poll_next(mut self: BoxPin<&mut Self>, _: &mut Poller<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next().map(|text| {
            Ok(LogLine {
                component: String::new(),
                container: String::new(),
                stream: Stream::Out,
                at: None,
                text,
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_an_option_or_a_path_names_no_container() {
        for bad in ["", "-f", "a/b", "a b", "a;b", "..", "é", &"x".repeat(256)] {
            assert!(bad.parse::<ContainerName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_container_is_named_by_component_by_name_or_by_the_start_of_its_id() {
        let named = |text: &str| {
            text.parse::<ContainerName>().unwrap().names("web", "stage_shop-web-1", "0123456789ab")
        };
        for good in ["web", "stage_shop-web-1", "012345"] {
            assert!(named(good), "{good}");
        }
        for bad in ["we", "01234", "stage_shop-web-2", "123456"] {
            assert!(!named(bad), "{bad}");
        }
    }
}
