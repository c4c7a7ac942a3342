use super::{COMPOSE, errors, fleet};

#[test]
fn files_elsewhere_that_compose_names_are_dependencies() {
    let found = fleet(&[
        (
            "services/a/compose/stage/compose.yaml",
            "include: [../common.yaml]\nservices:\n  web:\n    env_file: [../../../../shared.env, own.env, {path: ../b.env}]\n    extends: {file: ../base.yaml, service: web}\n    volumes: ['../../../../conf:/etc/x:ro', '/var:/var', 'data:/data', {type: bind, source: ../y}]\nconfigs: {c: {file: ../c.ini}}\n",
        ),
        ("services/a/compose/common.yaml", "services: {x: {env_file: deep.env}}\n"),
        ("services/a/compose/base.yaml", COMPOSE),
        ("conf/nginx/a.conf", ""),
        ("shared.env", ""),
    ]);
    assert_eq!(errors(&found).len(), 0, "{:?}", found.diagnostics);
    let deployment = found.deployments.values().next().unwrap();
    assert_eq!(
        deployment.dependencies,
        [
            "conf/nginx/a.conf",
            "services/a/compose/b.env",
            "services/a/compose/base.yaml",
            "services/a/compose/c.ini",
            "services/a/compose/common.yaml",
            "services/a/compose/deep.env",
            "services/a/compose/y",
            "shared.env",
        ]
    );
    assert_eq!(found.index.readers("shared.env").count(), 1);
}

#[test]
fn kustomizations_are_followed_and_circles_end() {
    let found = fleet(&[
        (
            "services/a/k8s/stage/kustomization.yaml",
            "resources: [../base, https://x/y]\npatches: [{path: ../p.yaml}]\nconfigMapGenerator: [{name: x, files: [k=../f.txt]}]\n",
        ),
        ("services/a/k8s/base/kustomization.yaml", "resources: [d.yaml, ../../../../lib, ../stage]\n"),
        ("services/a/k8s/base/d.yaml", "kind: X\n"),
        ("lib/kustomization.yml", "resources: [e.yaml]\n"),
    ]);
    assert_eq!(errors(&found).len(), 0, "{:?}", found.diagnostics);
    assert_eq!(
        found.deployments[&"a/k8s/stage".parse().unwrap()].dependencies,
        [
            "lib/e.yaml",
            "lib/kustomization.yml",
            "services/a/k8s/base/d.yaml",
            "services/a/k8s/base/kustomization.yaml",
            "services/a/k8s/f.txt",
            "services/a/k8s/p.yaml"
        ]
    );
    assert_eq!(found.deployments.len(), 1);
}

#[test]
fn a_broken_shared_file_breaks_those_who_read_it() {
    let found = fleet(&[
        ("services/a/compose/stage/compose.yaml", "include: [../../../../common.yaml]\n"),
        ("services/b/compose/stage/compose.yaml", COMPOSE),
        ("common.yaml", "a: ["),
    ]);
    assert_eq!(found.broken.keys().map(ToString::to_string).collect::<Vec<_>>(), ["a/compose/stage"]);
}
