//! What the tree of a fleet declares: layout, `dhow.yaml` at its three places, `sami.yaml`, identity, desired hash.

mod check;
mod gate;
mod model;
mod tree;

pub use check::{CheckSpec, Probe};
pub use gate::{Approvals, UpdateMode, Window};
pub use model::{
    Artifact, ArtifactKind, Deployment, DeploymentSettings, Environment, Fleet, OobPath, Person,
    RegistrySettings, Route, SecretReference, Server, Service,
};
pub use tree::{Entry, EntryKind, MemoryTree, Tree};

mod desired;
pub use desired::DesiredHash;
