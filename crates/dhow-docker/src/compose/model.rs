//! What `docker compose config` makes of the files: every value resolved, every path absolute.

use std::collections::BTreeMap;

use dhow_core::noun::Digest;
use dhow_core::port::TargetError;
use serde_json::{Map, Value};

pub(super) use crate::engine::image::{Wanted, is_build, wanted};
pub(super) use crate::files::variables::{escaped, unescaped};

/// Compose's own model, as JSON.
#[derive(Debug, Clone)]
pub(super) struct Model(pub Value);

impl Model {
    /// # Errors
    /// It is no JSON: another Compose than ours expects.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, TargetError> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| {
            TargetError::Blocked(format!(
                "`docker compose config --format json` answers what is no JSON ({error}); update docker-compose-plugin"
            ))
        })?;
        Ok(Self(value))
    }

    /// The services that take part, by name.
    pub(super) fn services(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.section("services").into_iter().flatten()
    }

    /// A section at the top: `volumes`, `networks`, `configs`, `secrets`.
    pub(super) fn section(&self, name: &str) -> Option<&Map<String, Value>> {
        self.0.get(name).and_then(Value::as_object)
    }

    /// Names of what is used of a section: what is there before, and what will be made.
    pub(super) fn names(&self, section: &str) -> Vec<(String, bool)> {
        let entries = self.section(section).into_iter().flatten();
        let named = entries.filter_map(|(_, entry)| {
            let external = entry.get("external").and_then(Value::as_bool).unwrap_or(false);
            Some((unescaped(entry.get("name")?.as_str()?), external))
        });
        named.collect()
    }
}

/// How many containers of a service are wanted.
pub(super) fn replicas(service: &Value) -> usize {
    let deploy = service.get("deploy").and_then(|deploy| deploy.get("replicas"));
    let wanted = service.get("scale").or(deploy).and_then(Value::as_u64).unwrap_or(1);
    usize::try_from(wanted).unwrap_or(1)
}

/// Why two containers of a service cannot run beside each other.
pub(super) fn exclusive(service: &Value) -> Option<String> {
    if service.get("container_name").is_some() {
        return Some("it has a container_name".into());
    }
    let host = |key: &str| service.get(key).and_then(Value::as_str).is_some_and(|mode| mode == "host");
    if host("network_mode") {
        return Some("it is on the host's own network".into());
    }
    let list = |key: &str| service.get(key).and_then(Value::as_array).into_iter().flatten();
    if let Some(port) =
        list("ports").find_map(|port| port.get("published")?.as_str().filter(|p| !p.is_empty()))
    {
        return Some(format!("it has the fixed host port {port}"));
    }
    let networks = service.get("networks").and_then(Value::as_object).into_iter().flatten();
    if networks.into_iter().any(|(_, network)| network.get("ipv4_address").is_some()) {
        return Some("it has a fixed address".into());
    }
    let written = list("volumes").find(|volume| {
        let kind = volume.get("type").and_then(Value::as_str).unwrap_or_default();
        let read_only = volume.get("read_only").and_then(Value::as_bool).unwrap_or(false);
        matches!(kind, "bind" | "volume") && !read_only
    });
    written.map(|volume| {
        let target = volume.get("target").and_then(Value::as_str).unwrap_or_default();
        format!("it writes to {target}, which two containers would share")
    })
}

/// Whether a service must end before others start: it runs once.
pub(super) fn waited_for(model: &Model, name: &str) -> bool {
    model.services().any(|(_, other)| {
        let condition =
            other.get("depends_on").and_then(|on| on.get(name)).and_then(|on| on.get("condition"));
        condition.and_then(Value::as_str) == Some("service_completed_successfully")
    })
}

/// Whether a service may end well: its files say that it is not started again.
pub(super) fn may_end(service: &Value) -> bool {
    service.get("restart").and_then(Value::as_str) == Some("no")
}

/// Hashes of the parts of a service's configuration: of each variable one, of everything else one a key.
pub(super) fn parts(service: &Value) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    let hash = |value: &Value| Digest::of(value.to_string().as_bytes()).short();
    for (key, value) in service.as_object().into_iter().flatten() {
        match value.as_object().filter(|_| key == "environment") {
            Some(variables) => {
                parts.extend(
                    variables.iter().map(|(name, value)| (format!("environment {name}"), hash(value))),
                );
            }
            None if matches!(key.as_str(), "image" | "build" | "profiles" | "depends_on" | "scale") => {}
            None if key == "volumes" => {
                // Where it is mounted from is ours, and says nothing to people.
                let targets: Vec<&Value> = value.as_array().into_iter().flatten().collect();
                for volume in targets {
                    let target = volume.get("target").and_then(Value::as_str).unwrap_or_default();
                    parts.insert(format!("mount {target}"), hash(volume));
                }
            }
            None => drop(parts.insert(key.clone(), hash(value))),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_two_containers_cannot_share_is_named() {
        let port = json!({"ports": [{"target": 80, "published": "8080"}]});
        assert!(exclusive(&port).unwrap().contains("8080"));
        let data = json!({"volumes": [{"type": "bind", "source": "/d", "target": "/data"}]});
        assert!(exclusive(&data).unwrap().contains("/data"));
        let fine = json!({"ports": [{"target": 80}], "volumes": [{"type": "bind", "target": "/c", "read_only": true}]});
        assert_eq!(exclusive(&fine), None);
    }

    #[test]
    fn parts_name_variables_and_never_hold_their_values() {
        let parts = parts(&json!({"image": "x", "environment": {"PASSWORD": "hunter2"}, "ports": []}));
        assert_eq!(parts.keys().collect::<Vec<_>>(), ["environment PASSWORD", "ports"]);
        assert!(!format!("{parts:?}").contains("hunter2"));
    }
}
