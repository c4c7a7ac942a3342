//! Checks: how a deployment shows that it works.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One check of a deployment, and how often it must succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckSpec {
    /// What is asked.
    pub probe: Probe,
    /// Successes in a row that are needed.
    pub successes: u32,
    /// Time between two successes.
    pub interval: Duration,
    /// Time after a failure before the next try.
    pub retry: Duration,
    /// Time limit of one try.
    pub timeout: Duration,
    /// Time limit of the whole phase.
    pub limit: Duration,
}

impl CheckSpec {
    /// A check with the defaults of the design: 2 successes 50 ms apart, 1 s after a failure, 5 s a try, 60 s a phase.
    pub fn new(probe: Probe) -> Self {
        Self {
            probe,
            successes: 2,
            interval: Duration::from_millis(50),
            retry: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            limit: Duration::from_secs(60),
        }
    }
}

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// An HTTP request. The URL gives scheme, Host and path; the target gives where to connect.
    Http {
        /// The address; `{host}` is the deployment's host.
        url: String,
        /// The status that is expected.
        status: u16,
        /// Text that the body must contain.
        contains: Option<String>,
        /// Headers to send.
        headers: BTreeMap<String, String>,
    },
    /// A TCP connection. The target gives the host; `port` may choose another port there.
    Tcp {
        /// Port, where it is not the target's own.
        port: Option<u16>,
    },
    /// A command at the deployment's place, with an empty environment; exit 0 is success.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
    },
}

impl Probe {
    /// How messages name it.
    pub fn describe(&self) -> String {
        match self {
            Self::Http { url, .. } => format!("http {url}"),
            Self::Tcp { port: Some(port) } => format!("tcp port {port}"),
            Self::Tcp { port: None } => "tcp".into(),
            Self::Command { argv } => format!("command {}", argv.join(" ")),
        }
    }
}
