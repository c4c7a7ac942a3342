//! A command inside of what runs, and its answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dhow_core::noun::{ServerName, TargetType};
use dhow_core::port::{ContainerName, Heard, Stream, TargetError};
use serde::{Deserialize, Serialize};

/// Asks for a command inside of what runs. There is no terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// What it reads, in base64; none: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// In which container, or in one of which service of the Compose file; none: in the only one that there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerName>,
    /// In the deployment of this type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetType>,
    /// On this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerName>,
    /// How long it is listened to, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

impl ExecRequest {
    /// The bytes of `stdin`; the error is base64's.
    ///
    /// # Errors
    /// It is no base64.
    pub fn input(&self) -> Result<Option<Vec<u8>>, String> {
        self.stdin.as_deref().map(|text| STANDARD.decode(text).map_err(|e| e.to_string())).transpose()
    }

    /// The text of `stdin` for these bytes.
    pub fn encoded(bytes: &[u8]) -> String {
        STANDARD.encode(bytes)
    }
}

/// One line of the answer to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ExecEntry {
    /// It was started in this container.
    Began {
        /// Its name.
        container: String,
    },
    /// It wrote something.
    Wrote {
        /// Where.
        stream: Stream,
        /// What, in base64.
        base64: String,
    },
    /// It ended: the last line.
    Ended {
        /// Its exit code.
        code: i64,
    },
    /// No more is known of it: the last line.
    Problem {
        /// Why.
        message: String,
    },
}

impl ExecEntry {
    /// What it wrote; none where it is no writing, or no base64.
    pub fn bytes(&self) -> Option<(Stream, Vec<u8>)> {
        match self {
            Self::Wrote { stream, base64 } => Some((*stream, STANDARD.decode(base64).ok()?)),
            _ => None,
        }
    }
}

impl From<Result<Heard, TargetError>> for ExecEntry {
    fn from(heard: Result<Heard, TargetError>) -> Self {
        match heard {
            Ok(Heard::Began { container }) => Self::Began { container },
            Ok(Heard::Wrote { stream, bytes }) => Self::Wrote { stream, base64: STANDARD.encode(bytes) },
            Ok(Heard::Ended { code }) => Self::Ended { code },
            Err(error) => Self::Problem { message: error.to_string() },
        }
    }
}
