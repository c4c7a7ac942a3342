//! Which upstreams of a route are one place's own.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use dhow_core::fleet::{Front, SITE_NETWORK};
use dhow_core::noun::DeploymentId;
use dhow_core::port::{Place, TargetError};

use super::of_proxy;
use crate::compose::Instance;
use crate::proxy::Proxy;

/// The part that a place has in the routes of its proxy.
#[derive(Debug)]
pub(super) struct Part {
    place: Place,
    /// The Docker network in which the proxy meets containers of its own place.
    network: Option<String>,
    /// The place's addresses, where the proxy is elsewhere; the first is the one to use.
    own: Option<Vec<IpAddr>>,
    /// The addresses of the deployment's other places behind this proxy.
    others: BTreeSet<IpAddr>,
    /// Other addresses may be of the deployment too: it runs where the proxy is, or a name has no address now. If not, they
    /// are of servers that are not the deployment's any more.
    more: bool,
}

impl Part {
    /// The part of a place among those of the deployment; with none given, among all that share the proxy. Other servers'
    /// names are not asked for.
    ///
    /// # Errors
    /// `Passing`: a name that is needed has no address now.
    pub(super) async fn of(front: &Front, place: &Place, places: &[Place]) -> Result<Self, TargetError> {
        let mut part = Self {
            place: place.clone(),
            network: front.settings.network.clone(),
            own: None,
            others: BTreeSet::new(),
            more: places.is_empty() || places.contains(&front.at),
        };
        if let Some(host) = front.shared.get(place) {
            part.own = Some(resolve(host).await?);
        }
        let asked = |shared: &Place| shared != place && (places.is_empty() || places.contains(shared));
        for (_, host) in front.shared.iter().filter(|(shared, _)| asked(shared)) {
            match resolve(host).await {
                Ok(addresses) => part.others.extend(addresses),
                // Its upstreams stay as they are: all that is not this place's own does.
                Err(_) if part.own.is_some() => part.more = true,
                Err(error) => return Err(error),
            }
        }
        Ok(part)
    }

    /// Where the proxy reaches these containers.
    ///
    /// # Errors
    /// `Blocked`: one of them cannot be reached from there; the message says what to do.
    pub(super) fn addresses(&self, instances: &[Instance]) -> Result<Vec<SocketAddr>, TargetError> {
        instances.iter().map(|instance| self.address(instance)).collect()
    }

    fn address(&self, instance: &Instance) -> Result<SocketAddr, TargetError> {
        let port = instance.port;
        let Some(own) = self.own.as_ref().and_then(|own| own.first()).copied() else {
            if let Some(network) =
                self.network.as_ref().filter(|name| !instance.addresses.contains_key(*name))
            {
                return Err(TargetError::Blocked(format!(
                    "the proxy meets the sites in the Docker network {network} (proxy.network in dhow.yaml), and a container \
                     of the routed service is not in it; add the network to the service in its Compose file"
                )));
            }
            let own = || instance.addresses.keys().find(|name| name.starts_with(SITE_NETWORK));
            let network = self.network.as_ref().or_else(own).map(String::as_str);
            return instance.address(network).ok_or_else(|| {
                TargetError::Blocked("a container of the routed service has no address in any network".into())
            });
        };
        let place = &self.place;
        match instance.published {
            None => Err(TargetError::Blocked(format!(
                "the proxy is not on {place}, so it reaches containers there by a port of the server only, and port {port} \
                 of the routed service has none; publish it in the Compose file without a fixed number: `ports: [\"{port}\"]`"
            ))),
            Some(published) if published.ip().is_loopback() => Err(TargetError::Blocked(format!(
                "the proxy is not on {place}, and port {port} of the routed service is published on loopback there; publish \
                 it on an address that the proxy reaches"
            ))),
            Some(published) if published.ip().is_unspecified() => Ok(SocketAddr::new(own, published.port())),
            Some(published) => Ok(published),
        }
    }

    /// The upstreams of a route that are other places'.
    pub(super) async fn others(
        &self,
        proxy: &dyn Proxy,
        deployment: &DeploymentId,
    ) -> Result<Vec<SocketAddr>, TargetError> {
        if self.own.is_none() && self.others.is_empty() {
            return Ok(Vec::new());
        }
        let all = proxy.route(deployment).await.map_err(of_proxy)?.unwrap_or_default();
        let all = all.into_iter().map(|upstream| upstream.address);
        Ok(all.filter(|address| self.is_others(address)).collect())
    }

    /// It is another place's of the deployment, and stays.
    fn is_others(&self, upstream: &SocketAddr) -> bool {
        let known = self.others.contains(&upstream.ip());
        match &self.own {
            Some(own) => !own.contains(&upstream.ip()) && (known || self.more),
            None => known,
        }
    }

    /// Takes the place's part out of a route, and the route with it where nothing else is left.
    pub(super) async fn leave(
        &self,
        proxy: &dyn Proxy,
        deployment: &DeploymentId,
    ) -> Result<(), TargetError> {
        let others = self.others(proxy, deployment).await?;
        match others.is_empty() {
            true => proxy.remove(deployment).await.map(drop).map_err(of_proxy),
            false => proxy.retain(deployment, &others).await.map(drop).map_err(of_proxy),
        }
    }
}

async fn resolve(host: &str) -> Result<Vec<IpAddr>, TargetError> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let told = |why: String| {
        TargetError::Passing(format!(
            "{host}, at which the proxy reaches a server, has no address now: {why}"
        ))
    };
    let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| told(error.to_string()))?;
    let found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    if found.is_empty() { Err(told("its name leads to none".into())) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn part(own: Option<&str>, others: &[&str], network: Option<&str>) -> Part {
        Part {
            place: Place::Server("web2".parse().unwrap()),
            network: network.map(str::to_owned),
            own: own.map(|ip| vec![ip.parse().unwrap()]),
            others: others.iter().map(|ip| ip.parse().unwrap()).collect(),
            more: false,
        }
    }

    fn instance(published: Option<&str>) -> Instance {
        let addresses = [("a_default", "172.18.0.2"), ("dhow_site_a", "172.30.0.2"), ("edge", "172.31.0.2")];
        Instance {
            addresses: addresses.map(|(name, ip)| (name.to_owned(), ip.parse().unwrap())).into(),
            port: 8080,
            published: published.map(|address| address.parse().unwrap()),
            pid: None,
        }
    }

    #[test]
    fn a_container_at_the_proxys_place_is_reached_in_the_network_that_both_are_in() {
        let of =
            |network, instance: &Instance| part(None, &[], network).address(instance).map(|a| a.to_string());
        assert_eq!(of(None, &instance(None)).unwrap(), "172.30.0.2:8080");
        assert_eq!(of(Some("edge"), &instance(None)).unwrap(), "172.31.0.2:8080");
        assert!(of(Some("other"), &instance(None)).unwrap_err().to_string().contains("network other"));
        let mut plain = instance(None);
        plain.addresses = BTreeMap::from([("a_default".to_owned(), "172.18.0.2".parse().unwrap())]);
        assert_eq!(of(None, &plain).unwrap(), "172.18.0.2:8080");
    }

    #[test]
    fn a_container_elsewhere_is_reached_by_a_published_port_of_its_server() {
        let part = part(Some("10.0.0.2"), &["10.0.0.3"], None);
        let of = |published| part.address(&instance(published)).map(|a| a.to_string());
        assert_eq!(of(Some("0.0.0.0:49153")).unwrap(), "10.0.0.2:49153");
        assert_eq!(of(Some("10.0.0.2:49153")).unwrap(), "10.0.0.2:49153");
        assert!(of(None).unwrap_err().to_string().contains("ports: [\"8080\"]"));
        assert!(of(Some("127.0.0.1:49153")).unwrap_err().to_string().contains("loopback"));
    }

    #[test]
    fn each_place_knows_which_upstreams_are_others_and_former_servers_are_nobodys() {
        let stays = |part: &Part, upstream: &str| part.is_others(&upstream.parse().unwrap());
        let mut elsewhere = part(Some("10.0.0.2"), &["10.0.0.3"], None);
        assert!(!stays(&elsewhere, "10.0.0.2:1") && stays(&elsewhere, "10.0.0.3:1"));
        assert!(!stays(&elsewhere, "10.0.0.9:1"), "a server that was taken out of the fleet");
        elsewhere.more = true;
        assert!(stays(&elsewhere, "172.18.0.2:1"), "a container where the proxy is");
        let here = part(None, &["10.0.0.2", "10.0.0.3"], None);
        assert!(!stays(&here, "172.18.0.2:1") && stays(&here, "10.0.0.3:1"));
    }

    #[tokio::test]
    async fn only_names_of_the_deployments_own_servers_are_asked_for() {
        let place = |name: &str| Place::Server(name.parse().unwrap());
        let noted = crate::compose::Noted {
            at: Place::Local,
            settings: serde_json::from_value(serde_json::json!({
                "kind": "caddy", "admin": null, "folder": null, "server": null, "front": null,
                "drain": { "secs": 1, "nanos": 0 }, "service": null, "network": null,
            }))
            .unwrap(),
            shared: vec![
                (place("a"), "10.0.0.1".into()),
                (place("b"), "10.0.0.2".into()),
                (place("dead"), "dead.invalid".into()),
            ],
        };
        let front = noted.front(&place("a"));
        let part = Part::of(&front, &place("a"), &[place("a"), place("b")]).await.unwrap();
        assert!(!part.more && part.others.len() == 1, "{part:?}");
        let part = Part::of(&front, &place("a"), &[place("a"), place("dead")]).await.unwrap();
        assert!(part.more, "what is not known stays: {part:?}");
        let dead = Part::of(&front, &place("dead"), &[place("dead")]).await.unwrap_err();
        assert!(matches!(dead, TargetError::Passing(told) if told.contains("dead.invalid")));
    }
}
