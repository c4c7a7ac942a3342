//! What the tests share: a fleet in Git, a running `dhow serve`, and the commands that speak to it.

pub mod engines;
pub mod fleet;
pub mod outside;
pub mod process;
pub mod serve;
pub mod visitors;

use std::time::Duration;

pub use fleet::{Fleet, SHOP};
pub use serve::Serve;

/// Longest time that anything may take before a test fails. All is done in far less.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The files of a site that is healthy: `/health` says ok.
pub fn site(text: &str) -> Vec<(&'static str, String)> {
    vec![("index.html", format!("<h1>{text}</h1>\n")), ("health", "ok\n".into())]
}

/// The files of a site whose check fails.
pub fn broken_site(text: &str) -> Vec<(&'static str, String)> {
    vec![("index.html", format!("<h1>{text}</h1>\n")), ("health", "no tables\n".into())]
}
