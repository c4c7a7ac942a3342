//! Caddy. Tests start it themselves, each with its own configuration.

use serde_json::{Value, json};

use super::pypi;

/// Installs it.
pub fn up() -> anyhow::Result<Value> {
    Ok(json!({ "program": pypi::program("caddy", "caddy")?, "version": pypi::version("caddy")? }))
}
