//! `proxy:` of the fleet or of a server: what stands in front of the sites.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::keys;
use super::model::Server;
use crate::noun::{ServerName, ServiceName};
use crate::port::Place;
use crate::yaml::{Node, Reader};

/// How long open requests of an old version are waited for, unless it is said.
const DRAIN: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

/// The proxy of a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxySettings {
    /// Which program.
    pub kind: ProxyKind,
    /// Where its API listens, seen from the place. Caddy: always there. Traefik: none where its API is off.
    pub admin: Option<AdminAddress>,
    /// Traefik: the folder of its file provider. Caddy: a folder that it reads at the same path, in which the addresses
    /// of upstreams are kept, so that a deploy changes none of its configuration; none: they are in its configuration.
    pub folder: Option<String>,
    /// Caddy: which of its HTTP servers takes the routes; none: the one that fits.
    pub server: Option<String>,
    /// Where visitors come in, seen from the place; none: port 443 of loopback, 80 where a route has no TLS.
    pub front: Option<SocketAddr>,
    /// How long open requests and WebSockets of an old version are waited for.
    pub drain: Duration,
    /// The service of the fleet that is this proxy, where it runs in containers that Dhow deploys.
    pub service: Option<ServiceName>,
    /// The Docker network in which it meets the sites, where it runs in a container; none: it is no container, or it meets
    /// isolated sites in the internal network.
    pub network: Option<String>,
}

/// Where a proxy is that leads to what runs on a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyAt {
    /// The machine that Dhow itself runs on.
    Here,
    /// Another server of the fleet.
    Server(ServerName),
}

/// The proxy in front of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Front {
    /// Where it is.
    pub at: Place,
    /// What it is.
    pub settings: ProxySettings,
    /// The address of the place behind it, where that is another one: an IP address or a name.
    pub address: Option<String>,
    /// The addresses of all places that share it from elsewhere.
    pub shared: BTreeMap<Place, String>,
}

impl Front {
    /// The proxy in front of a place, by what the fleet's root file says; `None`: nothing stands there.
    pub fn of(
        place: &Place,
        servers: &BTreeMap<ServerName, Server>,
        fleets: Option<&ProxySettings>,
    ) -> Option<Self> {
        let at = at(place, servers);
        let own = match &at {
            Place::Server(name) => servers.get(name).and_then(|server| server.proxy.as_ref()),
            Place::Local => None,
        };
        let settings = own.or(fleets)?.clone();
        let behind = |name: &ServerName| Place::Server(name.clone());
        let shared: BTreeMap<Place, String> = servers
            .iter()
            .filter(|(name, _)| behind(name) != at && self::at(&behind(name), servers) == at)
            .map(|(name, server)| (behind(name), reached(server)))
            .collect();
        Some(Self { address: shared.get(place).cloned(), at, settings, shared })
    }
}

/// Where the proxy of a place is. One step: a proxy that is elsewhere is there itself.
fn at(place: &Place, servers: &BTreeMap<ServerName, Server>) -> Place {
    let named = match place {
        Place::Server(name) => servers.get(name).and_then(|server| server.proxy_at.clone()),
        Place::Local => None,
    };
    match named {
        None => place.clone(),
        Some(ProxyAt::Here) => Place::Local,
        Some(ProxyAt::Server(name)) => Place::Server(name),
    }
}

fn reached(server: &Server) -> String {
    let host = || super::server::address(&server.ssh).map(|(_, host, _)| host.to_owned());
    server.address.clone().or_else(host).unwrap_or_default()
}

/// The programs that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyKind {
    /// Caddy, by its admin API.
    Caddy,
    /// Traefik, by the files of its file provider.
    Traefik,
}

/// Where an API listens. Who reaches it may do anything, so only what the place keeps to itself is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminAddress {
    /// A port of loopback.
    Tcp(SocketAddr),
    /// A unix socket, absolute.
    Unix(String),
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// Reads `proxy:`.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<ProxySettings> {
    let fields = reader.fields(node, "proxy", keys::PROXY);
    let kind = fields.get("kind").map(|n| (n, n.as_str()));
    let kind = match kind {
        Some((_, Some("caddy"))) => Some(ProxyKind::Caddy),
        Some((_, Some("traefik"))) => Some(ProxyKind::Traefik),
        Some((node, _)) => {
            reader.error(node.at, "kind of a proxy must be caddy or traefik");
            None
        }
        None => {
            reader.error_help(node.at, "proxy needs a kind", "write proxy: { kind: caddy }");
            None
        }
    };
    let admin = fields.get("admin").and_then(|n| admin(reader, n));
    let folder = fields.get("folder").and_then(|n| absolute(reader, n, "folder"));
    let server = fields.get("server").and_then(|n| server(reader, n));
    let front = fields.get("front").and_then(|n| reader.parse::<SocketAddr>(n, "front"));
    let drain = fields.get("drain").and_then(|n| reader.duration(n, "drain", HOUR)).unwrap_or(DRAIN);
    let service = fields.get("service").and_then(|n| reader.parse(n, "service"));
    let network = fields.get("network").and_then(|n| network(reader, n));
    if let Some(node) = fields.get("at") {
        let help =
            "give the other settings at the server that has the proxy, and at: SERVER at those behind it";
        reader.error_help(node.at, "at stands alone, in the proxy of a server", help);
    }
    let kind = kind?;
    if kind == ProxyKind::Caddy && folder.is_none() {
        let help = "add folder: /srv/dhow/proxy, which Caddy can read at this very path";
        let message = "without a folder each deploy reloads Caddy, at which requests can fail";
        reader.warn(node.at, message, help);
    }
    if kind == ProxyKind::Traefik && fields.get("folder").is_none() {
        let help = "write folder: /etc/traefik/dynamic, as providers.file.directory of Traefik has it";
        reader.error_help(node.at, "traefik needs the folder of its file provider", help);
        return None;
    }
    if kind == ProxyKind::Traefik
        && let Some(node) = fields.get("server")
    {
        reader.error(node.at, "server is of Caddy; Traefik has none");
    }
    let default = AdminAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 2019)));
    let admin = admin.or_else(|| (kind == ProxyKind::Caddy).then_some(default));
    Some(ProxySettings { kind, admin, folder, server, front, drain, service, network })
}

/// Reads `proxy: { at: web1 }` of a server; `None` where its proxy is its own.
pub(super) fn read_at(reader: &mut Reader<'_>, node: &Node) -> Option<ProxyAt> {
    node.get("at")?;
    let fields = reader.fields(node, "proxy", &["at"]);
    let node = fields.get("at")?;
    match node.as_str() {
        Some("here") => Some(ProxyAt::Here),
        _ => reader.parse(node, "at").map(ProxyAt::Server),
    }
}

fn network(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "network")?;
    let legal = (1..=128).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !legal {
        reader.error(node.at, format!("{text:?} is no name of a Docker network"));
        return None;
    }
    Some(text.to_owned())
}

fn admin(reader: &mut Reader<'_>, node: &Node) -> Option<AdminAddress> {
    let text = reader.text(node, "admin")?;
    if let Some(path) = text.strip_prefix("unix:") {
        let path = format!("/{}", path.trim_start_matches('/'));
        if is_plain(&path) {
            return Some(AdminAddress::Unix(path));
        }
    }
    let port = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    match port.as_deref().unwrap_or(text).parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() && address.port() > 0 => {
            return Some(AdminAddress::Tcp(address));
        }
        Ok(_) => {
            let message = "the proxy's API must listen on loopback: whoever reaches it may do anything";
            reader.error_help(node.at, message, "write 127.0.0.1:2019 or unix:/run/caddy/admin.sock");
        }
        Err(_) => {
            let message = format!("{text:?} is no address of an API");
            reader.error_help(node.at, message, "write 127.0.0.1:2019 or unix:/run/caddy/admin.sock");
        }
    }
    None
}

fn is_plain(path: &str) -> bool {
    path.len() > 1
        && path.len() <= 255
        && path.chars().all(|c| c.is_ascii_alphanumeric() || "-_./@+".contains(c))
        && !path.split('/').any(|part| matches!(part, "." | ".."))
}

fn absolute(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<String> {
    let text = reader.text(node, what)?;
    let shown = text.strip_suffix('/').unwrap_or(text);
    if !shown.starts_with('/') || shown.contains("//") || !is_plain(shown) {
        let help = "write it from the root, like /etc/traefik/dynamic: letters, digits and any of -_./@+";
        reader.error_help(node.at, format!("{what}: {text:?} is no folder"), help);
        return None;
    }
    Some(shown.to_owned())
}

fn server(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "server")?;
    let legal =
        (1..=63).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if !legal {
        reader.error(node.at, format!("{text:?} is no name of an HTTP server of Caddy"));
        return None;
    }
    Some(text.to_owned())
}
