//! Caddy's configuration as it was read: where our routes stand in it, and where a new one belongs.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use dhow_core::fleet::Tls;
use serde_json::{Map, Value, json};

use crate::proxy::error::ProxyError;
use crate::proxy::site::Site;

/// Handlers that answer, or may; others only add to a request.
const ANSWER: [&str; 7] =
    ["acme_server", "error", "file_server", "php_fastcgi", "reverse_proxy", "static_response", "subroute"];
const OURS: &str = "dhow~";
const SERVERS: &str = "/apps/http/servers";

/// The whole configuration.
pub(super) struct Config {
    pub(super) value: Value,
    /// What it is known by: a change is refused where it is another one by then.
    pub(super) etag: String,
}

/// One of our routes.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) server: &'a str,
    pub(super) index: usize,
    pub(super) route: &'a Value,
}

impl Found<'_> {
    /// Its path in the API.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", routes_path(self.server), self.index)
    }
}

/// The path of a server's routes in the API.
pub(super) fn routes_path(server: &str) -> String {
    format!("/config{SERVERS}/{server}/routes")
}

/// A server for a Caddy that has none.
pub(super) fn own_server(site: &Site, route: Value) -> Value {
    let listen = if site.tls == Tls::Off { ":80" } else { ":443" };
    json!({ "listen": [listen], "routes": [route] })
}

impl Config {
    fn servers(&self) -> impl Iterator<Item = (&str, &Value)> {
        let servers = self.value.pointer(SERVERS).and_then(Value::as_object);
        servers.into_iter().flat_map(Map::iter).map(|(name, server)| (name.as_str(), server))
    }

    fn routes<'a>(&'a self, server: &str) -> &'a [Value] {
        let found = self.servers().find(|(name, _)| *name == server).map(|(_, server)| server);
        let routes = found.and_then(|server| server.get("routes")).and_then(Value::as_array);
        routes.map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a server has a list of routes at all.
    pub(super) fn has_routes(&self, server: &str) -> bool {
        self.servers().any(|(name, value)| name == server && value.get("routes").is_some_and(Value::is_array))
    }

    /// The route with this id.
    pub(super) fn find(&self, id: &str) -> Option<Found<'_>> {
        let names: Vec<&str> = self.servers().map(|(name, _)| name).collect();
        names.into_iter().find_map(|server| {
            let mut routes = self.routes(server).iter().enumerate();
            let (index, route) = routes.find(|(_, route)| id_of(route) == Some(id))?;
            Some(Found { server, index, route })
        })
    }

    /// The ids of all our routes.
    pub(super) fn ours(&self) -> BTreeSet<String> {
        let routes = self.servers().flat_map(|(name, _)| self.routes(name));
        routes.filter_map(id_of).filter(|id| id.starts_with(OURS)).map(str::to_owned).collect()
    }

    /// The server that takes a site's route, and whether it is there: the one that is named; else the one that listens on
    /// 443 (80 where there is no TLS); else the only one; else one of our own, where there is none.
    pub(super) fn server_for(&self, site: &Site, named: Option<&str>) -> Result<(String, bool), ProxyError> {
        let names: Vec<&str> = self.servers().map(|(name, _)| name).collect();
        if let Some(named) = named {
            let there = names.contains(&named);
            if !there && !names.is_empty() {
                let list = names.join(", ");
                let message =
                    format!("Caddy has no HTTP server {named:?}; it has {list}: correct server in dhow.yaml");
                return Err(ProxyError::Unable(message));
            }
            return Ok((named.to_owned(), there));
        }
        let port = if site.tls == Tls::Off { 80 } else { 443 };
        let fits = self.servers().find(|(_, server)| ports(server).any(|(_, found)| found == port));
        match (fits, &names[..]) {
            (Some((name, _)), _) => Ok((name.to_owned(), true)),
            (None, [only]) => Ok(((*only).to_owned(), true)),
            (None, []) => Ok(("dhow".into(), false)),
            (None, _) => {
                let list = names.join(", ");
                let message = format!(
                    "none of Caddy's HTTP servers ({list}) listens on port {port}; name one by server in dhow.yaml"
                );
                Err(ProxyError::Unable(message))
            }
        }
    }

    /// Path and value that make a server: as much around it as is missing.
    pub(super) fn new_server(&self, name: &str, server: Value) -> (String, Value) {
        let has = |path: &str| self.value.pointer(path).is_some_and(|value| !value.is_null());
        let servers = json!({ name: server.clone() });
        if has(SERVERS) {
            return (format!("/config{SERVERS}/{name}"), server);
        }
        if has("/apps/http") {
            return (format!("/config{SERVERS}"), servers);
        }
        match has("/apps") {
            true => ("/config/apps/http".into(), json!({ "servers": servers })),
            false => ("/config/apps".into(), json!({ "http": { "servers": servers } })),
        }
    }

    /// Where in a server's list a new route of ours belongs: behind what is more special, before what would take its
    /// requests. `Taken` where somebody else's route is for this very host.
    pub(super) fn place_for(&self, server: &str, site: &Site) -> Result<usize, ProxyError> {
        let routes = self.routes(server);
        for (index, route) in routes.iter().enumerate() {
            if !takes(route, &site.host) {
                continue;
            }
            if id_of(route).is_some_and(|id| id.starts_with(OURS)) {
                // The longer path comes first.
                if path_length(route) < site.path.as_ref().map_or(0, String::len) {
                    return Ok(index);
                }
                continue;
            }
            if !answers(route) || path_length(route) > 0 {
                continue;
            }
            let exact = hosts(route).any(|hosts| hosts.iter().any(|host| host.as_str() == Some(&site.host)));
            if exact && site.path.is_none() {
                let route = format!("{}/{index}", routes_path(server));
                return Err(ProxyError::Taken { host: site.host.clone(), route });
            }
            return Ok(index);
        }
        Ok(routes.len())
    }

    /// How many proxies in it, none of them ours, lose their WebSockets at each reload.
    pub(super) fn streams_that_a_reload_cuts(&self) -> usize {
        self.servers().map(|(_, server)| streams(server)).sum()
    }

    /// A restart forgets what was set by the API.
    pub(super) fn is_forgotten(&self) -> bool {
        self.value.pointer("/admin/config/persist") == Some(&Value::Bool(false))
    }

    /// Where a server listens, as it is reached on its own machine.
    pub(super) fn listens(&self, server: &str) -> Option<SocketAddr> {
        let (_, value) = self.servers().find(|(name, _)| *name == server)?;
        let (ip, port) = ports(value).next()?;
        let everywhere = ip.is_unspecified();
        Some(SocketAddr::new(if everywhere { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip }, port))
    }
}

fn streams(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(streams).sum(),
        Value::Object(_) if id_of(value).is_some_and(|id| id.starts_with(OURS)) => 0,
        Value::Object(fields) => {
            let proxy = fields.get("handler").and_then(Value::as_str) == Some("reverse_proxy");
            let cut = proxy && !fields.contains_key("stream_close_delay");
            usize::from(cut) + fields.values().map(streams).sum::<usize>()
        }
        _ => 0,
    }
}

/// The TCP addresses that a server listens on: `:443`, `127.0.0.1:80`, `tcp/[::]:443`; a name of a host is any.
fn ports(server: &Value) -> impl Iterator<Item = (IpAddr, u16)> {
    let listen = server.get("listen").and_then(Value::as_array).into_iter().flatten();
    listen.filter_map(Value::as_str).filter_map(|text| {
        let text = text.strip_prefix("tcp/").unwrap_or(text);
        let (host, port) = text.rsplit_once(':').filter(|_| !text.starts_with("unix"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some((host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port.parse().ok()?))
    })
}

fn id_of(route: &Value) -> Option<&str> {
    route.get("@id").and_then(Value::as_str)
}

/// The lists of hosts of a route's matchers.
fn hosts(route: &Value) -> impl Iterator<Item = &Vec<Value>> {
    let sets = route.get("match").and_then(Value::as_array).into_iter().flatten();
    sets.filter_map(|set| set.get("host").and_then(Value::as_array))
}

/// Whether a route may take requests for a host.
fn takes(route: &Value, host: &str) -> bool {
    let sets = route.get("match").and_then(Value::as_array);
    sets.is_none_or(|sets| {
        sets.is_empty()
            || sets.iter().any(|set| match set.get("host").and_then(Value::as_array) {
                None => true,
                Some(hosts) => hosts.iter().filter_map(Value::as_str).any(|pattern| fits(pattern, host)),
            })
    })
}

/// `*.acme.dev` fits `a.acme.dev`; what has a placeholder may fit anything.
fn fits(pattern: &str, host: &str) -> bool {
    let labels = || host.split('.').zip(pattern.split('.'));
    pattern.contains('{')
        || (pattern.split('.').count() == host.split('.').count()
            && labels().all(|(label, pattern)| pattern == "*" || pattern.eq_ignore_ascii_case(label)))
}

/// The longest path that a route asks for.
fn path_length(route: &Value) -> usize {
    let sets = route.get("match").and_then(Value::as_array).into_iter().flatten();
    let paths = sets.filter_map(|set| set.get("path").and_then(Value::as_array)).flatten();
    let length = |path: &str| path.trim_end_matches(['*', '/']).len();
    paths.filter_map(Value::as_str).map(length).max().unwrap_or(0)
}

fn answers(route: &Value) -> bool {
    let handlers = route.get("handle").and_then(Value::as_array).into_iter().flatten();
    let name =
        |handler: &Value| handler.get("handler").and_then(Value::as_str).is_none_or(|n| ANSWER.contains(&n));
    handlers.into_iter().any(name)
}

#[cfg(test)]
mod tests;
