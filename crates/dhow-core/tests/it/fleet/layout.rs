use super::{COMPOSE, deployments, errors, fleet, only};

#[test]
fn the_real_layout_is_found_with_no_file_of_ours() {
    let fleet = fleet(&[
        ("README.md", ""),
        ("conf/nginx/sites-enabled/camerdevs.com", ""),
        ("services/camerdevs/compose/prod/camerdevs-stack.yml", COMPOSE),
        ("services/camerdevs/compose/stage/camerdevs-stack.yml", COMPOSE),
        ("services/caparledev-bot/compose/stage/caparledev-bot-stack.yml", COMPOSE),
        ("services/portainer/compose/prod/portainer-agent-stack.yml", COMPOSE),
        ("services/prometheus/compose/prod/grafana/config.ini", ""),
        ("services/prometheus/compose/prod/prometheus/prometheus.yml", ""),
        ("services/prometheus/compose/prod/prometheus-stack.yml", COMPOSE),
    ]);
    assert_eq!(fleet.diagnostics, []);
    assert_eq!(
        deployments(&fleet),
        [
            "camerdevs/swarm/production",
            "camerdevs/swarm/stage",
            "caparledev-bot/swarm/stage",
            "portainer/swarm/production",
            "prometheus/swarm/production",
        ]
    );
    let projects: Vec<String> = fleet.deployments.values().map(|d| d.project()).collect();
    assert_eq!(
        projects,
        ["prod_camerdevs", "stage_camerdevs", "stage_caparledev-bot", "prod_portainer", "prod_prometheus"]
    );
    let prometheus = &fleet.deployments[&"prometheus/swarm/production".parse().unwrap()];
    assert_eq!(prometheus.files.len(), 3);
    assert_eq!(fleet.environments.len(), 2);
}

#[test]
fn a_folder_with_stacks_and_compose_files_is_two_deployments() {
    let fleet = fleet(&[
        ("services/a/compose/stage/a-stack.yml", COMPOSE),
        ("services/a/compose/stage/a-compose.yml", COMPOSE),
        ("services/a/compose/stage/.env", "A=1"),
    ]);
    assert_eq!(deployments(&fleet), ["a/compose/stage", "a/swarm/stage"]);
    let files = |id: &str| fleet.deployments[&id.parse().unwrap()].files.clone();
    assert_eq!(
        files("a/compose/stage"),
        ["services/a/compose/stage/.env", "services/a/compose/stage/a-compose.yml"]
    );
    assert_eq!(
        files("a/swarm/stage"),
        ["services/a/compose/stage/.env", "services/a/compose/stage/a-stack.yml"]
    );
}

#[test]
fn what_sami_says_of_the_type_counts_most() {
    let fleet = fleet(&[
        ("services/a/compose/prod/a-compose.yml", COMPOSE),
        (
            "services/a/compose/prod/sami.yaml",
            "version: v1beta\nservice_name: a\ntype: swarm\npr_deploy: true\noob:\n  - update-image:\n    file: a-compose.yml\n    path: services.web.image\n  - update-image: {file: a-compose.yml, path: x}\n",
        ),
    ]);
    assert_eq!(fleet.diagnostics, []);
    let deployment = &fleet.deployments[&"a/swarm/production".parse().unwrap()];
    assert!(deployment.settings.pr_deploy);
    let oob: Vec<_> = deployment.settings.oob.iter().map(|o| (o.file.as_str(), o.path.as_str())).collect();
    let file = "services/a/compose/prod/a-compose.yml";
    assert_eq!(oob, [(file, "services.web.image"), (file, "x")]);
}

#[test]
fn other_layouts_are_found_where_the_root_file_says() {
    let fleet = fleet(&[
        (
            "dhow.yaml",
            "layout:\n  - apps/{service}/overlays/{environment}\n  - stacks/{service}\n  - {path: \"{environment}\", service: strapi, type: k8s}\ndeployments:\n  - {path: odd/place, service: cms, type: compose, environment: stage}\n",
        ),
        ("apps/shop/overlays/qa/kustomization.yaml", "resources: [../../base]\n"),
        ("apps/shop/base/kustomization.yaml", "resources: [d.yaml]\n"),
        ("apps/shop/base/d.yaml", "kind: Deployment\n"),
        ("apps/shop/dhow.yaml", "owners: [alice]\n"),
        ("stacks/traefik/traefik-stack.yml", COMPOSE),
        ("staging/deployment.yaml", "kind: Deployment\n"),
        ("docs/readme.md", ""),
        ("odd/place/compose.yaml", COMPOSE),
    ]);
    assert_eq!(errors(&fleet), Vec::<&dhow_core::diagnostic::Diagnostic>::new());
    assert_eq!(
        deployments(&fleet),
        ["cms/compose/stage", "shop/k8s/qa", "strapi/k8s/staging", "traefik/swarm/production"]
    );
    assert_eq!(fleet.services[&"shop".parse().unwrap()].owners.len(), 1);
}

#[test]
fn an_alias_stands_for_itself_where_both_names_are_used() {
    let fleet = fleet(&[
        ("services/a/compose/prod/compose.yaml", COMPOSE),
        ("services/a/compose/production/compose.yaml", COMPOSE),
    ]);
    assert_eq!(deployments(&fleet), ["a/compose/prod", "a/compose/production"]);
    assert!(fleet.diagnostics[0].message.contains("production and prod"));
}

#[test]
fn folders_of_pull_requests_are_templates() {
    let fleet = fleet(&[("services/a/compose/pull_request/compose.yaml", COMPOSE)]);
    assert!(fleet.deployments.is_empty());
    assert_eq!(fleet.templates.len(), 1);
}

#[test]
fn equal_engine_names_on_one_place_are_an_error_and_a_name_by_hand_mends_it() {
    let files = [
        ("services/a.b/compose/stage/compose.yaml", COMPOSE),
        ("services/ab/compose/stage/compose.yaml", COMPOSE),
    ];
    let broken = fleet(&files);
    assert_eq!(broken.broken.len(), 2);
    assert!(broken.diagnostics[0].message.contains("\"stage_ab\""), "{}", broken.diagnostics[0]);
    let mended = fleet(&[files[0], files[1], ("services/ab/compose/stage/dhow.yaml", "project: other\n")]);
    assert_eq!(mended.deployments.len(), 2);
}

#[test]
fn two_folders_of_one_identity_are_both_broken() {
    let fleet = fleet(&[
        ("services/a/compose/stage/a-stack.yml", COMPOSE),
        ("services/a/swarm/stage/a-stack.yml", COMPOSE),
        ("services/b/compose/stage/compose.yml", COMPOSE),
    ]);
    assert_eq!(deployments(&fleet), ["b/compose/stage"]);
    assert_eq!(fleet.broken.len(), 1);
}

#[test]
fn a_type_that_does_not_exist_is_told_with_the_nearest() {
    let found = only(&[("services/a/compse/stage/b.txt", "")]);
    assert_eq!(found.help.unwrap(), "did you mean \"compose\"?");
}

#[test]
fn a_deployment_with_nothing_to_run_is_told() {
    assert!(only(&[("services/a/compose/stage/README.md", "")]).message.contains("nothing to run"));
}
