//! OCI registries: a client for any of them, and the embedded one.
//!
//! - [`client`] reads tags, digests, labels and content from any registry, and pushes to it.
//! - [`server`] is the embedded registry: `/v2/` as an axum router over a folder on disk.
//! - [`bundle`] packs a folder of files into an OCI artifact, reproducibly.
//! - [`media`] holds the manifests and descriptors that all of them speak.

pub mod bundle;
pub mod client;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod media;
pub mod server;
mod source;
