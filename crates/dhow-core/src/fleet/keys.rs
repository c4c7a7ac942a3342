//! Every key that a fleet's files may have. `docs/configuration.md` is tested to name each of them.

/// `dhow.yaml` at the fleet's root.
pub const ROOT: &[&str] = &[
    "environments",
    "registries",
    "servers",
    "proxy",
    "isolation",
    "people",
    "notices",
    "layout",
    "deployments",
];
/// An environment of the root file.
pub const ENVIRONMENT: &[&str] = &["from", "soak", "update", "approvals", "window"];
/// `approvals:` of an environment.
pub const APPROVALS: &[&str] = &["needed", "from", "author_may_approve"];
/// `window:` of an environment.
pub const WINDOW: &[&str] = &["open", "zone"];
/// A registry.
pub const REGISTRY: &[&str] = &["credentials", "ca", "plain_http", "calls"];
/// A server.
pub const SERVER: &[&str] =
    &["ssh", "jump", "identity", "fingerprint", "environments", "labels", "address", "proxy"];
/// `proxy:` of the root file or of a server.
pub const PROXY: &[&str] =
    &["kind", "admin", "folder", "server", "front", "drain", "service", "network", "at"];
/// A person.
pub const PERSON: &[&str] = &["emails", "forge"];
/// An entry of `layout:` that is no plain pattern.
pub const LAYOUT: &[&str] = &["path", "service", "type", "environment"];
/// An entry of `deployments:`.
pub const LISTED: &[&str] = &["path", "service", "type", "environment"];
/// `dhow.yaml` of a service.
pub const SERVICE: &[&str] = &["owners", "artifacts", "environments", "checks", "after"];
/// An artifact.
pub const ARTIFACT: &[&str] = &["image", "bundle", "policy", "filter", "extract"];
/// An environment of a service's file.
pub const SERVICE_ENVIRONMENT: &[&str] = &["artifacts"];
/// An artifact in an environment of a service's file.
pub const OVERRIDE: &[&str] = &["policy", "filter", "extract"];
/// `policy:` of an artifact.
pub const POLICY: &[&str] = &["semver", "alphabetical", "numerical", "digest"];
/// `dhow.yaml` of a deployment.
pub const DEPLOYMENT: &[&str] = &[
    "type",
    "project",
    "servers",
    "parallel",
    "bundle",
    "route",
    "strategy",
    "isolation",
    "checks",
    "rollback_on",
    "not_found",
    "fallback",
    "hosts",
    "directory",
    "front",
    "files",
    "moved_from",
];
/// What `sami.yaml` has besides the keys of a deployment.
pub const SAMI: &[&str] = &["version", "service_name", "pr_deploy", "oob"];
/// `route:` of a deployment.
pub const ROUTE: &[&str] = &[
    "host",
    "path",
    "service",
    "port",
    "tls",
    "redirect_from",
    "headers",
    "basic_auth",
    "websocket_timeout",
];
/// `tls:` of a route that is no single word.
pub const ROUTE_TLS: &[&str] = &["resolver"];
/// A check.
pub const CHECK: &[&str] = &["http", "tcp", "command", "successes", "interval", "retry", "timeout", "limit"];
/// `http:` of a check.
pub const HTTP: &[&str] = &["url", "status", "contains", "headers"];
/// `tcp:` of a check.
pub const TCP: &[&str] = &["port"];
/// An entry of `oob:`.
pub const OOB: &[&str] = &["update-image", "file", "path"];
/// `update-image:` where it holds file and path.
pub const OOB_INNER: &[&str] = &["file", "path"];

/// Every list of keys, with the name of its section.
pub const ALL: &[(&str, &[&str])] = &[
    ("root", ROOT),
    ("environment", ENVIRONMENT),
    ("approvals", APPROVALS),
    ("window", WINDOW),
    ("registry", REGISTRY),
    ("server", SERVER),
    ("proxy", PROXY),
    ("person", PERSON),
    ("layout", LAYOUT),
    ("deployments", LISTED),
    ("service", SERVICE),
    ("artifact", ARTIFACT),
    ("environment of a service", SERVICE_ENVIRONMENT),
    ("override", OVERRIDE),
    ("policy", POLICY),
    ("deployment", DEPLOYMENT),
    ("sami", SAMI),
    ("route", ROUTE),
    ("tls of a route", ROUTE_TLS),
    ("check", CHECK),
    ("http", HTTP),
    ("tcp", TCP),
    ("oob", OOB),
    ("oob, inner", OOB_INNER),
];
