//! What a place owes: it did not answer when it was to go back, to follow, or to be cleared. Nobody waits for it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fleet::DesiredHash;
use crate::port::Place;

/// What is to be done at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owed {
    /// The steps of this rollout are to be taken back; then it is brought to what its deployment runs.
    Undo {
        /// Which rollout.
        rollout: u64,
    },
    /// It is to be brought to what its deployment runs.
    Release,
    /// The deployment is to be removed from there.
    Removal,
}

impl Owed {
    /// Its name in JSON and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undo { .. } => "undo",
            Self::Release => "release",
            Self::Removal => "removal",
        }
    }
}

impl fmt::Display for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Undo { .. } => "to be taken back there",
            Self::Release => "to be brought to what runs elsewhere",
            Self::Removal => "to be removed from there",
        })
    }
}

/// What one place owes a deployment. It is tried until the place answers, or until a person writes it off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debt {
    /// Where.
    pub place: Place,
    /// What is to be done there.
    pub owes: Owed,
    /// The release that ran there when it was last heard of; none: not known, or nothing.
    pub runs: Option<DesiredHash>,
    /// Since when, milliseconds since 1970.
    pub since_ms: i64,
    /// Why it was not done at the last try.
    pub error: String,
}

/// A place that a rollout went on without, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// Where.
    pub place: Place,
    /// Why.
    pub reason: String,
}
