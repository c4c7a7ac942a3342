//! The targets by name.

mod answers;
mod api;
mod bundles;
mod edits;
mod fleet;
mod nobody;
mod policies;
mod references;
mod registry;
mod requests;
mod sites;

/// An entrance of Dhow, and what must hold behind it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of its seeds' folder, and of its program in `fuzz/`.
    pub name: &'static str,
    /// What comes in there.
    pub about: &'static str,
    /// Takes any bytes. Panics where a promise is broken.
    pub body: fn(&[u8]),
}

/// All targets.
#[must_use]
pub fn all() -> [Target; 9] {
    let target = |name, about, body| Target { name, about, body };
    [
        target("edits", "files of a fleet that hold versions", edits::body),
        target("fleet", "a fleet's tree, and the next one", fleet::body),
        target("policies", "policies, filters, tags and durations", policies::body),
        target("references", "names, OCI references, manifests and headers of registries", references::body),
        target("bundles", "archives that are unpacked", bundles::body),
        target("registry", "requests to the embedded registry", registry::body),
        target("api", "requests to the API", api::body),
        target("sites", "headers and paths of visitors", sites::body),
        target("answers", "what docker, servers, proxies and git answer", answers::body),
    ]
}

/// The target of this name.
#[must_use]
pub fn named(name: &str) -> Option<Target> {
    all().into_iter().find(|target| target.name == name)
}
