//! The file of a deployment. It is JSON, which is YAML; printed with line breaks it holds no `{{`, which Traefik would
//! take for a template.

use std::net::SocketAddr;

use dhow_core::fleet::Tls;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use crate::proxy::site::{Site, Upstream, mark, mark_location, mark_path, name};

/// How long Traefik keeps an idle connection to an upstream: a drain need not wait for longer.
const IDLE: &str = "2s";
/// How long a request waits for one upstream before it is sent to another.
const DIAL: &str = "1s";

/// The file's text.
pub(super) fn text(site: &Site, upstreams: &[Upstream]) -> String {
    let mark = mark_of(site, upstreams);
    let mut text = format!("{:#}", document(site, upstreams, Some(&mark)));
    text.push('\n');
    text
}

/// The mark of a file: of all that is in it but itself.
pub(super) fn mark_of(site: &Site, upstreams: &[Upstream]) -> String {
    mark(&document(site, upstreams, None))
}

/// The upstreams of a file; `None` where it is not as Dhow writes it.
pub(super) fn upstreams(file: &[u8], name: &str) -> Option<Vec<Upstream>> {
    let file: Value = serde_json::from_slice(file).ok()?;
    let servers = file.pointer("/http/services")?.get(name)?.pointer("/loadBalancer/servers")?.as_array()?;
    servers
        .iter()
        .map(|server| {
            let address = server.get("url")?.as_str()?.strip_prefix("http://")?.parse().ok()?;
            let weight = server.get("weight").map_or(Some(1), Value::as_u64)?;
            Some(Upstream { address, weight: u16::try_from(weight).ok()? })
        })
        .collect()
}

/// The file without every upstream but these; `None` where nothing is to be changed.
pub(super) fn retain(file: &[u8], name: &str, stay: &[SocketAddr]) -> Option<String> {
    let mut all: Value = serde_json::from_slice(file).ok()?;
    let service = all.pointer_mut("/http/services")?.get_mut(name)?;
    let servers = service.pointer_mut("/loadBalancer/servers")?.as_array_mut()?;
    let before = servers.len();
    servers.retain(|server| {
        let url = server.get("url").and_then(Value::as_str).and_then(|url| url.strip_prefix("http://"));
        url.and_then(|address| address.parse().ok()).is_some_and(|address| stay.contains(&address))
    });
    let changed = servers.len() != before;
    changed.then(|| format!("{all:#}\n"))
}

fn document(site: &Site, upstreams: &[Upstream], mark: Option<&str>) -> Value {
    let name = name(&site.deployment);
    let mut parts = Parts { name: &name, routers: Map::new(), middlewares: Map::new() };
    let host = format!("Host(`{}`)", site.host);
    let rule = match &site.path {
        Some(path) => format!("{host} && (Path(`{path}`) || PathPrefix(`{path}/`))"),
        None => host.clone(),
    };
    let mut before = Vec::new();
    if !site.users.is_empty() {
        let users: Vec<String> =
            site.users.iter().map(|(user, hash)| format!("{user}:{}", hash.expose_secret())).collect();
        before
            .push(parts.middleware("auth", json!({ "basicAuth": { "users": users, "removeHeader": true } })));
    }
    if !site.headers.is_empty() {
        let headers = json!({ "headers": { "customResponseHeaders": site.headers } });
        before.push(parts.middleware("headers", headers));
    }
    if upstreams.is_empty() {
        // Traefik's own words say 503 and not when to come again.
        let later = json!({ "headers": { "customResponseHeaders": { "Retry-After": "10" } } });
        before.push(parts.middleware("later", later));
    }
    let tries = json!({ "retry": { "attempts": 3, "initialInterval": "100ms" } });
    before.push(parts.middleware("retry", tries));
    parts.router("", &rule, &site.tls, &before, &name);
    if site.tls != Tls::Off {
        let to_https = json!({ "redirectScheme": { "scheme": "https", "permanent": true } });
        let to_https = parts.middleware("https", to_https);
        parts.router("plain", &rule, &Tls::Off, &[to_https], "noop@internal");
    }
    if !site.redirect_from.is_empty() {
        let replacement = format!("${{1}}://{}${{2}}", site.host);
        let regex =
            json!({ "regex": "^(https?)://[^/]+(.*)$", "replacement": replacement, "permanent": true });
        let moved = parts.middleware("moved", json!({ "redirectRegex": regex }));
        let hosts: Vec<String> = site.redirect_from.iter().map(|host| format!("Host(`{host}`)")).collect();
        let rule = hosts.join(" || ");
        parts.router("moved", &rule, &site.tls, std::slice::from_ref(&moved), "noop@internal");
        if site.tls != Tls::Off {
            parts.router("moved-plain", &rule, &Tls::Off, &[moved], "noop@internal");
        }
    }
    if let Some(mark) = mark {
        let answer = json!({ "regex": ".*", "replacement": mark_location(mark) });
        let answer = parts.middleware("live", json!({ "redirectRegex": answer }));
        let rule = format!("{host} && Path(`{}`)", mark_path(site, mark));
        parts.router("live", &rule, &site.tls, &[answer], "noop@internal");
    }
    let Parts { routers, middlewares, .. } = parts;
    let service = json!({ "loadBalancer": { "serversTransport": name, "servers": servers(upstreams) } });
    let transport = json!({ "forwardingTimeouts": { "dialTimeout": DIAL, "idleConnTimeout": IDLE } });
    json!({ "http": {
        "routers": routers,
        "middlewares": middlewares,
        "services": { &name: service },
        "serversTransports": { &name: transport },
    } })
}

fn servers(upstreams: &[Upstream]) -> Vec<Value> {
    let equal = upstreams.windows(2).all(|two| two[0].weight == two[1].weight);
    let server = |upstream: &Upstream| match equal {
        true => json!({ "url": format!("http://{}", upstream.address) }),
        false => json!({ "url": format!("http://{}", upstream.address), "weight": upstream.weight }),
    };
    upstreams.iter().map(server).collect()
}

/// Routers and middlewares, by names that are the deployment's own.
struct Parts<'a> {
    name: &'a str,
    routers: Map<String, Value>,
    middlewares: Map<String, Value>,
}

impl Parts<'_> {
    fn middleware(&mut self, part: &str, middleware: Value) -> String {
        let name = format!("{}~{part}", self.name);
        self.middlewares.insert(name.clone(), middleware);
        name
    }

    fn router(&mut self, part: &str, rule: &str, tls: &Tls, before: &[String], service: &str) {
        let mut router = json!({ "rule": rule, "middlewares": before, "service": service });
        match tls {
            Tls::Off => {}
            Tls::Auto => router["tls"] = json!({}),
            Tls::Resolver(resolver) => router["tls"] = json!({ "certResolver": resolver }),
        }
        let name = if part.is_empty() { self.name.to_owned() } else { format!("{}~{part}", self.name) };
        self.routers.insert(name, router);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dhow_core::fleet::Route;

    use super::*;

    fn site() -> Site {
        let route = Route {
            host: "a.dev".into(),
            path: Some("/api".into()),
            redirect_from: vec!["b.dev".into()],
            headers: BTreeMap::from([("X-A".to_owned(), "b".to_owned())]),
            ..Route::default()
        };
        Site::new("shop/compose/stage".parse().unwrap(), &route, &BTreeMap::new()).unwrap()
    }

    #[test]
    fn a_file_gives_back_its_upstreams_and_holds_no_template() {
        let two = [1, 2].map(|n| Upstream { address: ([10, 0, 0, n], 80).into(), weight: n.into() });
        for upstreams in [&two[..], &two[..1], &[]] {
            let text = text(&site(), upstreams);
            assert_eq!(upstreams_of(&text).unwrap(), upstreams);
            assert!(!text.contains("{{"), "{text}");
        }
        assert_eq!(upstreams_of("http: {}"), None);
        assert_eq!(upstreams_of("{}"), None);
    }

    #[test]
    fn upstreams_can_be_taken_out_of_a_file() {
        let two = [1, 2].map(|n| Upstream { address: ([10, 0, 0, n], 80).into(), weight: 1 });
        let name = "dhow~shop~compose~stage";
        let file = text(&site(), &two);
        let left = retain(file.as_bytes(), name, &[two[0].address]).unwrap();
        assert_eq!(upstreams_of(&left).unwrap(), two[..1]);
        assert_eq!(retain(left.as_bytes(), name, &[two[0].address]), None);
    }

    fn upstreams_of(text: &str) -> Option<Vec<Upstream>> {
        super::upstreams(text.as_bytes(), "dhow~shop~compose~stage")
    }

    #[test]
    fn any_change_has_another_mark() {
        let one = [Upstream::new(([10, 0, 0, 1], 80).into())];
        let plain = mark_of(&site(), &one);
        assert_eq!(plain, mark_of(&site(), &one));
        assert_ne!(plain, mark_of(&site(), &[]));
        assert_ne!(plain, mark_of(&Site { path: None, ..site() }, &one));
    }
}
