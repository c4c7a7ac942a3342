//! Texts of a fleet.

use dhow_core::noun::Digest;

use super::File;

/// A root file: what is said of production.
pub fn root(production: &str) -> File {
    (
        "dhow.yaml".into(),
        format!("environments:\n  stage: {{ update: commit }}\n  production: {production}\n"),
    )
}

/// A service with the artifact `web` under a policy.
pub fn service(name: &str, policy: &str) -> File {
    let text = format!("artifacts:\n  web: {{ bundle: r.test/{name}/web, policy: {policy} }}\n");
    (format!("services/{name}/dhow.yaml"), text)
}

/// Where the version of a site stands.
pub fn site_path(service: &str, environment: &str) -> String {
    format!("services/{service}/static_file/{environment}/dhow.yaml")
}

/// A deployment of a site at a version.
pub fn site(service: &str, environment: &str, tag: &str) -> File {
    let version = pinned(&format!("{service}/web"), tag);
    (site_path(service, environment), format!("bundle: r.test/{version} # kept\n"))
}

/// `repository:tag@digest` of what [`super::World::publish`] publishes.
pub fn pinned(repository: &str, tag: &str) -> String {
    let content = format!("{repository}:{tag}");
    format!("{content}@{}", Digest::of(content.as_bytes()))
}

/// A file of a site.
pub fn page(service: &str, environment: &str, text: &str) -> File {
    (format!("services/{service}/static_file/{environment}/page.txt"), format!("{text}\n"))
}

/// A service with the image `api`.
pub fn image_service(name: &str, policy: &str) -> File {
    let text = format!("artifacts:\n  api: {{ image: r.test/{name}/api, policy: {policy} }}\n");
    (format!("services/{name}/dhow.yaml"), text)
}

/// A deployment of an image, of a type that reads Compose files.
pub fn stack(service: &str, kind: &str, environment: &str, tag: &str) -> File {
    let file = if kind == "swarm" { "app-stack.yaml" } else { "compose.yaml" };
    let path = format!("services/{service}/{kind}/{environment}/{file}");
    let version = pinned(&format!("{service}/api"), tag);
    (path, format!("services:\n  api:\n    image: r.test/{version}\n"))
}

/// Where the version of a stack stands.
pub fn stack_path(service: &str, kind: &str, environment: &str) -> String {
    stack(service, kind, environment, "").0
}
