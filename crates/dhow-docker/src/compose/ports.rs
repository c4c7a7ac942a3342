//! Fixed ports of the host that somebody else holds: told before anything is stopped.

use serde_json::Value;

use super::api::Holder;
use super::model::Model;

/// The fixed ports of the services that containers of other projects hold, with whose they are.
pub(super) fn taken(model: &Model, project: &str, holders: &[Holder]) -> Vec<String> {
    let mut taken = Vec::new();
    for (name, service) in model.services() {
        for port in service.get("ports").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| port.get(key).and_then(Value::as_str).unwrap_or_default();
            let Ok(published) = text("published").parse::<u16>() else { continue };
            let protocol = if text("protocol").is_empty() { "tcp" } else { text("protocol") };
            let holder = holders.iter().find(|holder| {
                holder.project.as_deref() != Some(project)
                    && holder.port == published
                    && holder.protocol == protocol
                    && overlap(&holder.address, text("host_ip"))
            });
            taken.extend(holder.map(|holder| {
                format!("port {published} that {name} wants is held by the container {}", holder.name)
            }));
        }
    }
    taken
}

fn overlap(one: &str, other: &str) -> bool {
    let all = |address: &str| matches!(address, "" | "0.0.0.0" | "::");
    one == other || all(one) || all(other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_port_is_taken_by_others_only() {
        let model = Model(json!({"services": {"web": {"ports": [
            {"target": 80, "published": "80", "host_ip": "127.0.0.1", "protocol": "tcp"}]}}}));
        let holder = |project: &str, address: &str| Holder {
            name: "other".into(),
            project: Some(project.into()),
            port: 80,
            protocol: "tcp".into(),
            address: address.into(),
        };
        assert_eq!(taken(&model, "p", &[holder("q", "0.0.0.0")]).len(), 1);
        assert!(taken(&model, "p", &[holder("p", "0.0.0.0")]).is_empty());
        assert!(taken(&model, "p", &[holder("q", "10.0.0.1")]).is_empty());
    }
}
