//! What the target stores in rendered deployments, observations and steps.

use std::net::SocketAddr;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{ArtifactName, Digest, Pin};
use dhow_core::port::{Observed, Rendered, Step, TargetError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::manifest::ServeOptions;

/// What a person does about a step that this program cannot execute.
pub(super) const WAY_OUT: &str =
    "`dhow rollback SERVICE ENVIRONMENT` ends this rollout and brings back the release before";

/// Where a release's files come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// A bundle of a registry.
    Bundle {
        /// The artifact, where the service declares it.
        artifact: Option<ArtifactName>,
        /// Which.
        pin: Pin,
    },
    /// The fleet files of the rendered deployment, by their path in this folder.
    Folder(String),
}

/// The body of a rendered deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Body {
    pub source: Source,
    pub options: ServeOptions,
    /// The configured hosts, the route's first.
    pub hosts: Vec<String>,
    /// The folder on servers; none: Dhow's own there.
    #[serde(default)]
    pub directory: Option<String>,
    /// Where the web server of a server answers, as seen from there.
    #[serde(default)]
    pub front: Option<SocketAddr>,
}

/// The body of an observation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// No file of the current release is missing or has another size.
    pub whole: bool,
    /// The release that the web server answers with.
    pub live: Option<DesiredHash>,
    /// The hosts it answers for.
    pub hosts: Vec<String>,
    /// Releases at the place.
    pub releases: Vec<DesiredHash>,
    /// Of a server: the releases that Dhow has here for it.
    #[serde(default)]
    pub unpacked: Vec<DesiredHash>,
    /// Of a server: what `current` is a link to.
    #[serde(default)]
    pub link: Option<String>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    /// Brings the release beside the others. One that was there before the rollout is never taken away by `undo`.
    Unpack { there_before: bool },
    /// Serves it on a private socket.
    Candidate,
    /// Makes it live. `previous` comes back by `undo`; none: nothing was live.
    Switch { previous: Option<DesiredHash> },
    /// Stops the candidate, and removes releases that nobody needs.
    Prune { previous: Option<DesiredHash> },
    /// Brings back the files of a release that is current already, and serves it.
    Mend,
    /// Sets the hosts of a release that is live already. `previous` are those it had.
    Hosts { previous: Vec<String> },
    /// Sends the release to a server, beside the others, and compares it there. As with `Unpack`, one that was there before
    /// is never taken away by `undo`.
    Send { there_before: bool },
    /// Lets `current` on a server be the release. What it was a link to comes back by `undo`.
    Point { previous: Option<String> },
    /// Stops the candidate, and removes releases that nobody needs from the server and from here.
    PruneThere { previous: Option<String> },
    /// Brings back the files of a release that is current on a server already.
    MendThere,
}

impl Body {
    /// # Errors
    /// Another version of this program rendered it.
    pub(super) fn of(rendered: &Rendered) -> Result<Self, TargetError> {
        parse(&rendered.body, "this release", "commit to its folder, so that it is rendered again")
    }

    pub(super) fn value(&self) -> Value {
        value(self)
    }
}

impl Seen {
    /// What cannot be read is taken for nothing seen: the plan then does everything.
    pub(super) fn of(observed: &Observed) -> Self {
        serde_json::from_value(observed.body.clone()).unwrap_or_default()
    }

    pub(super) fn value(&self) -> Value {
        value(self)
    }
}

impl Action {
    /// # Errors
    /// Another version of this program planned it.
    pub(super) fn of(step: &Step) -> Result<Self, TargetError> {
        parse(&step.action, &step.key, WAY_OUT)
    }

    pub(super) fn value(&self) -> Value {
        value(self)
    }
}

/// The hash as the name of a release on disk.
///
/// # Errors
/// Never in practice: both are 64 hexadecimal digits.
pub(super) fn digest(hash: &DesiredHash) -> Result<Digest, TargetError> {
    format!("sha256:{hash}")
        .parse()
        .map_err(|_| TargetError::Failed(format!("{hash:?} is no name that a release can have on disk")))
}

/// The hash that a release on disk is named after.
pub(super) fn hash(digest: Digest) -> Option<DesiredHash> {
    digest.hex().parse().ok()
}

fn parse<T: for<'de> Deserialize<'de>>(value: &Value, what: &str, advice: &str) -> Result<T, TargetError> {
    T::deserialize(value).map_err(|error| {
        TargetError::Blocked(format!(
            "the stored data of {what} cannot be read, another version of dhow wrote it ({error}); {advice}"
        ))
    })
}

/// These types hold text, numbers and lists only, which always have a JSON form.
fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_survives_as_a_name_on_disk() {
        let hash = "0123456789abcdef".repeat(4).parse::<DesiredHash>().unwrap();
        assert_eq!(super::hash(digest(&hash).unwrap()), Some(hash));
    }
}
