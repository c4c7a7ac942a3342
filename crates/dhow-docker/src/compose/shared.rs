//! Services that use another's network, processes or volumes: Compose writes the other's container into their
//! configuration before it hashes it.

use serde_json::{Value, json};

use super::api::Facts;
use super::model::Model;

/// Where a service names another whose namespace it shares.
const NAMESPACES: [&str; 3] = ["network_mode", "ipc", "pid"];

/// The model with containers in place of services, as far as these have one. `containers` are sorted by name.
pub(super) fn resolved(model: &Model, containers: &[Facts]) -> Model {
    let container = |service: &str| containers.iter().find(|c| c.service == service).map(|c| c.id.clone());
    let mut resolved = model.clone();
    let services = resolved.0.get_mut("services").and_then(Value::as_object_mut);
    let Some(services) = services else { return resolved };
    let mut stand_ins = Vec::new();
    for (_, service) in services.iter_mut() {
        for key in NAMESPACES {
            let other =
                service.get(key).and_then(Value::as_str).and_then(|mode| mode.strip_prefix("service:"));
            if let Some(id) = other.and_then(container) {
                service[key] = format!("container:{id}").into();
            }
        }
        for from in service.get_mut("volumes_from").and_then(Value::as_array_mut).into_iter().flatten() {
            let other =
                from.as_str().and_then(|text| text.split(':').next()).filter(|name| *name != "container");
            if let Some(id) = other.and_then(container) {
                *from = id.clone().into();
                stand_ins.push(id);
            }
        }
    }
    // Compose asks that every name there is a service.
    services.extend(stand_ins.into_iter().map(|id| (id, json!({ "image": "none" }))));
    resolved
}

/// Another service that shares something with this one, or that this one shares something with.
pub(super) fn shares(model: &Model, name: &str) -> Option<String> {
    let others = |service: &Value| {
        let modes = NAMESPACES.iter().filter_map(|key| service.get(*key)?.as_str()?.strip_prefix("service:"));
        let from = service.get("volumes_from").and_then(Value::as_array).into_iter().flatten();
        let from = from.filter_map(|text| text.as_str()?.split(':').next());
        modes.chain(from).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut services = model.services();
    let found = services.find_map(|(other, service)| {
        let named = others(service);
        match other == name {
            true => named.first().cloned(),
            false => named.iter().any(|named| named == name).then(|| other.clone()),
        }
    });
    found.map(|other| format!("{other} and it share a network, processes or volumes"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_is_named_by_its_container_and_both_sides_share() {
        let model = Model(json!({"services": {"a": {}, "b": {"network_mode": "service:a"}, "c": {}}}));
        let container = Facts { id: "1".into(), service: "a".into(), ..Facts::default() };
        assert_eq!(resolved(&model, &[container]).0["services"]["b"]["network_mode"], "container:1");
        assert_eq!(resolved(&model, &[]).0["services"]["b"]["network_mode"], "service:a");
        assert!(shares(&model, "a").is_some() && shares(&model, "b").is_some());
        assert_eq!(shares(&model, "c"), None);
    }
}
