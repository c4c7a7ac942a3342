//! The desired hash: what a deployment should be, in one number (design section 4).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::check::CheckSpec;
use super::model::Deployment;
use super::networks::Isolation;
use super::path;
use super::route::Route;
use super::strategy::Strategy;
use super::tree::{Entry, EntryKind, Tree};
use crate::noun::{ArtifactName, Digest, Pin, ServerName};

/// A hash of everything that changes what a deployment runs: 64 hexadecimal digits. Equal hashes mean that nothing is
/// to be rolled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DesiredHash(Digest);

/// Text that is no desired hash.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no desired hash; expected 64 hexadecimal digits")]
pub struct InvalidDesiredHash(String);

impl DesiredHash {
    /// The first 12 digits, for messages.
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl fmt::Display for DesiredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}

impl std::str::FromStr for DesiredHash {
    type Err = InvalidDesiredHash;
    fn from_str(text: &str) -> Result<Self, InvalidDesiredHash> {
        let invalid = |_| InvalidDesiredHash(text.chars().take(80).collect());
        format!("sha256:{text}").parse().map(Self).map_err(invalid)
    }
}

impl TryFrom<String> for DesiredHash {
    type Error = InvalidDesiredHash;
    fn try_from(text: String) -> Result<Self, InvalidDesiredHash> {
        text.parse()
    }
}

impl From<DesiredHash> for String {
    fn from(hash: DesiredHash) -> String {
        hash.to_string()
    }
}

/// What is hashed, in a fixed order of fields. Changing it rolls out every deployment of every fleet.
#[derive(Serialize)]
struct Desired<'a> {
    format: u32,
    files: BTreeSet<(String, &'static str, String)>,
    versions: BTreeMap<&'a ArtifactName, (String, Digest)>,
    project: String,
    servers: BTreeSet<&'a ServerName>,
    route: &'a Option<Route>,
    hosts: BTreeSet<&'a String>,
    not_found: &'a Option<String>,
    fallback: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    front: &'a Option<SocketAddr>,
    named_files: &'a [String],
    checks: &'a [CheckSpec],
    // What is not set is left out, so that a key that came later changes no hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<Strategy>,
    #[serde(skip_serializing_if = "Isolation::is_off")]
    isolation: Isolation,
}

/// The desired hash of a deployment that reads the files `reads` (relative to the fleet's root) and runs `pins`.
///
/// In it: path, mode and content of each file, a version's repository and digest (not its tag), and the settings that
/// change what runs. Not in it: `dhow.yaml` and `sami.yaml` as files, owners, policies, gates, `rollback_on`. A file that is
/// not there counts as absent. Fails only where the tree cannot be read.
pub fn desired_hash(
    tree: &dyn Tree,
    deployment: &Deployment,
    reads: &[String],
    pins: &BTreeMap<ArtifactName, Pin>,
) -> io::Result<DesiredHash> {
    let settings = &deployment.settings;
    let desired = Desired {
        format: 1,
        files: files(tree, &deployment.folder, reads)?,
        versions: pins.iter().map(|(name, pin)| (name, (pin.repository.to_string(), pin.digest))).collect(),
        project: deployment.project(),
        servers: settings.servers.iter().collect(),
        route: &settings.route,
        hosts: settings.hosts.iter().collect(),
        not_found: &settings.not_found,
        fallback: &settings.fallback,
        directory: &settings.directory,
        front: &settings.front,
        named_files: &settings.named_files,
        checks: &settings.checks,
        strategy: settings.strategy,
        isolation: settings.isolation,
    };
    Ok(DesiredHash(Digest::of(&serde_json::to_vec(&desired).map_err(io::Error::other)?)))
}

fn files(
    tree: &dyn Tree,
    folder: &str,
    reads: &[String],
) -> io::Result<BTreeSet<(String, &'static str, String)>> {
    let mut folders: BTreeMap<&str, Vec<Entry>> = BTreeMap::new();
    let mut files = BTreeSet::new();
    for file in reads.iter().filter(|file| !is_settings(file, folder)) {
        let parent = path::parent(file);
        if !folders.contains_key(parent) {
            folders.insert(parent, tree.list(parent)?);
        }
        let entries = folders.get(parent).map(Vec::as_slice).unwrap_or_default();
        let entry = entries.iter().find(|entry| entry.name == path::name(file));
        let mode = match entry.map(|entry| entry.kind) {
            Some(EntryKind::File) => "file",
            Some(EntryKind::Executable) => "executable",
            Some(_) => "other",
            None => "absent",
        };
        // A file of the folder is known by its place in it: a folder that is moved stays what it is.
        let name = match file.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) {
            Some(inner) if !folder.is_empty() => format!("./{inner}"),
            _ => format!("/{file}"),
        };
        files.insert((name, mode, entry.map(|entry| entry.content.clone()).unwrap_or_default()));
    }
    Ok(files)
}

/// Settings enter by what they say. A file of such a name deeper in the folder is content.
fn is_settings(file: &str, folder: &str) -> bool {
    let name = matches!(path::name(file), "dhow.yaml" | "sami.yaml" | "sami.yml");
    name && (path::parent(file) == folder || !path::is_within(file, folder))
}
