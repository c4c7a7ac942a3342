//! Networks of an isolated deployment, in the generated override file: the user's files stay as they are.

use dhow_core::fleet::{INTERNAL_NETWORK, Isolation};
use dhow_core::port::TargetError;
use serde_json::{Map, Value, json};

use super::body::Body;
use super::model::Model;
use super::route::service_of;
use super::site::{Site, Turn};

/// The network to the outside that a proxy alone is in, below its project.
const OUTSIDE: &str = "dhow_outside";

/// The networks that are added, at the top of the file: name to declaration.
pub(super) fn declared(body: &Body) -> Map<String, Value> {
    let internal = json!({ "name": INTERNAL_NETWORK, "external": true });
    let outside = json!({ "name": format!("{}_{OUTSIDE}", body.project) });
    let all = match body.isolation {
        Isolation::Off => Vec::new(),
        Isolation::Site => vec![(INTERNAL_NETWORK, internal)],
        Isolation::Proxy => vec![(INTERNAL_NETWORK, internal), (OUTSIDE, outside)],
    };
    all.into_iter().map(|(name, network)| (name.to_owned(), network)).collect()
}

/// The networks that are added to a service: of a site, the service with the route meets the proxy; of a proxy, the services
/// that visitors reach, or all where none publishes a port.
pub(super) fn joined(body: &Body, model: &Model, name: &str) -> Vec<String> {
    let publishes =
        |service: &Value| service.get("ports").and_then(Value::as_array).is_some_and(|p| !p.is_empty());
    let service = model.services().find(|(other, _)| *other == name).map(|(_, service)| service);
    if service.is_none_or(|service| service.get("network_mode").is_some()) {
        return Vec::new();
    }
    let joins = match body.isolation {
        Isolation::Off => false,
        Isolation::Site => {
            let names: Vec<String> = model.services().map(|(name, _)| name.clone()).collect();
            body.route.as_ref().and_then(|route| service_of(route, names.iter())).as_deref() == Some(name)
        }
        Isolation::Proxy => {
            service.is_some_and(publishes) || !model.services().any(|(_, service)| publishes(service))
        }
    };
    if joins { declared(body).into_iter().map(|(name, _)| name).collect() } else { Vec::new() }
}

/// Makes the internal network where it is not there. It is nobody's: it stays when the deployment goes. Repeatable.
pub(super) async fn internal_network(site: &Site, body: &Body, turn: Turn<'_>) -> Result<(), TargetError> {
    if body.isolation.is_off() || site.api().await?.volumes_and_networks().await?.1.contains(INTERNAL_NETWORK)
    {
        return Ok(());
    }
    let arguments =
        ["network", "create", "--internal", "--label", "dev.dhow.network=sites", INTERNAL_NETWORK];
    let output = site.try_change(turn, &site.docker(arguments)).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.ok() || said.contains("already exists") {
        true => Ok(()),
        false => Err(super::error::docker("making the internal network", &output)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dhow_core::fleet::Route;

    use super::*;

    fn body(isolation: Isolation) -> Body {
        Body {
            project: "stage_shop".into(),
            folder: String::new(),
            route: Some(Route { host: "a.dev".into(), service: Some("web".into()), ..Route::default() }),
            compose_files: Vec::new(),
            inputs: BTreeMap::new(),
            content: BTreeMap::new(),
            strategy: None,
            isolation,
            moved_from: None,
        }
    }

    #[test]
    fn only_what_meets_the_proxy_joins_its_network() {
        let model = Model(json!({"services": {"web": {}, "db": {}, "edge": {"ports": [{"target": 80}]}}}));
        let of = |isolation, name: &str| joined(&body(isolation), &model, name);
        assert_eq!(of(Isolation::Site, "web"), [INTERNAL_NETWORK]);
        assert!(of(Isolation::Site, "db").is_empty() && of(Isolation::Off, "web").is_empty());
        assert_eq!(of(Isolation::Proxy, "edge"), [INTERNAL_NETWORK, OUTSIDE]);
        assert!(of(Isolation::Proxy, "web").is_empty());
        let host = Model(json!({"services": {"web": {"network_mode": "host"}}}));
        assert!(joined(&body(Isolation::Site), &host, "web").is_empty());
    }
}
