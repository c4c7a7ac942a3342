//! `strategy:` of a deployment: how its containers are replaced.

use serde::{Deserialize, Serialize};

use crate::yaml::{Node, Reader};

/// How containers are replaced, where a person says so. Without, rules decide, and the plan tells which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// New ones run beside the old ones until these are drained; where that cannot be, the rollout is refused.
    Beside,
    /// The old ones end before the new ones start: there is a gap.
    Recreate,
}

/// Reads `strategy:`.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Strategy> {
    match node.as_str() {
        Some("beside") => Some(Strategy::Beside),
        Some("recreate") => Some(Strategy::Recreate),
        _ => {
            let help =
                "beside starts the new containers beside the old ones, recreate replaces them with a gap";
            reader.error_help(node.at, "strategy must be beside or recreate", help);
            None
        }
    }
}
