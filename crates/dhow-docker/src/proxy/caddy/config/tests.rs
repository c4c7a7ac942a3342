use std::collections::BTreeMap;

use dhow_core::fleet::Route;

use super::*;

fn site(host: &str, path: Option<&str>) -> Site {
    let route = Route { host: host.into(), path: path.map(str::to_owned), ..Route::default() };
    Site::new("shop/compose/stage".parse().unwrap(), &route, &BTreeMap::new()).unwrap()
}

fn config(servers: Value) -> Config {
    Config { value: json!({ "apps": { "http": { "servers": servers } } }), etag: String::new() }
}

fn one(routes: Value) -> Config {
    config(json!({ "s": { "listen": [":443"], "routes": routes } }))
}

#[test]
fn a_new_route_stands_before_what_would_take_its_requests() {
    let answer = json!([{ "handler": "file_server" }]);
    let adds = json!([{ "handler": "headers" }]);
    let place = |routes: Value, site: &Site| one(routes).place_for("s", site).unwrap();
    let plain = site("a.dev", None);
    assert_eq!(place(json!([]), &plain), 0);
    assert_eq!(place(json!([{ "handle": answer }]), &plain), 0, "a route for everything");
    assert_eq!(place(json!([{ "handle": adds }, { "handle": answer }]), &plain), 1, "behind what only adds");
    let other = json!({ "match": [{ "host": ["b.dev"] }], "handle": answer });
    let wild = json!({ "match": [{ "host": ["*.dev"] }], "handle": answer });
    assert_eq!(place(json!([other, wild]), &plain), 1);
    let special = json!({ "match": [{ "host": ["a.dev"], "path": ["/x/*"] }], "handle": answer });
    assert_eq!(place(json!([special, wild]), &plain), 1, "what is more special stays before");
    let ours = json!({ "@id": "dhow~b~compose~stage", "match": [{ "host": ["a.dev"] }], "handle": answer });
    assert_eq!(place(json!([ours]), &site("a.dev", Some("/api"))), 0, "the longer path first");
    let longer = json!({ "@id": "dhow~b", "match": [{ "host": ["a.dev"], "path": ["/api", "/api/*"] }], "handle": answer });
    assert_eq!(place(json!([longer]), &plain), 1);
}

#[test]
fn a_host_that_somebody_else_routes_is_not_taken_over() {
    let theirs = json!([{ "match": [{ "host": ["a.dev"] }], "handle": [{ "handler": "reverse_proxy" }] }]);
    let error = one(theirs).place_for("s", &site("a.dev", None)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a route for a.dev that is not Dhow's (/config/apps/http/servers/s/routes/0)")
    );
}

#[test]
fn the_server_is_the_one_that_fits() {
    let two = config(json!({ "web": { "listen": [":80"] }, "tls": { "listen": ["tcp/[::]:443"] } }));
    let off = Site { tls: Tls::Off, ..site("a.dev", None) };
    assert_eq!(two.server_for(&site("a.dev", None), None).unwrap(), ("tls".into(), true));
    assert_eq!(two.server_for(&off, None).unwrap(), ("web".into(), true));
    assert_eq!(two.server_for(&off, Some("tls")).unwrap(), ("tls".into(), true));
    assert!(two.server_for(&off, Some("nope")).unwrap_err().to_string().contains("it has web, tls"));
    let only = config(json!({ "s": { "listen": ["127.0.0.1:8080"] } }));
    assert_eq!(only.server_for(&off, None).unwrap(), ("s".into(), true));
    assert_eq!(only.listens("s"), Some(([127, 0, 0, 1], 8080).into()));
    assert_eq!(two.listens("web"), Some(([127, 0, 0, 1], 80).into()));
    let none = Config { value: Value::Null, etag: String::new() };
    assert_eq!(none.server_for(&off, None).unwrap(), ("dhow".into(), false));
    assert_eq!(none.new_server("dhow", json!(1)).0, "/config/apps");
    let strange = config(json!({ "a": { "listen": [":1"] }, "b": { "listen": ["unix//x"] } }));
    assert!(strange.server_for(&off, None).unwrap_err().to_string().contains("name one by server"));
}
