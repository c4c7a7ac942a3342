//! What `docker stack config` makes of the files: merged, every value resolved, every path absolute.

use std::collections::BTreeMap;

use dhow_core::noun::Digest;
use dhow_core::port::TargetError;
use dhow_core::yaml::{self, Kind, Node};
use serde_json::{Map, Value};

/// The merged files, as JSON.
#[derive(Debug, Clone)]
pub(super) struct Model(pub Value);

impl Model {
    /// # Errors
    /// It is no stack file: this Docker has no `stack config`.
    pub(super) fn of(answer: &[u8]) -> Result<Self, TargetError> {
        let parsed = yaml::parse("docker stack config", answer);
        let model = parsed.documents.first().map(value_of).unwrap_or_default();
        if model.get("services").is_none() {
            return Err(TargetError::Blocked(
                "`docker stack config` does not answer with a stack file, the docker command there is too old; install \
                 the package docker-ce-cli, version 25 or newer"
                    .to_owned(),
            ));
        }
        Ok(Self(model))
    }

    /// The services, by name.
    pub(super) fn services(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.section("services").into_iter().flatten()
    }

    /// A section at the top: `volumes`, `networks`, `configs`, `secrets`.
    pub(super) fn section(&self, name: &str) -> Option<&Map<String, Value>> {
        self.0.get(name).and_then(Value::as_object)
    }
}

/// A value of YAML as JSON: what Docker writes without quotes is what it looks like.
fn value_of(node: &Node) -> Value {
    match &node.kind {
        Kind::Map(entries) => {
            Value::Object(entries.iter().map(|(key, value)| (key.text.clone(), value_of(value))).collect())
        }
        Kind::Seq(items) => items.iter().map(value_of).collect(),
        Kind::Scalar { .. } if node.is_null() => Value::Null,
        Kind::Scalar { text, plain: true } => match text.as_str() {
            "true" => true.into(),
            "false" => false.into(),
            _ => text
                .parse::<i64>()
                .map(Value::from)
                .or_else(|_| text.parse::<f64>().map(|number| number_or_text(number, text)))
                .unwrap_or_else(|_| text.clone().into()),
        },
        Kind::Scalar { text, .. } => text.clone().into(),
    }
}

/// `inf` and `nan` parse as numbers too.
fn number_or_text(number: f64, text: &str) -> Value {
    match text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.') {
        true => serde_json::Number::from_f64(number).map_or_else(|| text.into(), Value::Number),
        false => text.into(),
    }
}

/// The text of a key.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// The items of a list of it; none where there is none.
pub(super) fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// `deploy.mode`.
pub(super) fn mode(service: &Value) -> &str {
    service.get("deploy").and_then(|deploy| text(deploy, "mode")).unwrap_or("replicated")
}

/// `deploy.replicas`.
pub(super) fn replicas(service: &Value) -> i64 {
    let deploy = service.get("deploy");
    deploy.and_then(|deploy| deploy.get("replicas")).and_then(Value::as_i64).unwrap_or(1)
}

/// Why nothing runs of a service for a while when it is updated.
pub(super) fn gap(service: &Value) -> Option<String> {
    let deploy = service.get("deploy").cloned().unwrap_or_default();
    if mode(service) != "replicated" || replicas(service) == 0 {
        return None;
    }
    let update = deploy.get("update_config").cloned().unwrap_or_default();
    if text(&update, "order") == Some("start-first") {
        return None;
    }
    let at_once = update.get("parallelism").and_then(Value::as_i64).unwrap_or(1);
    let all_at_once = replicas(service) == 1 || at_once == 0 || at_once >= replicas(service);
    let fixed = list(service, "ports")
        .find(|port| text(port, "mode") == Some("host") && port.get("published").is_some())
        .and_then(|port| port.get("published").cloned());
    all_at_once.then(|| match fixed {
        Some(port) => format!("the host port {port} is for one task at a time"),
        None => {
            "its tasks stop before new ones start; write `update_config: {order: start-first}`".to_owned()
        }
    })
}

/// Published ports in ingress mode.
pub(super) fn ingress(service: &Value) -> Vec<i64> {
    let ports = list(service, "ports").filter(|port| text(port, "mode") != Some("host"));
    ports.filter_map(|port| port.get("published")?.as_i64()).collect()
}

/// Hashes of the parts of a service's configuration: of each variable one, of everything else one a key.
pub(super) fn parts(service: &Value) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    for (key, value) in service.as_object().into_iter().flatten() {
        match key.as_str() {
            "image" | "build" | "container_name" | "depends_on" | "restart" => {}
            "environment" | "deploy" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    parts.insert(format!("{key} {name}"), hash(value));
                }
            }
            "volumes" => parts.extend(list(service, key).map(|volume| {
                (format!("mount {}", text(volume, "target").unwrap_or_default()), hash(volume))
            })),
            "configs" | "secrets" => parts.extend(list(service, key).map(|entry| {
                let name = text(entry, "source").unwrap_or_default();
                (format!("{} {name}", key.trim_end_matches('s')), hash(entry))
            })),
            _ => drop(parts.insert(key.clone(), hash(value))),
        }
    }
    parts
}

/// A hash that does not depend on the order of keys.
pub(super) fn hash(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    Digest::of(value.to_string().as_bytes()).short()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_docker_writes_keeps_its_types() {
        let text = b"services:\n  web:\n    a: 1\n    b: \"1\"\n    c: 0.5\n    d: true\n    e: null\n    f: 1m30s\n    g: inf\n";
        let model = Model::of(text).unwrap();
        let expected = json!({"a": 1, "b": "1", "c": 0.5, "d": true, "e": null, "f": "1m30s", "g": "inf"});
        assert_eq!(model.0["services"]["web"], expected);
    }

    #[test]
    fn a_docker_without_stack_config_is_told() {
        let error = Model::of(b"\nUsage:  docker stack COMMAND\n").unwrap_err();
        assert!(matches!(error, TargetError::Blocked(told) if told.contains("too old")));
    }

    #[test]
    fn a_gap_is_told_where_one_task_stops_before_the_next_starts() {
        assert!(gap(&json!({})).unwrap().contains("start-first"));
        assert_eq!(gap(&json!({"deploy": {"update_config": {"order": "start-first"}}})), None);
        assert_eq!(gap(&json!({"deploy": {"replicas": 2}})), None);
        assert_eq!(gap(&json!({"deploy": {"mode": "global"}})), None);
        let host = json!({"ports": [{"mode": "host", "published": 80, "target": 80}]});
        assert!(gap(&host).unwrap().contains("80"));
    }

    #[test]
    fn parts_name_variables_and_never_hold_their_values() {
        let parts =
            parts(&json!({"image": "x", "environment": {"PASSWORD": "hunter2"}, "deploy": {"replicas": 2}}));
        assert_eq!(parts.keys().collect::<Vec<_>>(), ["deploy replicas", "environment PASSWORD"]);
        assert!(!format!("{parts:?}").contains("hunter2"));
    }
}
