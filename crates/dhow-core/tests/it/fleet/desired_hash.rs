use std::collections::BTreeMap;

use dhow_core::fleet::{DesiredHash, desired_hash, load};
use dhow_core::noun::{Digest, Pin};

use super::{COMPOSE, tree};

const FOLDER: &str = "services/a/static_file/stage";

fn hash(files: &[(&str, &str)], tag: &str, digest: &[u8]) -> DesiredHash {
    let mut all = vec![("services/a/static_file/stage/index.html", "v1"), ("x/compose.yaml", COMPOSE)];
    all.extend(files);
    let tree = tree(&all);
    let fleet = load(&tree);
    assert_eq!(fleet.deployments.len(), 1, "{:?}", fleet.diagnostics);
    let deployment = fleet.deployments.values().next().unwrap();
    let reads: Vec<String> = deployment.files.iter().chain(&deployment.dependencies).cloned().collect();
    let pin = Pin {
        repository: "ghcr.io/acme/a".parse().unwrap(),
        tag: Some(dhow_core::noun::Tag::new(tag).unwrap()),
        digest: Digest::of(digest),
    };
    desired_hash(&tree, deployment, &reads, &BTreeMap::from([("a".parse().unwrap(), pin)])).unwrap()
}

#[test]
fn what_runs_is_in_the_hash() {
    let plain = hash(&[], "v1", b"1");
    assert_ne!(plain, hash(&[], "v1", b"2"), "digest");
    assert_ne!(plain, hash(&[("services/a/static_file/stage/b.html", "")], "v1", b"1"), "a file more");
    assert_ne!(plain, hash(&[("services/a/static_file/stage/index.html", "v2")], "v1", b"1"), "content");
    for settings in [
        "hosts: [a.acme.dev]\n",
        "route: { host: a.acme.dev }\n",
        "not_found: 404.html\n",
        "fallback: index.html\n",
        "checks: [{http: {url: \"https://{host}/\"}}]\n",
        "project: other\n",
    ] {
        let file = format!("{FOLDER}/dhow.yaml");
        assert_ne!(plain, hash(&[(&file, settings)], "v1", b"1"), "{settings}");
    }
    let on_server = |more: &str| {
        let root = ("dhow.yaml", "servers: {web1: {ssh: deploy@web1.acme.dev}}\n");
        hash(&[root, (&format!("{FOLDER}/dhow.yaml"), &format!("servers: [web1]\n{more}"))], "v1", b"1")
    };
    for settings in ["directory: /srv/www/a\n", "front: 127.0.0.1:80\n"] {
        assert_ne!(on_server(""), on_server(settings), "{settings}");
    }
    let service = "checks: [{http: {url: \"https://{host}/\"}}]\n";
    assert_ne!(plain, hash(&[("services/a/dhow.yaml", service)], "v1", b"1"), "checks of the service");
}

#[test]
fn gates_owners_policies_tags_and_comments_are_not() {
    let plain = hash(&[], "v1", b"1");
    let dhow = format!("{FOLDER}/dhow.yaml");
    let root = "environments: {stage: {update: approval}}\npeople: {alice: {}}\n";
    let service = "owners: [alice]\nartifacts: {a: {bundle: ghcr.io/acme/a, policy: {semver: '*'}}}\n";
    assert_eq!(plain, hash(&[], "v2", b"1"), "the tag");
    assert_eq!(plain, hash(&[("dhow.yaml", root)], "v1", b"1"), "gates");
    assert_eq!(plain, hash(&[("services/a/dhow.yaml", service)], "v1", b"1"), "policies");
    assert_eq!(plain, hash(&[(&dhow, "rollback_on: degraded # x\n")], "v1", b"1"), "rollback_on");
    assert_eq!(plain, hash(&[(&dhow, "bundle: ghcr.io/acme/a:v9\n")], "v1", b"1"), "the bundle's text");
}

#[test]
fn the_hash_is_the_same_in_every_run_and_survives_its_text() {
    let hash = hash(&[], "v1", b"1");
    assert_eq!(hash.to_string().parse(), Ok(hash));
    assert_eq!(hash.to_string(), "151e6d8f3b9d6f7b622409920bd7a51eb6fdb231d0885ef7aec49c3d013c90b2");
    assert!("zz".parse::<DesiredHash>().is_err());
}
