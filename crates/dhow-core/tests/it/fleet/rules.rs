use super::{COMPOSE, errors, fleet, only};

#[test]
fn gates_that_can_never_open_are_errors() {
    for (gate, word) in [
        ("approvals: { needed: 3, from: [alice, bob] }", "only 2 people"),
        ("approvals: { needed: 0 }", "from 1 to"),
        ("window: { open: \"Mo-Fr 08:00-17:00\" }", "no weekday"),
        ("from: satge", "no environment satge"),
        ("from: production", "promoted from itself"),
    ] {
        let found =
            fleet(&[("dhow.yaml", &format!("environments:\n  stage: {{}}\n  production:\n    {gate}\n"))]);
        assert!(errors(&found)[0].message.contains(word), "{gate}: {:?}", found.diagnostics);
        assert!(found.broken_root, "{gate}");
    }
}

#[test]
fn a_circle_of_promotions_is_an_error() {
    let found =
        fleet(&[("dhow.yaml", "environments: {a: {from: b}, b: {from: c}, c: {from: a}, d: {from: a}}\n")]);
    assert_eq!(errors(&found).len(), 3);
}

#[test]
fn an_order_of_services_must_exist_and_have_no_circle() {
    let unknown = only(&[("services/shop/dhow.yaml", "after: [shp]\n")]);
    assert!(unknown.message.contains("no service shp") && unknown.help.unwrap().contains("shop"));
    let circle = fleet(&[
        ("services/a/dhow.yaml", "after: [b]\n"),
        ("services/b/dhow.yaml", "after: [c]\n"),
        ("services/c/dhow.yaml", "after: [a]\n"),
        ("services/d/dhow.yaml", "after: [a]\n"),
    ]);
    assert_eq!(circle.broken_services.len(), 3, "{:?}", circle.diagnostics);
}

#[test]
fn what_is_legal_and_not_done_by_this_version_is_told() {
    for (path, text) in [
        ("dhow.yaml", "environments: {stage: {update: pull_request}}\n"),
        ("dhow.yaml", "environments: {stage: {window: {open: \"Mon-Fri 08:00-17:00\"}}}\n"),
        ("services/shop/compose/stage/dhow.yaml", "rollback_on: degraded\n"),
        (
            "dhow.yaml",
            "environments: {stage: {approvals: {from: [al, bob]}}}\npeople: {bob: {}, al: {emails: [al@a.dev]}}\n",
        ),
        (
            "dhow.yaml",
            "environments: {stage: {approvals: {from: [al]}}}\npeople: {al: {emails: [al@a.dev]}}\n",
        ),
    ] {
        let found = only(&[("services/shop/compose/stage/compose.yaml", COMPOSE), (path, text)]);
        assert!(found.to_string().starts_with("warning") && found.help.is_some(), "{found}");
    }
}

#[test]
fn names_in_files_mean_what_the_folders_names_mean() {
    let fleet = fleet(&[
        (
            "dhow.yaml",
            "environments:\n  stage: {}\n  prod: { from: staging }\nservers:\n  web1: { ssh: deploy@web1.acme.dev, environments: [prod] }\n",
        ),
        ("services/a/compose/production/compose.yaml", COMPOSE),
        ("services/a/dhow.yaml", "checks: [{tcp: }]\n"),
    ]);
    // The root file says prod, the folder production: they mean one environment.
    assert_eq!(fleet.environments.len(), 2);
    let deployment = fleet.deployments.values().next().unwrap();
    assert_eq!(deployment.settings.servers.iter().map(|s| s.as_str()).collect::<Vec<_>>(), ["web1"]);
    assert_eq!(deployment.settings.checks.len(), 1);
}

#[test]
fn a_deployment_runs_on_the_servers_of_its_environment() {
    let servers = "servers:\n  web1: { ssh: deploy@web1.acme.dev, environments: [production] }\n";
    let found = fleet(&[("dhow.yaml", servers), ("services/a/compose/prod/compose.yaml", COMPOSE)]);
    assert_eq!(found.deployments.values().next().unwrap().settings.servers[0].as_str(), "web1");
    let unknown = fleet(&[
        ("dhow.yaml", servers),
        ("services/a/compose/prod/compose.yaml", COMPOSE),
        ("services/a/compose/prod/dhow.yaml", "servers: [web2]\n"),
    ]);
    assert!(errors(&unknown)[0].message.contains("no server web2"));
}

#[test]
fn an_address_that_could_be_an_option_is_refused() {
    for bad in ["-oProxyCommand=x@h", "u@-h", "u@h;x", "h", "u@h:0", "u:p@h"] {
        let found = fleet(&[("dhow.yaml", &format!("servers: {{w: {{ssh: \"{bad}\"}}}}\n"))]);
        assert_eq!(errors(&found).len(), 1, "{bad}");
    }
}

#[test]
fn rules_of_environments_override_the_services() {
    let found = fleet(&[
        ("services/a/compose/qa/compose.yaml", COMPOSE),
        (
            "services/a/dhow.yaml",
            "artifacts:\n  web: { image: nginx, policy: { semver: \"^1\" } }\nenvironments:\n  qa: { artifacts: { web: { policy: { semver: \"1.x\" } } } }\n",
        ),
    ]);
    assert_eq!(found.diagnostics, []);
    let service = found.services.values().next().unwrap();
    let rule = |environment: &str| {
        service.rule(&environment.parse().unwrap(), &"web".parse().unwrap()).unwrap().policy.to_string()
    };
    assert_eq!((rule("qa"), rule("stage")), ("semver 1.x".into(), "semver ^1".into()));
}

#[test]
fn an_artifact_that_no_scalar_holds_is_told() {
    let artifacts = "artifacts:\n  web: { image: nginx, policy: { semver: '*' } }\n  api: { image: acme/api, policy: { semver: '*' } }\n";
    let found = only(&[("services/a/compose/qa/compose.yaml", COMPOSE), ("services/a/dhow.yaml", artifacts)]);
    assert!(found.message.contains("artifact api") && found.line == 3, "{found}");
}

#[test]
fn a_digest_that_is_followed_needs_a_place_that_holds_one() {
    let found = only(&[
        ("services/a/dhow.yaml", "artifacts:\n  web: { image: nginx, policy: { digest: latest } }\n"),
        ("services/a/k8s/qa/kustomization.yaml", "images:\n- name: nginx\n  newTag: latest\n"),
    ]);
    assert!(found.message.contains("by digest"), "{found}");
    assert_eq!((found.severity, found.line), (dhow_core::diagnostic::Severity::Error, 3));
}

#[test]
fn versions_in_a_file_that_others_read_are_told() {
    let sami = "version: v1\nservice_name: a\ntype: compose\noob:\n- update-image: null\n  file: ../../../../shared/values.yaml\n  path: .image\n";
    let found = fleet(&[
        ("services/a/dhow.yaml", "artifacts:\n  web: { image: nginx, policy: { semver: '*' } }\n"),
        ("services/a/compose/qa/compose.yaml", COMPOSE),
        ("services/a/compose/qa/sami.yaml", sami),
        ("services/a/compose/stage/compose.yaml", COMPOSE),
        ("services/a/compose/stage/sami.yaml", sami),
        ("shared/values.yaml", "image: nginx:1.25\n"),
    ]);
    let told: Vec<String> = found.diagnostics.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|d| d.contains("a in qa and a in stage")), "{told:#?}");
    assert!(found.shared_files.contains("shared/values.yaml"));
}

#[test]
fn an_artifact_that_is_not_upstream_is_told() {
    let found = only(&[
        ("dhow.yaml", "environments:\n  stage: {}\n  production: { from: stage }\n"),
        ("services/a/dhow.yaml", "artifacts:\n  web: { image: nginx, policy: { semver: '*' } }\n"),
        ("services/a/compose/stage/compose.yaml", "services:\n  a: { image: other }\n"),
        ("services/a/compose/production/compose.yaml", COMPOSE),
    ]);
    assert!(
        found.message.contains("stage has no web of a") && found.message.contains("own policy"),
        "{found}"
    );
}
