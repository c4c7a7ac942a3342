//! `isolation:`: which deployments meet in which networks.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::model::{Deployment, Fleet};
use super::root::read_optional;
use super::tree::Tree;
use crate::diagnostic::Diagnostic;
use crate::noun::{DeploymentId, TargetType};
use crate::yaml::{self, Node, Position};

/// The Docker network that the proxies of a place are in, which are containers of the fleet: each is known by it, and joins
/// the network of every isolated site. No way leads out of it.
pub const INTERNAL_NETWORK: &str = "dhow_sites";

/// What the names of the Docker networks begin with in which one isolated site meets the proxy; the site's project follows.
/// No way leads out of them.
pub const SITE_NETWORK: &str = "dhow_site_";

/// The networks of a deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// As its files say.
    #[default]
    Off,
    /// Its own; the service with the route meets the proxy in a network that only the two are in.
    Site,
    /// It is the proxy: its own, the networks of the sites, and one to the outside.
    Proxy,
}

impl Isolation {
    /// It is as the files say.
    pub fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

/// Isolated deployments as their files say, and as they are in the fleet.
pub(super) type Settled = BTreeMap<DeploymentId, (Arc<Deployment>, Arc<Deployment>)>;

/// Says of each Compose deployment what isolation means for it. A proxy that is no deployment of the fleet reaches every
/// container from its machine: nothing is to be joined then. What is as it was `before` stays the very same.
pub(super) fn settle(fleet: &mut Fleet, all: bool, before: &Settled) -> Settled {
    let isolated: Vec<(DeploymentId, Isolation)> =
        fleet.deployments.values().filter_map(|d| Some((d.id.clone(), isolation(fleet, d, all)?))).collect();
    let mut settled = Settled::new();
    for (id, isolation) in isolated {
        let Some(deployment) = fleet.deployments.get_mut(&id) else { continue };
        let read = Arc::clone(deployment);
        match before.get(&id) {
            Some((known, same)) if Arc::ptr_eq(known, &read) && same.settings.isolation == isolation => {
                *deployment = Arc::clone(same);
            }
            _ => Arc::make_mut(deployment).settings.isolation = isolation,
        }
        settled.insert(id, (read, Arc::clone(deployment)));
    }
    settled
}

fn isolation(fleet: &Fleet, deployment: &Deployment, all: bool) -> Option<Isolation> {
    if deployment.id.target != TargetType::Compose || !deployment.settings.isolated.unwrap_or(all) {
        return None;
    }
    let places = deployment.places();
    let fronts = || places.iter().filter_map(|place| fleet.front(place));
    if fronts().any(|front| front.settings.service.as_ref() == Some(&deployment.id.service)) {
        return Some(Isolation::Proxy);
    }
    let met = fronts().any(|front| front.settings.service.is_some() && front.address.is_none());
    (met && deployment.settings.route.is_some()).then_some(Isolation::Site)
}

/// What of the Compose files of an isolated deployment leads out of its own networks.
pub(super) fn findings(tree: &dyn Tree, files: &[String]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for file in files {
        let Ok(Some(bytes)) = read_optional(tree, file) else { continue };
        let parsed = yaml::parse(file, &bytes);
        for document in &parsed.documents {
            for (at, message, help) in shared(document) {
                let warning =
                    Diagnostic::warning(file.as_str(), message).at(&parsed.text, at.line, at.column);
                found.push(warning.help(help));
            }
        }
    }
    found
}

type Shared = (Position, String, &'static str);

fn shared(document: &Node) -> Vec<Shared> {
    let mut found = Vec::new();
    for (name, network) in document.get("networks").map(Node::entries).unwrap_or_default() {
        let external = network.get("external").filter(|node| node.as_str() != Some("false"));
        if let Some(node) = external.or_else(|| network.get("name")) {
            let message =
                format!("the network {} is shared with others, and the site is to be isolated", name.text);
            let help =
                "remove it: the proxy meets the site in a network that Dhow adds; or set isolation: false";
            found.push((node.at, message, help));
        }
    }
    for (name, service) in document.get("services").map(Node::entries).unwrap_or_default() {
        for key in ["links", "external_links"] {
            if let Some(node) = service.get(key) {
                let message = format!(
                    "{key} of {} ties containers together, and the site is to be isolated",
                    name.text
                );
                found.push((
                    node.at,
                    message,
                    "remove it: services of one network find each other by their names",
                ));
            }
        }
        let mode = service.get("network_mode");
        if let Some((node, text)) = mode.and_then(|node| Some((node, node.as_str()?)))
            && (matches!(text, "host" | "bridge") || text.starts_with("container:"))
        {
            let message = format!(
                "network_mode {text} of {} is shared with others, and the site is to be isolated",
                name.text
            );
            found.push((
                node.at,
                message,
                "remove it, or set isolation: false in the deployment's dhow.yaml",
            ));
        }
    }
    found
}
