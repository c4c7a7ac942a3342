//! What the tree of a fleet declares: layout, `dhow.yaml` at its three places, `sami.yaml`, identity, desired hash.
//!
//! [`load`] reads a whole tree, [`reload`] what changed. Both read service by service (`part`): first the folders
//! (`layout`), then each folder's settings and what its files depend on (`settings`, `dependency`), then what only the
//! whole shows (`whole`). A file that is broken takes with it what depends on it, and nothing else.

mod alias;
mod check;
mod checks;
mod dependency;
mod gate;
mod hash;
mod headers;
pub mod keys;
mod kind;
mod layout;
mod load;
mod model;
mod networks;
mod part;
pub mod path;
mod pattern;
mod proxy;
mod root;
mod route;
mod secret;
mod server;
mod service;
mod settings;
mod site;
mod sites;
mod strategy;
mod tree;
mod whole;
mod window;

pub use alias::{PULL_REQUEST, other_names};
pub use check::{CheckSpec, Probe};
pub use gate::{Approvals, UpdateMode, Window};
pub use hash::{DesiredHash, InvalidDesiredHash, desired_hash};
pub use load::{Index, load, reload};
pub use model::{
    Artifact, ArtifactKind, Deployment, DeploymentSettings, Environment, Fleet, Jump, OobPath, Person,
    RegistrySettings, SecretReference, Server, Service,
};
pub use networks::{INTERNAL_NETWORK, Isolation, SITE_NETWORK};
pub use proxy::{AdminAddress, Front, ProxyAt, ProxyKind, ProxySettings};
pub use route::{PasswordHash, Route, Tls};
pub use secret::InvalidSecretReference;
pub use server::address;
pub use sites::VersionSite;
pub use strategy::Strategy;
pub use tree::{Entry, EntryKind, MemoryTree, Tree};
