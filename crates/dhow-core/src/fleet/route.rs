//! `route:` of a deployment: how it is reached.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::SecretReference;
use super::{headers, keys};
use crate::yaml::{Node, Reader};

/// Longest time that a WebSocket of an old version is given.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How a deployment is reached.
///
/// What is not set is left out of its text, so that a key that comes later changes no desired hash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Host name, in lower case.
    pub host: String,
    /// The service of a Compose file behind it.
    pub service: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// Only this path and those below it: starts with `/`, does not end with one. None: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Where its certificate comes from.
    #[serde(default, skip_serializing_if = "Tls::is_auto")]
    pub tls: Tls,
    /// Hosts that lead to `host` by a redirect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_from: Vec<String>,
    /// Headers of every answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Who may come in, by user; empty: everybody.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub basic_auth: BTreeMap<String, PasswordHash>,
    /// How long a WebSocket to a version that was replaced may go on; none: the drain time of the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket_timeout: Option<Duration>,
}

impl Route {
    /// Some of it only a proxy does, not Dhow's own listener: the first such key.
    pub(super) fn needs_proxy(&self) -> Option<&'static str> {
        let said = [
            ("path", self.path.is_some()),
            ("tls", !self.tls.is_auto()),
            ("redirect_from", !self.redirect_from.is_empty()),
            ("headers", !self.headers.is_empty()),
            ("basic_auth", !self.basic_auth.is_empty()),
            ("websocket_timeout", self.websocket_timeout.is_some()),
        ];
        said.into_iter().find(|(_, said)| *said).map(|(key, _)| key)
    }
}

/// Where the certificate of a route comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// From the proxy, as it is set up.
    #[default]
    Auto,
    /// Nowhere: plain HTTP only.
    Off,
    /// From this certificate resolver of Traefik.
    Resolver(String),
}

impl Tls {
    /// It is as the proxy has it.
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// What a password is compared with: never the password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordHash {
    /// A bcrypt hash, as it stands in the fleet.
    Bcrypt(String),
    /// Where a bcrypt hash is kept.
    Secret(SecretReference),
}

impl PasswordHash {
    /// Whether a text is a bcrypt hash: `$2a$`, `$2b$` or `$2y$`, a cost from 4 to 31, and 53 characters.
    pub fn is_bcrypt(text: &str) -> bool {
        let Some((cost, rest)) = ["$2a$", "$2b$", "$2y$"]
            .iter()
            .find_map(|kind| text.strip_prefix(kind))
            .and_then(|rest| rest.split_once('$'))
        else {
            return false;
        };
        cost.len() == 2
            && cost.parse::<u8>().is_ok_and(|cost| (4..=31).contains(&cost))
            && rest.len() == 53
            && rest.chars().all(|c| c.is_ascii_alphanumeric() || "./".contains(c))
    }
}

/// Reads `route:`.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Route> {
    let fields = reader.fields(node, "route", keys::ROUTE);
    let service = fields.get("service").and_then(|n| service(reader, n));
    let port = fields.get("port").and_then(|n| reader.number(n, "port", 1..=65535));
    let path = fields.get("path").and_then(|n| path(reader, n));
    let tls = fields.get("tls").map(|n| tls(reader, n)).unwrap_or_default();
    let mut redirect_from: Vec<String> = Vec::new();
    let hosts = fields.get("redirect_from").map(|n| (n, reader.items(n, "redirect_from")));
    for item in hosts.map(|(_, items)| items).unwrap_or_default() {
        let Some(name) = host(reader, item) else { continue };
        match redirect_from.contains(&name) {
            true => reader.error(item.at, format!("the host {name} is named twice")),
            false => redirect_from.push(name),
        }
    }
    let headers = fields.get("headers").map(|n| answer_headers(reader, n)).unwrap_or_default();
    let basic_auth = fields.get("basic_auth").map(|n| basic_auth(reader, n)).unwrap_or_default();
    let websocket_timeout =
        fields.get("websocket_timeout").and_then(|n| reader.duration(n, "websocket_timeout", DAY));
    let Some(host_node) = fields.get("host") else {
        reader.error_help(node.at, "route needs a host", "write route: { host: shop.acme.dev }");
        return None;
    };
    let host = host(reader, host_node)?;
    if let Some((node, _)) = hosts.filter(|_| redirect_from.contains(&host)) {
        reader.error_help(node.at, format!("{host} would lead to itself"), "remove it from redirect_from");
    }
    let port = port.and_then(|p| u16::try_from(p).ok());
    Some(Route { host, service, port, path, tls, redirect_from, headers, basic_auth, websocket_timeout })
}

/// A host name, in lower case.
pub(super) fn host(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "a host")?.to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    if text.len() > 253 || !text.split('.').all(label) {
        reader.error_help(
            node.at,
            format!("{text:?} is no host name"),
            "write it like shop.acme.dev, without scheme and port",
        );
        return None;
    }
    Some(text)
}

fn service(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "service")?;
    let legal = (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !legal {
        let help = "write the name of a service of the Compose file, as it stands there";
        reader.error_help(node.at, format!("{text:?} is no name of a service"), help);
        return None;
    }
    Some(text.to_owned())
}

/// Proxies read some characters as more than themselves, so few are let in.
fn path(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "path")?;
    let shown = text.strip_suffix('/').unwrap_or(text);
    let legal = text.starts_with('/')
        && text.len() <= 255
        && !text.contains("//")
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~/".contains(c))
        && !shown.split('/').any(|part| matches!(part, "." | ".."));
    if !legal {
        let help =
            "write it like /api: letters, digits, '-', '_', '.', '~' and '/'; what is below it is meant too";
        reader.error_help(node.at, format!("{text:?} is no path of a route"), help);
        return None;
    }
    Some(shown.to_owned()).filter(|path| !path.is_empty())
}

fn tls(reader: &mut Reader<'_>, node: &Node) -> Tls {
    match node.as_str() {
        Some("auto") => return Tls::Auto,
        Some("off") => return Tls::Off,
        Some(_) => {}
        None => {
            let fields = reader.fields(node, "tls", keys::ROUTE_TLS);
            let name = fields.get("resolver").and_then(|n| reader.text(n, "resolver"));
            let plain = |name: &&str| {
                (1..=63).contains(&name.len())
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
            };
            if let Some(name) = name.filter(plain) {
                return Tls::Resolver(name.to_owned());
            }
        }
    }
    let help = "write tls: auto, tls: off, or tls: { resolver: NAME } for a certificate resolver of Traefik";
    reader.error_help(node.at, "tls must be auto, off or a resolver", help);
    Tls::Auto
}

/// Caddy and Traefik would fill in what stands in braces, secrets of their own among it.
fn answer_headers(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, String> {
    let found = headers::read(reader, node, &["set-cookie"]);
    for (key, value) in reader.entries(node, "headers") {
        if value.as_str().is_some_and(|text| text.contains(['{', '}'])) {
            reader.error(
                value.at,
                format!("the header {:?} holds a brace; proxies read more into it", key.text),
            );
        }
    }
    found
}

fn basic_auth(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, PasswordHash> {
    let mut users = BTreeMap::new();
    for (key, value) in reader.entries(node, "basic_auth") {
        let legal = (1..=63).contains(&key.text.len())
            && key.text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@+".contains(c));
        if !legal {
            reader.error_unseen(
                key.at,
                "this is no name of a user",
                "a user has letters, digits and any of -_.@+",
            );
            continue;
        }
        let text = value.as_str().unwrap_or("");
        let hash = match PasswordHash::is_bcrypt(text) {
            true => Some(PasswordHash::Bcrypt(text.to_owned())),
            false => text.parse().ok().map(PasswordHash::Secret),
        };
        match hash {
            Some(hash) => {
                users.insert(key.text.clone(), hash);
            }
            None => reader.error_unseen(
                value.at,
                format!("the password of {} is no bcrypt hash and no reference to one", key.text),
                "write the hash ($2y$...) or env:NAME, file:PATH, command:NAME; if a password stood here, change it: it is in Git",
            ),
        }
    }
    users
}
