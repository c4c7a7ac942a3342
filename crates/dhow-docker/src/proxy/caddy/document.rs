//! The route of a deployment in Caddy's configuration.

use std::net::SocketAddr;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::proxy::site::{Site, Upstream, mark, mark_location, mark_path, name};

/// How long WebSockets outlive a reload, whoever makes it: longer than any drain time, so that no change of another site
/// cuts them. What was replaced ends when its upstream stops.
const STREAMS: &str = "720h";
/// How long a request looks for an upstream that takes it.
const PATIENCE: &str = "3s";
/// How long it waits for one of them: a new one that the proxy cannot reach costs nobody an error.
const DIAL: &str = "1s";
/// How long Caddy keeps an idle connection to an upstream: a drain need not wait for longer.
const IDLE: &str = "2s";

/// Where the addresses of upstreams stand.
pub(super) enum Addresses<'a> {
    /// In the route.
    Direct(&'a [Upstream]),
    /// In these files.
    Files(&'a [String]),
}

/// The route, with the mark of itself.
pub(super) fn route(site: &Site, addresses: &Addresses<'_>) -> Value {
    let mark = mark(&body(site, addresses, None));
    body(site, addresses, Some(&mark))
}

/// The mark of a route; empty where it has none.
pub(super) fn mark_of(route: &Value) -> String {
    let answer = route.pointer("/handle/0/routes/0/handle/0/headers/Location/0").and_then(Value::as_str);
    let mark = answer.and_then(|answer| answer.strip_prefix("/.well-known/dhow/"));
    mark.and_then(|mark| mark.split('/').next()).unwrap_or_default().to_owned()
}

/// The addresses of a route's upstreams as they stand in it.
pub(super) fn dials(route: &Value) -> Vec<&str> {
    let upstreams = proxy(route).and_then(|proxy| proxy.get("upstreams")).and_then(Value::as_array);
    let dials = upstreams.into_iter().flatten().filter_map(|upstream| upstream.get("dial"));
    dials.filter_map(Value::as_str).collect()
}

/// The upstreams of a route that holds them itself; `None` where it is not as Dhow writes it.
pub(super) fn upstreams(route: &Value) -> Option<Vec<Upstream>> {
    let Some(proxy) = proxy(route) else {
        return (!mark_of(route).is_empty()).then(Vec::new);
    };
    let weights = proxy.pointer("/load_balancing/selection_policy/weights").and_then(Value::as_array);
    let weight = |n: usize| match weights {
        Some(weights) => weights.get(n).and_then(Value::as_u64).and_then(|weight| u16::try_from(weight).ok()),
        None => Some(1),
    };
    let dials = dials(route).into_iter().enumerate();
    dials.map(|(n, dial)| Some(Upstream { address: dial.parse().ok()?, weight: weight(n)? })).collect()
}

/// Takes every upstream but these out of a route that holds them itself.
pub(super) fn retain(route: &mut Value, upstreams: &[SocketAddr]) {
    match route {
        Value::Array(values) => values.iter_mut().for_each(|value| retain(value, upstreams)),
        Value::Object(fields) => {
            if let Some(Value::Array(dials)) = fields.get_mut("upstreams") {
                let stays = |dial: &str| dial.parse().is_ok_and(|address| upstreams.contains(&address));
                dials.retain(|dial| dial.get("dial").and_then(Value::as_str).is_some_and(stays));
            }
            fields.values_mut().for_each(|value| retain(value, upstreams));
        }
        _ => {}
    }
}

/// The handler of a route that leads to upstreams.
fn proxy(route: &Value) -> Option<&Value> {
    let inner = route.pointer("/handle/0/routes")?.as_array()?.last()?;
    let routes = inner.pointer("/handle")?.as_array()?.last()?.pointer("/routes")?.as_array()?;
    let found = routes.last()?.pointer("/handle/0")?;
    (found.get("handler").and_then(Value::as_str) == Some("reverse_proxy")).then_some(found)
}

fn body(site: &Site, addresses: &Addresses<'_>, mark: Option<&str>) -> Value {
    let mut matches = vec![match &site.path {
        Some(path) => json!({ "host": [site.host], "path": [path, format!("{path}/*")] }),
        None => json!({ "host": [site.host] }),
    }];
    let mut routes = Vec::new();
    if let Some(mark) = mark {
        let path = mark_path(site, mark);
        let asks = match addresses {
            Addresses::Direct(_) => json!({ "host": [site.host], "path": [path] }),
            // Who asks must say what the files hold as Caddy sees them: nothing is told to those who do not know.
            Addresses::Files(files) => {
                let files: Vec<String> = files.iter().map(|file| format!("{{file.{file}}}")).collect();
                let path = format!("{path}/{}", files.join(","));
                json!({ "host": [site.host], "vars": { "{http.request.uri.path}": [path] } })
            }
        };
        routes.push(json!({
            "match": [asks],
            "handle": [redirect(302, &mark_location(mark))],
            "terminal": true,
        }));
    }
    if !site.redirect_from.is_empty() {
        matches.push(json!({ "host": site.redirect_from }));
        let location = format!("{{http.request.scheme}}://{}{{http.request.uri}}", site.host);
        routes.push(json!({
            "match": [{ "host": site.redirect_from }],
            "handle": [redirect(308, &location)],
            "terminal": true,
        }));
    }
    let mut handlers = Vec::new();
    if !site.headers.is_empty() {
        let set: serde_json::Map<String, Value> =
            site.headers.iter().map(|(name, value)| (name.clone(), json!([value]))).collect();
        handlers.push(json!({ "handler": "headers", "response": { "deferred": true, "set": set } }));
    }
    if !site.users.is_empty() {
        let accounts: Vec<Value> = site
            .users
            .iter()
            .map(|(user, hash)| json!({ "username": user, "password": hash.expose_secret() }))
            .collect();
        let basic = json!({ "accounts": accounts, "hash": { "algorithm": "bcrypt" } });
        handlers.push(json!({ "handler": "authentication", "providers": { "http_basic": basic } }));
        handlers.push(json!({ "handler": "headers", "request": { "delete": ["Authorization"] } }));
    }
    handlers.push(leads_on(site, addresses));
    routes.push(json!({ "handle": handlers }));
    json!({
        "@id": name(&site.deployment),
        "match": matches,
        "handle": [{ "handler": "subroute", "routes": routes }],
        "terminal": true,
    })
}

fn redirect(status: u16, location: &str) -> Value {
    json!({ "handler": "static_response", "status_code": status, "headers": { "Location": [location] } })
}

/// To the upstreams; to the maintenance page where none takes the request.
fn leads_on(site: &Site, addresses: &Addresses<'_>) -> Value {
    let page = json!({
        "handler": "static_response",
        "status_code": 503,
        "headers": {
            "Cache-Control": ["no-store"],
            "Content-Type": ["text/plain; charset=utf-8"],
            "Retry-After": ["10"],
        },
        "body": site.maintenance,
    });
    let mut routes = Vec::new();
    let (dials, policy): (Vec<Value>, Value) = match addresses {
        Addresses::Direct([]) => {
            return json!({ "handler": "subroute", "routes": [{ "handle": [page] }] });
        }
        Addresses::Direct(upstreams) => {
            let equal = upstreams.windows(2).all(|two| two[0].weight == two[1].weight);
            let weights: Vec<u16> = upstreams.iter().map(|upstream| upstream.weight).collect();
            let policy = match equal {
                true => json!({ "policy": "round_robin" }),
                false => json!({ "policy": "weighted_round_robin", "weights": weights }),
            };
            let dial = |upstream: &Upstream| json!({ "dial": upstream.address.to_string() });
            (upstreams.iter().map(dial).collect(), policy)
        }
        Addresses::Files(paths) => {
            // Where the first file is empty, all are: nobody waits for upstreams that are not there.
            if let Some(first) = paths.first() {
                let empty = json!([{ "vars": { format!("{{file.{first}}}"): [""] } }]);
                routes.push(json!({ "match": empty, "handle": [page], "terminal": true }));
            }
            let dial = |path: &String| json!({ "dial": format!("{{file.{path}}}") });
            (paths.iter().map(dial).collect(), json!({ "policy": "round_robin" }))
        }
    };
    let proxy = json!({
        "handler": "reverse_proxy",
        "upstreams": dials,
        "load_balancing": {
            "selection_policy": policy,
            "try_duration": PATIENCE,
            "try_interval": "50ms",
        },
        "stream_close_delay": STREAMS,
        "transport": { "protocol": "http", "dial_timeout": DIAL, "keep_alive": { "idle_timeout": IDLE } },
    });
    routes.push(json!({ "handle": [proxy] }));
    json!({
        "handler": "subroute",
        "routes": routes,
        "errors": { "routes": [{ "handle": [page] }] },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dhow_core::fleet::Route;

    use super::*;

    fn site(path: Option<&str>) -> Site {
        let route = Route { host: "a.dev".into(), path: path.map(str::to_owned), ..Route::default() };
        Site::new("shop/compose/stage".parse().unwrap(), &route, &BTreeMap::new()).unwrap()
    }

    #[test]
    fn a_route_gives_back_its_upstreams_and_its_mark() {
        let two = [1, 2].map(|n| Upstream { address: ([10, 0, 0, n], 80).into(), weight: n.into() });
        for upstreams in [&two[..], &two[..1], &[]] {
            let route = route(&site(None), &Addresses::Direct(upstreams));
            assert_eq!(super::upstreams(&route).unwrap(), upstreams);
            assert_eq!(mark_of(&route).len(), 24);
        }
        let files = ["/x/a~0".to_owned(), "/x/a~1".to_owned()];
        let route = route(&site(Some("/api")), &Addresses::Files(&files));
        assert_eq!(dials(&route), ["{file./x/a~0}", "{file./x/a~1}"]);
        assert_eq!(super::upstreams(&json!({ "@id": "dhow~a" })), None);
    }

    #[test]
    fn upstreams_can_be_taken_out_of_a_route_that_is_not_known_otherwise() {
        let two = [1, 2].map(|n| Upstream::new(([10, 0, 0, n], 80).into()));
        let mut route = route(&site(None), &Addresses::Direct(&two));
        retain(&mut route, &[two[1].address]);
        assert_eq!(super::upstreams(&route).unwrap(), two[1..]);
    }

    #[test]
    fn streams_outlive_the_longest_drain_time() {
        let route = route(&site(None), &Addresses::Direct(&[Upstream::new(([10, 0, 0, 1], 80).into())]));
        assert_eq!(proxy(&route).unwrap()["stream_close_delay"], STREAMS);
        assert_eq!(STREAMS, "720h", "a websocket_timeout is at most 24 h");
    }
}
