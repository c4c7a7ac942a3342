use std::time::Duration;

use dhow_core::diagnostic::Severity;
use dhow_core::fleet::{AdminAddress, Isolation, PasswordHash, ProxyKind, Strategy, Tls};
use dhow_core::port::Place;

use super::{COMPOSE, errors, fleet, only};

const HASH: &str = "$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC";
const FOLDER: &str = "services/a/compose/stage";

/// The only error of a compose deployment with these settings.
fn wrong(settings: &str) -> dhow_core::diagnostic::Diagnostic {
    only(&[(&format!("{FOLDER}/compose.yaml"), COMPOSE), (&format!("{FOLDER}/dhow.yaml"), settings)])
}

#[test]
fn a_route_is_read_with_all_that_a_proxy_needs() {
    let settings = format!(
        "route: {{host: A.acme.dev, path: /api/, service: web, port: 80, tls: {{resolver: le}}, \
         redirect_from: [www.acme.dev], headers: {{X-A: b}}, basic_auth: {{eve: '{HASH}', bob: 'env:BOB'}}, \
         websocket_timeout: 5m}}\n"
    );
    let fleet =
        fleet(&[(&format!("{FOLDER}/compose.yaml"), COMPOSE), (&format!("{FOLDER}/dhow.yaml"), &settings)]);
    assert_eq!(fleet.diagnostics, []);
    let route = fleet.deployments.values().next().unwrap().settings.route.clone().unwrap();
    assert_eq!((route.host.as_str(), route.path.as_deref()), ("a.acme.dev", Some("/api")));
    assert_eq!(route.tls, Tls::Resolver("le".into()));
    assert_eq!(route.redirect_from, ["www.acme.dev"]);
    assert_eq!(route.basic_auth["eve"], PasswordHash::Bcrypt(HASH.into()));
    assert!(matches!(route.basic_auth["bob"], PasswordHash::Secret(_)));
    assert_eq!(route.websocket_timeout, Some(Duration::from_secs(300)));
}

#[test]
fn a_password_is_refused_at_its_place_and_not_shown() {
    let found = wrong("route:\n  host: a.acme.dev\n  basic_auth: {eve: hunter2}\n");
    assert_eq!((found.line, found.column), (3, 21));
    assert!(found.message.contains("no bcrypt hash"), "{found}");
    assert!(!format!("{found}{found:?}").contains("hunter2"));
}

#[test]
fn what_a_proxy_would_read_more_into_is_refused() {
    for (bad, word) in [
        ("path: '/{env.SECRET}'", "no path"),
        ("path: /a/../b", "no path"),
        ("path: /a`)", "no path"),
        ("path: a", "no path"),
        ("headers: {X-A: '{file./etc/shadow}'}", "holds a brace"),
        ("headers: {X-A: '{{ env \"X\" }}'}", "holds a brace"),
        ("headers: {Set-Cookie: x}", "a secret"),
        ("headers: {'X A': b}", "no name of a header"),
        ("redirect_from: [a.acme.dev]", "lead to itself"),
        ("redirect_from: [b.dev, B.dev]", "named twice"),
        ("service: 'a b'", "no name of a service"),
        ("tls: maybe", "tls must be"),
        ("basic_auth: {'e:ve': env:X}", "no name of a user"),
        ("websocket_timeout: 2d", "at most 86400 s"),
    ] {
        let found = wrong(&format!("route:\n  host: a.acme.dev\n  {bad}\n"));
        assert!(found.message.contains(word), "{bad}: {found}");
        assert_eq!(found.line, 3, "{bad}");
    }
}

#[test]
fn what_only_a_proxy_does_is_an_error_where_there_is_none() {
    let found = only(&[
        ("services/a/static_file/stage/index.html", ""),
        ("services/a/static_file/stage/dhow.yaml", "route: {host: a.dev, basic_auth: {eve: env:X}}\n"),
    ]);
    assert!(found.message.contains("route.basic_auth has no effect"), "{found}");
    assert_eq!((found.line, found.column), (1, 8));
}

#[test]
fn two_deployments_of_one_host_and_path_are_refused_and_of_two_paths_are_not() {
    let two = |path: &str| {
        fleet(&[
            ("services/a/compose/stage/compose.yaml", COMPOSE),
            ("services/a/compose/stage/dhow.yaml", "route: {host: x.dev, path: /a}\n"),
            ("services/b/compose/stage/compose.yaml", COMPOSE),
            ("services/b/compose/stage/dhow.yaml", &format!("route: {{host: x.dev, path: {path}}}\n")),
        ])
    };
    assert!(errors(&two("/a"))[0].message.contains("the route \"x.dev/a\""));
    assert_eq!(errors(&two("/b")).len(), 0);
}

#[test]
fn the_proxy_of_a_server_is_its_own_or_the_fleets() {
    let fleet = fleet(&[(
        "dhow.yaml",
        "proxy: {kind: caddy, admin: 'unix:/run/caddy.sock', folder: /srv/p}\nservers:\n  w1: {ssh: a@b}\n  \
         w2: {ssh: a@c, proxy: {kind: traefik, folder: /etc/traefik/dynamic/, drain: 10s}}\n",
    )]);
    assert_eq!(fleet.diagnostics, []);
    let of = |name: &str| fleet.front(&Place::Server(name.parse().unwrap())).unwrap().settings;
    let here = fleet.front(&Place::Local).unwrap().settings;
    assert_eq!((of("w1"), of("w1").drain), (here, Duration::from_secs(30)));
    assert_eq!(of("w1").admin, Some(AdminAddress::Unix("/run/caddy.sock".into())));
    assert_eq!((of("w2").kind, of("w2").drain), (ProxyKind::Traefik, Duration::from_secs(10)));
    assert_eq!((of("w2").folder.as_deref(), &of("w2").admin), (Some("/etc/traefik/dynamic"), &None));
}

#[test]
fn a_proxy_that_cannot_be_used_is_an_error_at_its_place() {
    for (bad, word, column) in [
        ("{admin: '127.0.0.1:2019'}", "needs a kind", 8),
        ("{kind: nginx}", "caddy or traefik", 15),
        ("{kind: traefik}", "file provider", 8),
        ("{kind: caddy, admin: '0.0.0.0:2019'}", "loopback", 29),
        ("{kind: caddy, admin: here}", "no address of an API", 29),
        ("{kind: caddy, folder: run/x}", "no folder", 30),
        ("{kind: caddy, folder: /run/../x}", "no folder", 30),
        ("{kind: caddy, server: 'a/b'}", "no name of an HTTP server", 30),
        ("{kind: caddy, drain: 2h}", "at most 3600 s", 29),
        ("{kind: caddy, fold: /x}", "no key", 22),
    ] {
        let fleet = fleet(&[("dhow.yaml", &format!("proxy: {bad}\n"))]);
        let errors = errors(&fleet);
        assert_eq!(errors.len(), 1, "{bad}: {errors:?}");
        let found = errors[0];
        assert!(found.message.contains(word), "{bad}: {found}");
        assert_eq!((found.line, found.column), (1, column), "{bad}");
    }
}

#[test]
fn a_caddy_whose_deploys_reload_it_is_warned_of() {
    let found = only(&[("dhow.yaml", "proxy: {kind: caddy}\n")]);
    assert_eq!(found.severity, Severity::Warning);
    assert!(found.message.contains("each deploy reloads Caddy"), "{found}");
    assert!(fleet(&[("dhow.yaml", "proxy: {kind: caddy, folder: /srv/p}\n")]).diagnostics.is_empty());
}

#[test]
fn several_servers_stand_behind_the_proxy_of_one() {
    let fleet = fleet(&[(
        "dhow.yaml",
        "servers:\n  web1: {ssh: a@web1.dev, proxy: {kind: traefik, folder: /d}}\n  \
         web2: {ssh: a@web2.dev, proxy: {at: web1}}\n  \
         web3: {ssh: 'a@web3.dev:2222', address: 10.0.0.3, proxy: {at: web1}}\n  web4: {ssh: a@web4.dev}\n",
    )]);
    assert_eq!(fleet.diagnostics, []);
    let place = |name: &str| Place::Server(name.parse().unwrap());
    let front = |name: &str| fleet.front(&place(name));
    let addresses = ["web1", "web2", "web3"].map(|name| front(name).unwrap().address);
    assert_eq!(addresses, [None, Some("web2.dev".to_owned()), Some("10.0.0.3".to_owned())]);
    assert_eq!(["web1", "web2", "web3"].map(|name| front(name).unwrap().at), [(); 3].map(|()| place("web1")));
    assert_eq!(front("web1").unwrap().shared.into_keys().collect::<Vec<_>>(), [place("web2"), place("web3")]);
    assert_eq!(front("web4"), None);
}

#[test]
fn a_proxy_that_is_elsewhere_must_be_there() {
    for (servers, word) in [
        ("w1: {ssh: a@b, proxy: {at: w2}}", "no server w2"),
        ("w1: {ssh: a@b, proxy: {at: w2}}\n  w2: {ssh: a@c, proxy: {at: here}}", "elsewhere itself"),
        ("w1: {ssh: a@b, proxy: {kind: caddy, at: w1, folder: /p}}", "has no key"),
        ("w1: {ssh: a@b, address: 'a b'}", "no host name"),
    ] {
        let fleet = fleet(&[("dhow.yaml", &format!("servers:\n  {servers}\n"))]);
        let told = format!("{:?}", errors(&fleet));
        assert!(told.contains(word), "{servers}: {told}");
    }
}

#[test]
fn a_strategy_is_one_of_two_and_changes_the_desired_hash_only_where_it_is_said() {
    let of = |settings: &str| {
        let fleet = fleet(&[
            (&format!("{FOLDER}/compose.yaml"), COMPOSE),
            (&format!("{FOLDER}/dhow.yaml"), settings),
        ]);
        fleet.deployments.values().next().unwrap().settings.strategy
    };
    assert_eq!(of("strategy: beside\n"), Some(Strategy::Beside));
    assert_eq!(of("strategy: recreate\n"), Some(Strategy::Recreate));
    assert_eq!(of("{}\n"), None);
    assert!(wrong("strategy: rolling\n").message.contains("beside or recreate"));
}

#[test]
fn isolation_is_of_the_fleet_and_a_deployment_may_say_otherwise() {
    let site = "route: {host: a.dev}\n";
    let proxy = "proxy: {kind: traefik, folder: /d, service: edge}\n";
    let of = |root: &str, settings: &str| {
        let fleet = fleet(&[
            ("dhow.yaml", root),
            (&format!("{FOLDER}/compose.yaml"), COMPOSE),
            (&format!("{FOLDER}/dhow.yaml"), settings),
            ("services/edge/compose/stage/compose.yaml", COMPOSE),
        ]);
        assert_eq!(fleet.diagnostics, []);
        fleet.deployments.values().map(|deployment| deployment.settings.isolation).collect::<Vec<_>>()
    };
    let all = format!("isolation: true\n{proxy}");
    assert_eq!(of(&all, site), [Isolation::Site, Isolation::Proxy]);
    assert_eq!(
        of(&all, "{}\n"),
        [Isolation::Off, Isolation::Proxy],
        "nobody comes in: it is in its own network"
    );
    assert_eq!(of(&all, &format!("{site}isolation: false\n")), [Isolation::Off, Isolation::Proxy]);
    assert_eq!(of(proxy, site), [Isolation::Off, Isolation::Off]);
    assert_eq!(of(proxy, &format!("{site}isolation: true\n")), [Isolation::Site, Isolation::Off]);
    assert_eq!(
        of("isolation: true\n", site),
        [Isolation::Off, Isolation::Off],
        "a proxy on the machine reaches all"
    );
}

#[test]
fn what_leads_out_of_an_isolated_site_is_warned_of_at_its_place() {
    for (file, word, line) in [
        ("services:\n  web:\n    image: nginx:1\n    links: [db]\n", "links of web", 4),
        ("services:\n  web:\n    image: nginx:1\n    network_mode: host\n", "network_mode host of web", 4),
        (
            "services:\n  web:\n    image: nginx:1\nnetworks:\n  all:\n    external: true\n",
            "the network all is shared",
            6,
        ),
        (
            "services:\n  web:\n    image: nginx:1\nnetworks:\n  all:\n    name: everybody\n",
            "the network all is shared",
            6,
        ),
    ] {
        let compose = format!("{FOLDER}/compose.yaml");
        let found = only(&[("dhow.yaml", "isolation: true\n"), (&compose, file)]);
        assert!(found.message.contains(word) && found.severity == Severity::Warning, "{found}");
        assert_eq!(found.line, line, "{found}");
        assert!(fleet(&[(&compose, file)]).diagnostics.is_empty());
    }
}
