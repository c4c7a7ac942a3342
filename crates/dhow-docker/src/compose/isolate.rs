//! Networks of an isolated deployment, in the generated override file: the user's files stay as they are.
//!
//! Each site meets the proxy in a network that only the two are in, so that no site reaches another, nor finds its services
//! by their names. Which sites there are is not the proxy's configuration, with which its containers would change: they are
//! connected to a site's network as it is made, and to all of them when they are made anew.

use dhow_core::fleet::{INTERNAL_NETWORK, Isolation, SITE_NETWORK};
use dhow_core::port::TargetError;
use serde_json::{Map, Value, json};

use super::body::Body;
use super::model::Model;
use super::route::service_of;
use super::site::{Site, Turn};
use crate::engine::api::Api;

/// The network to the outside that a proxy alone is in, below its project.
const OUTSIDE: &str = "dhow_outside";
/// What a site's own network is called in its files.
const OWN: &str = "dhow_site";
/// The label of all networks that are made here.
const LABEL: &str = "dev.dhow.network";
/// What it says of networks of proxies, and of a site's.
const OF_PROXIES: &str = "sites";
const OF_SITE: &str = "site";

/// The network in which a site meets the proxy.
fn of_site(project: &str) -> String {
    format!("{SITE_NETWORK}{project}")
}

/// It is made where it is not there, though files call it external.
pub(super) fn is_made(network: &str) -> bool {
    network == INTERNAL_NETWORK || network.starts_with(SITE_NETWORK)
}

/// The networks that are added, at the top of the file: name to declaration.
pub(super) fn declared(body: &Body) -> Map<String, Value> {
    let internal = json!({ "name": INTERNAL_NETWORK, "external": true });
    let own = json!({ "name": of_site(&body.project), "external": true });
    let outside = json!({ "name": format!("{}_{OUTSIDE}", body.project) });
    let all = match body.isolation {
        Isolation::Off => Vec::new(),
        Isolation::Site => vec![(OWN, own)],
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

/// Makes the network in which the deployment meets others, where it is not there. Repeatable.
///
/// # Errors
/// `Blocked`: somebody else has a network of this name.
pub(super) async fn made(site: &Site, body: &Body, turn: Turn<'_>) -> Result<(), TargetError> {
    let (name, kind) = match body.isolation {
        Isolation::Off => return Ok(()),
        Isolation::Site => (of_site(&body.project), OF_SITE),
        Isolation::Proxy => (INTERNAL_NETWORK.to_owned(), OF_PROXIES),
    };
    let api = site.api().await?;
    if is_ours(&api, &name, kind, site).await? {
        return Ok(());
    }
    let label = format!("{LABEL}={kind}");
    let arguments = ["network", "create", "--internal", "--label", &label, &name];
    let output = site.try_change(turn, &site.docker(arguments)).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.ok() {
        return Ok(());
    }
    // Another deployment may have been faster.
    if said.contains("already exists") && is_ours(&api, &name, kind, site).await? {
        return Ok(());
    }
    if said.contains("address pool") {
        return Err(TargetError::Blocked(format!(
            "the engine of {} has no addresses left for the network {name}: {}; give it more with \
             `default-address-pools` in its daemon.json, smaller ones, and start it again",
            site.place(),
            said.trim()
        )));
    }
    Err(super::error::docker(&format!("making the network {name}"), &output))
}

/// It is there, and as it is made here.
async fn is_ours(api: &Api, name: &str, kind: &str, site: &Site) -> Result<bool, TargetError> {
    let Some(found) = api.network(name).await? else { return Ok(false) };
    if found.internal && found.labels.get(LABEL).map(String::as_str) == Some(kind) {
        return Ok(true);
    }
    let place = site.place();
    let why = if found.internal { "it does not carry Dhow's label" } else { "a way leads out of it" };
    Err(TargetError::Blocked(format!(
        "the Docker network {name} at {place} was not made by Dhow ({why}), and would not keep sites apart; take what is in \
         it out and remove it there with `docker network rm {name}`, or set isolation: false"
    )))
}

/// The proxy's containers are in the network of the site; a proxy's own in those of all sites. Repeatable.
pub(super) async fn met(site: &Site, body: &Body, turn: Turn<'_>) -> Result<(), TargetError> {
    if body.isolation.is_off() {
        return Ok(());
    }
    let api = site.api().await?;
    let proxies = api.network(INTERNAL_NETWORK).await?.map(|found| found.containers).unwrap_or_default();
    let networks = match body.isolation {
        Isolation::Proxy => api.networks_labelled(&format!("{LABEL}={OF_SITE}")).await?,
        _ => vec![of_site(&body.project)],
    };
    for name in networks {
        let Some(there) = api.network(&name).await? else { continue };
        for proxy in proxies.difference(&there.containers) {
            let output = site.try_change(turn, &site.docker(["network", "connect", &name, proxy])).await?;
            let said = String::from_utf8_lossy(&output.stderr);
            // It has ended meanwhile, or somebody was faster.
            if !output.ok() && !said.contains("already exists") && !said.contains("No such container") {
                return Err(super::error::docker(&format!("connecting the proxy to {name}"), &output));
            }
        }
    }
    Ok(())
}

/// The network of a site that is gone, or is isolated no more, goes too. Repeatable.
pub(super) async fn left(site: &Site, project: &str, turn: Turn<'_>) -> Result<(), TargetError> {
    let (api, name) = (site.api().await?, of_site(project));
    let Some(found) = api.network(&name).await? else { return Ok(()) };
    if found.labels.get(LABEL).map(String::as_str) != Some(OF_SITE) {
        return Ok(());
    }
    for container in &found.containers {
        site.try_change(turn, &site.docker(["network", "disconnect", "--force", &name, container])).await?;
    }
    let output = site.try_change(turn, &site.docker(["network", "rm", &name])).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.ok() || said.to_lowercase().contains("not found") || said.contains("No such network") {
        true => Ok(()),
        false => Err(super::error::docker(&format!("removing the network {name}"), &output)),
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
        assert_eq!(of(Isolation::Site, "web"), [OWN]);
        assert_eq!(declared(&body(Isolation::Site))[OWN]["name"], "dhow_site_stage_shop");
        assert!(of(Isolation::Site, "db").is_empty() && of(Isolation::Off, "web").is_empty());
        assert_eq!(of(Isolation::Proxy, "edge"), [INTERNAL_NETWORK, OUTSIDE]);
        assert!(of(Isolation::Proxy, "web").is_empty());
        let host = Model(json!({"services": {"web": {"network_mode": "host"}}}));
        assert!(joined(&body(Isolation::Site), &host, "web").is_empty());
    }
}
