//! The engine room in the shapes of the API's JSON: what runs, and what it writes, with where that is.

use std::pin::Pin;

use futures_core::Stream;
use serde::{Deserialize, Serialize};

use crate::noun::{DeploymentId, EnvironmentName, ServerName, ServiceName, TargetType};
use crate::port::{LogLine, Place, Process};

/// Which part of a service in an environment is meant; what is `None` is not asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// The deployment of this type.
    pub target: Option<TargetType>,
    /// What runs on this server.
    pub server: Option<ServerName>,
}

/// What `ps` shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Processes {
    /// Everything that runs or ran, sorted by deployment, place and name.
    pub processes: Vec<ProcessStatus>,
    /// Places that could not be asked, with why; the others are shown.
    pub problems: Vec<RoomProblem>,
}

/// One container, and whose it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// Service.
    pub service: ServiceName,
    /// Type.
    #[serde(rename = "type")]
    pub target: TargetType,
    /// Environment.
    pub environment: EnvironmentName,
    /// Where it runs.
    pub place: Place,
    /// What it is.
    #[serde(flatten)]
    pub process: Process,
}

/// A place that could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomProblem {
    /// About which deployment.
    pub deployment: DeploymentId,
    /// Where.
    pub place: Place,
    /// Why, and what to do.
    pub message: String,
}

/// One line of `logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LogEntry {
    /// Something that a deployment wrote.
    Line {
        /// Which deployment.
        deployment: DeploymentId,
        /// Where it runs.
        place: Place,
        /// The line.
        #[serde(flatten)]
        line: LogLine,
    },
    /// Nothing more comes from this place; the others go on.
    Problem(RoomProblem),
}

/// Lines of all places as they come. Dropping it ends all that stands behind it.
pub type LogEntries = Pin<Box<dyn Stream<Item = LogEntry> + Send>>;
