//! Static sites on servers: the keys, the page about them, and what has nowhere to go.

use super::{errors, fleet};

const PAGE: &str = include_str!("../../../../../docs/targets/static_file.md");
const ROOT: (&str, &str) = ("dhow.yaml", "servers: {web1: {ssh: deploy@web1.acme.dev}}\n");
const SERVICE: (&str, &str) = ("services/a/dhow.yaml", "checks: [{http: {url: \"http://{host}/\"}}]\n");
const OWN: &str = "services/a/static_file/stage/dhow.yaml";
const INDEX: (&str, &str) = ("services/a/static_file/stage/index.html", "");

#[test]
fn the_example_of_the_page_loads_without_a_finding() {
    let mut files = Vec::new();
    for block in PAGE.split("```yaml\n").skip(1) {
        let text = block.split("```").next().unwrap();
        let file = text.lines().next().unwrap().strip_prefix("# ").expect("a block names its file");
        files.push((file, text));
    }
    let fleet = fleet(&files);
    assert_eq!(fleet.diagnostics, []);
    let (_, shop) = fleet.deployments.iter().next().unwrap();
    assert_eq!(shop.settings.directory.as_deref(), Some("/srv/www/shop"));
    assert_eq!(shop.settings.front.unwrap().to_string(), "127.0.0.1:80");
    assert_eq!(shop.settings.servers.len(), 2);
}

#[test]
fn a_folder_that_is_no_folder_of_its_own_and_an_address_without_a_port_are_refused() {
    for (text, told) in [
        ("directory: srv/www", "no folder for a site"),
        ("directory: /", "no folder for a site"),
        ("directory: /srv", "no folder for a site"),
        ("directory: /srv/../etc", "no folder for a site"),
        ("directory: /srv//www", "no folder for a site"),
        ("directory: \"/srv/a\\nb\"", "no folder for a site"),
        ("front: web1:80", "no address with a port"),
        ("front: 127.0.0.1", "no address with a port"),
        ("front: 127.0.0.1:0", "no address with a port"),
    ] {
        let fleet = fleet(&[ROOT, INDEX, (OWN, &format!("servers: [web1]\n{text}\n"))]);
        let found = errors(&fleet);
        assert!(found[0].message.contains(told) && found[0].line == 2, "{text}: {found:?}");
        assert_eq!(fleet.broken.len(), 1, "{text}");
    }
}

#[test]
fn checks_that_connect_need_the_address_of_the_servers_web_server() {
    let without = fleet(&[ROOT, SERVICE, INDEX, (OWN, "servers: [web1]\n")]);
    let found = errors(&without);
    assert!(found[0].message.contains("nowhere to connect to"), "{found:?}");
    assert!(found[0].help.as_ref().unwrap().contains("front: 127.0.0.1:80"));
    for fine in ["servers: [web1]\nfront: 127.0.0.1:80\n", ""] {
        let fleet = fleet(&[ROOT, SERVICE, INDEX, (OWN, fine)]);
        assert_eq!(fleet.diagnostics, [], "{fine}");
    }
}

#[test]
fn keys_for_servers_are_refused_where_there_is_none() {
    let here = fleet(&[ROOT, INDEX, (OWN, "front: 127.0.0.1:80\n")]);
    assert!(errors(&here)[0].message.contains("front has no effect on this machine"));
    let compose = fleet(&[
        ROOT,
        ("services/a/compose/stage/compose.yaml", super::COMPOSE),
        ("services/a/compose/stage/dhow.yaml", "servers: [web1]\ndirectory: /srv/www\n"),
    ]);
    assert!(errors(&compose)[0].message.contains("directory has no effect on this type"));
}

#[test]
fn two_sites_cannot_share_a_folder_of_one_server() {
    let other = "services/b/static_file/stage/dhow.yaml";
    let text = "servers: [web1]\ndirectory: /srv/www/a\nbundle: ghcr.io/acme/a:1\n";
    let both = fleet(&[ROOT, (OWN, text), (other, text)]);
    let found = errors(&both);
    assert!(found.iter().all(|found| found.message.contains("the directory \"/srv/www/a\" on web1")));
    assert_eq!(both.broken.len(), 2);
}
