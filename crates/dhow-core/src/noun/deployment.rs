use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{EnvironmentName, InvalidName, ServiceName};

/// Which target runs a deployment. Types whose target this build does not have are read and validated all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetType {
    /// Docker Compose.
    Compose,
    /// Docker Swarm stacks.
    Swarm,
    /// Kubernetes.
    K8s,
    /// Files served by a web server.
    StaticFile,
    /// A crontab.
    Cron,
}

impl TargetType {
    /// All types, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Compose, Self::Swarm, Self::K8s, Self::StaticFile, Self::Cron];

    /// The type's name in folders and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compose => "compose",
            Self::Swarm => "swarm",
            Self::K8s => "k8s",
            Self::StaticFile => "static_file",
            Self::Cron => "cron",
        }
    }
}

impl fmt::Display for TargetType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no target type.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no deployment type; expected compose, swarm, k8s, static_file or cron")]
pub struct UnknownType(pub String);

impl std::str::FromStr for TargetType {
    type Err = UnknownType;
    fn from_str(text: &str) -> Result<Self, UnknownType> {
        Self::ALL
            .into_iter()
            .find(|t| t.as_str() == text)
            .ok_or_else(|| UnknownType(text.chars().take(80).collect()))
    }
}

/// One service, of one type, in one environment. Written `service/type/environment`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeploymentId {
    /// What a team runs.
    pub service: ServiceName,
    /// Which target runs it.
    pub target: TargetType,
    /// Where in the chain it runs.
    pub environment: EnvironmentName,
}

/// Text that names no deployment.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidDeploymentId {
    /// Not three parts.
    #[error("{0:?} names no deployment; expected service/type/environment")]
    Shape(String),
    /// A part that is no name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A type that does not exist.
    #[error(transparent)]
    Type(#[from] UnknownType),
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.service, self.target, self.environment)
    }
}

impl std::str::FromStr for DeploymentId {
    type Err = InvalidDeploymentId;
    fn from_str(text: &str) -> Result<Self, InvalidDeploymentId> {
        let parts: Vec<&str> = text.split('/').collect();
        let [service, target, environment] = parts[..] else {
            return Err(InvalidDeploymentId::Shape(text.chars().take(200).collect()));
        };
        Ok(Self {
            service: ServiceName::new(service)?,
            target: target.parse()?,
            environment: EnvironmentName::new(environment)?,
        })
    }
}

impl TryFrom<String> for DeploymentId {
    type Error = InvalidDeploymentId;
    fn try_from(text: String) -> Result<Self, InvalidDeploymentId> {
        text.parse()
    }
}

impl From<DeploymentId> for String {
    fn from(id: DeploymentId) -> String {
        id.to_string()
    }
}
