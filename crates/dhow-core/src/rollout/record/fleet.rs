//! The fleet as it was last compared, and the gates in force.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::fleet::{Environment, Server};
use crate::noun::{PersonName, ServerName};
use crate::port::{CommitId, Record, Table};

/// The gates in force in an environment (design rule 5.1). Key: the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatesRow {
    /// The environment as it is in force.
    pub environment: Environment,
    /// A looser one that the fleet says and that is refused.
    pub refused: Option<String>,
}

impl Record for GatesRow {
    const TABLE: Table = Table::Gates;
    fn key(&self) -> String {
        self.environment.name.to_string()
    }
}

/// Every e-mail by which the fleet ever knew a person: taking one out of it makes nobody a stranger. Key: `people`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPeople {
    /// Names by e-mail in lower case.
    pub by_email: BTreeMap<String, BTreeSet<PersonName>>,
}

impl KnownPeople {
    /// Its key.
    pub const KEY: &'static str = "people";
}

impl Record for KnownPeople {
    const TABLE: Table = Table::Cursors;
    fn key(&self) -> String {
        Self::KEY.into()
    }
}

/// How every server of the fleet is reached, as it was last said; also of those that the fleet does not have any more,
/// because something may have to be taken away there. Key: `servers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownServers {
    /// By name.
    pub servers: BTreeMap<ServerName, Server>,
}

impl KnownServers {
    /// Its key.
    pub const KEY: &'static str = "servers";
}

impl Record for KnownServers {
    const TABLE: Table = Table::Cursors;
    fn key(&self) -> String {
        Self::KEY.into()
    }
}

/// Where the fleet stands for us. Key: `fleet`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetCursor {
    /// The last commit that was compared, deployment by deployment.
    pub commit: CommitId,
}

impl FleetCursor {
    /// Its key.
    pub const KEY: &'static str = "fleet";
}

impl Record for FleetCursor {
    const TABLE: Table = Table::Cursors;
    fn key(&self) -> String {
        Self::KEY.into()
    }
}
