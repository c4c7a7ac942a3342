use std::sync::Arc;
use std::time::Instant;

use dhow_core::fleet::{Fleet, Isolation, MemoryTree, load, reload};
use proptest::prelude::*;

use super::{COMPOSE, tree};

fn shown(fleet: &Fleet) -> String {
    format!(
        "{:#?}",
        (
            &fleet.environments,
            &fleet.services,
            &fleet.deployments,
            &fleet.templates,
            &fleet.broken,
            &fleet.broken_services,
            (fleet.broken_root, &fleet.people, &fleet.servers, &fleet.registries, &fleet.diagnostics)
        )
    )
}

const PATHS: [&str; 16] = [
    "dhow.yaml",
    "services/a/dhow.yaml",
    "services/b/dhow.yaml",
    "services/a/compose/stage/compose.yaml",
    "services/a/compose/prod/compose.yaml",
    "services/a/compose/production/a-stack.yml",
    "services/b/compose/stage/compose.yaml",
    "services/b/k8s/stage/kustomization.yaml",
    "services/b/k8s/base/kustomization.yaml",
    "services/a/compose/stage/dhow.yaml",
    "services/c;/compose/stage/compose.yaml",
    "shared.env",
    "lib/common.yaml",
    "apps/d/overlays/qa/kustomization.yaml",
    "apps/e/base/x",
    "services/f/.keep",
];

const TEXTS: [&str; 9] = [
    COMPOSE,
    "a: [",
    "",
    "after: [b]\n",
    "owners: [alice]\n",
    "project: stage_b\n",
    "services: {x: {env_file: ../../../../shared.env}}\ninclude: [../../../../lib/common.yaml]\n",
    "resources: [../base]\n",
    "layout: ['apps/{service}/overlays/{environment}']\n",
];

proptest! {
    #[test]
    fn what_is_reloaded_is_what_would_be_loaded(
        steps in prop::collection::vec((0..PATHS.len(), prop::option::of(0..TEXTS.len())), 1..25)
    ) {
        let mut tree = MemoryTree::default();
        let mut fleet = load(&tree);
        for (path, text) in steps {
            match text {
                Some(text) => drop(tree.files.insert(PATHS[path].into(), TEXTS[text].into())),
                None => drop(tree.files.remove(PATHS[path])),
            }
            fleet = reload(&fleet, &tree, &[PATHS[path].to_owned()]);
            prop_assert_eq!(shown(&fleet), shown(&load(&tree)));
        }
    }
}

#[test]
fn a_folder_that_holds_nothing_yet_but_is_a_services_by_its_name_is_seen_when_it_comes() {
    let root = ("dhow.yaml", "layout: ['apps/{service}/overlays/{environment}']\n");
    for path in ["services/shop/.keep", "services/shop/compose/.keep", "apps/shop/base/x"] {
        let whole = tree(&[root, (path, "")]);
        let after = reload(&load(&tree(&[root])), &whole, &[path.to_owned()]);
        assert_eq!(shown(&after), shown(&load(&whole)), "{path}");
        assert_eq!(after.services.len(), 1, "{path}");
    }
}

#[test]
fn whoever_mounts_the_whole_repository_reads_every_file_that_comes() {
    let mounts =
        "services:\n  web:\n    image: r.test/shop/web:1.0.0\n    volumes: ['../../../..:/srv:ro']\n";
    let stage = ("services/shop/compose/stage/compose.yaml", mounts);
    let whole = tree(&[stage, ("shared/a", "one\n")]);
    let after = reload(&load(&tree(&[stage])), &whole, &["shared/a".into()]);
    assert_eq!(shown(&after), shown(&load(&whole)));
}

#[test]
fn a_file_that_sami_names_is_found_wherever_it_comes() {
    let sami = "version: v1\nservice_name: a\ntype: compose\noob: [{ update-image: null, file: lib.yaml, path: .x }]\n";
    let stage =
        [("services/a/compose/stage/compose.yaml", COMPOSE), ("services/a/compose/stage/sami.yaml", sami)];
    let without = load(&tree(&stage));
    assert!(shown(&without).contains("there is no file"), "{}", shown(&without));
    let [beside, root] = [("services/a/compose/stage/lib.yaml", "x: 1\n"), ("lib.yaml", "x: 2\n")];
    for (first, then) in [(root, beside), (beside, root)] {
        let one = tree(&[stage[0], stage[1], first]);
        let after = reload(&without, &one, &[first.0.into()]);
        assert_eq!(shown(&after), shown(&load(&one)), "{} came", first.0);
        let both = tree(&[stage[0], stage[1], first, then]);
        let last = reload(&after, &both, &[then.0.into()]);
        assert_eq!(shown(&last), shown(&load(&both)), "{} came too", then.0);
    }
}

#[test]
fn what_did_not_change_is_shared() {
    let mut tree = tree(&[
        ("services/a/compose/stage/compose.yaml", COMPOSE),
        ("services/b/compose/stage/compose.yaml", COMPOSE),
    ]);
    let before = load(&tree);
    tree.files.insert("services/a/compose/stage/x".into(), Vec::new());
    let after = reload(&before, &tree, &["services/a/compose/stage/x".into()]);
    let b = "b/compose/stage".parse().unwrap();
    assert!(Arc::ptr_eq(&before.deployments[&b], &after.deployments[&b]));
    assert_eq!(after.deployments[&"a/compose/stage".parse().unwrap()].files.len(), 2);
}

#[test]
fn what_is_isolated_and_did_not_change_is_shared_and_what_is_met_otherwise_is_not() {
    let mut tree = tree(&[
        ("dhow.yaml", "isolation: true\nproxy: { kind: traefik, folder: /d, service: edge }\n"),
        ("services/edge/compose/stage/compose.yaml", COMPOSE),
        ("services/a/compose/stage/compose.yaml", COMPOSE),
        ("services/b/compose/stage/compose.yaml", COMPOSE),
        ("services/b/compose/stage/dhow.yaml", "route: { host: b.test }\n"),
    ]);
    let before = load(&tree);
    let is = |fleet: &Fleet, id: &str| fleet.deployments[&id.parse().unwrap()].settings.isolation;
    assert_eq!(is(&before, "b/compose/stage"), Isolation::Site);
    assert_eq!(is(&before, "edge/compose/stage"), Isolation::Proxy);
    tree.files.insert("services/a/compose/stage/x".into(), Vec::new());
    let after = reload(&before, &tree, &["services/a/compose/stage/x".into()]);
    for id in ["b/compose/stage", "edge/compose/stage"] {
        let id = id.parse().unwrap();
        assert!(Arc::ptr_eq(&before.deployments[&id], &after.deployments[&id]), "{id}");
    }
    tree.files.insert("services/b/compose/stage/dhow.yaml".into(), b"{}\n".to_vec());
    let last = reload(&after, &tree, &["services/b/compose/stage/dhow.yaml".into()]);
    assert_eq!(is(&last, "b/compose/stage"), is(&load(&tree), "b/compose/stage"));
}

#[test]
fn ten_thousand_deployments_are_loaded() {
    let files = (0..5000).flat_map(|n| {
        ["stage", "prod"]
            .map(|e| (format!("services/s{n}/compose/{e}/compose.yaml"), COMPOSE.as_bytes().to_vec()))
    });
    let tree = MemoryTree::new(files);
    let start = Instant::now();
    let fleet = load(&tree);
    let loaded = start.elapsed();
    let again = reload(&fleet, &tree, &["services/s1/compose/stage/compose.yaml".into()]);
    println!("load {loaded:?}, reload {:?}", start.elapsed() - loaded);
    assert_eq!((fleet.deployments.len(), again.deployments.len()), (10_000, 10_000));
}
