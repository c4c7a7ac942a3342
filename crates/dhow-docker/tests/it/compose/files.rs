use std::sync::Arc;

use dhow_core::fleet::Route;
use dhow_testkit::engines::Image;

use crate::compose::support::{Lab, Upstreams, get};

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_as_compose_reads_them() {
    let Some(lab) = Lab::new().await else { return };
    let one = lab.version("1").await;
    let image = format!("{}:1", lab.repository("web"));
    let base = format!("services:\n  base:\n    image: {image}\n    labels: {{ from: base }}\n");
    let included =
        format!("services:\n  more:\n    image: {image}\n    volumes: [\"./shared:/shared:ro\"]\n");
    let own = format!(
        "include: [../../../../common/more.yaml]\nservices:\n  web:\n    extends: {{ file: ../../../../common/base.yaml, service: base }}\n    \
         ports: [\"127.0.0.1:{}:8080\"]\n    env_file: [{{ path: a.env }}, {{ path: none.env, required: false }}]\n  off:\n    \
         image: {image}\n    profiles: [never]\n  on:\n    image: {image}\n    profiles: [always]\n",
        lab.port
    );
    let overridden =
        "services: { web: { environment: { B: \"cost $$5\" }, labels: [\"x=y\"] } }\n".to_owned();
    let files = [
        ("compose.yaml", own.as_str()),
        ("compose.override.yaml", overridden.as_str()),
        (".env", "COMPOSE_PROFILES=always\n"),
        ("a.env", "A=1\n"),
        ("/common/base.yaml", base.as_str()),
        ("/common/more.yaml", included.as_str()),
        ("/common/shared/x", "1"),
    ];
    let release = lab.release(&files, &one).await;
    let reads = &release.0.rendered.reads;
    for file in ["common/base.yaml", "common/more.yaml", "common/shared/x"] {
        assert!(reads.contains(&file.to_owned()), "{file} is not in {reads:?}");
    }
    lab.roll_out(&release).await.unwrap();
    assert_eq!(lab.plan(&release).await.unwrap(), []);
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("1"));
    assert!(lab.ids("off").await.is_empty());
    for service in ["on", "more"] {
        assert_eq!(lab.ids(service).await.len(), 1, "{service}");
    }
    let web = lab.ids("web").await;
    let environment =
        lab.lines(&["inspect", "--format", "{{json .Config.Env}}{{json .Config.Labels}}", &web[0]]).await;
    for wanted in ["\"A=1\"", "\"B=cost $5\"", "\"from\":\"base\"", "\"x\":\"y\""] {
        assert!(environment.concat().contains(wanted), "{wanted} is not in {environment:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_runs_once_comes_before_what_needs_it() {
    let Some(mut lab) = Lab::new().await else { return };
    let (one, two) = (lab.version("1").await, lab.version("2").await);
    let image = format!("{}:1", lab.repository("web"));
    let file = lab.compose(&format!(
        "    depends_on: {{ migrate: {{ condition: service_completed_successfully }} }}\n  migrate:\n    image: {image}\n    \
         command: [exit, \"0\"]\n"
    ));
    let first = lab.release(&[("compose.yaml", &file)], &one).await;
    lab.roll_out(&first).await.unwrap();
    assert_eq!(lab.plan(&first).await.unwrap(), []);
    // Beside: the migration of the new version runs to its end, and then the new version starts.
    let table = Arc::new(Upstreams::default());
    lab.routes = table.clone();
    lab.settings.route =
        Some(Route { service: Some("web".into()), port: Some(8080), host: "x".into(), ..Route::default() });
    let file = file.replace(&format!("    ports: [\"127.0.0.1:{}:8080\"]\n", lab.port), "");
    for pin in [&one, &two] {
        let release = lab.release(&[("compose.yaml", &file)], pin).await;
        lab.roll_out(&release).await.unwrap();
        assert_eq!(lab.plan(&release).await.unwrap(), []);
    }
    let serving = table.0.lock().unwrap().values().next().unwrap()[0];
    assert_eq!(get(serving, "/version").await.as_deref(), Some("2"));
    let failing = file.replace("[exit, \"0\"]", "[exit, \"4\"]");
    let error = lab.roll_out(&lab.release(&[("compose.yaml", &failing)], &one).await).await.unwrap_err();
    assert!(error.to_string().contains("migrate") && error.to_string().contains('4'), "{error}");
    assert_eq!(get(serving, "/version").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_the_network_of_another_is_left_alone_and_follows_it() {
    let Some(lab) = Lab::new().await else { return };
    let (one, two) = (lab.version("1").await, lab.version("2").await);
    let side = lab.push("side", "1", Image::server(&lab.parts, "side").env("PORT", "9000")).await;
    let more = format!(
        "    volumes: [\"box:/box\"]\n  side:\n    image: {}:1\n    network_mode: service:web\n    volumes_from: [web]\nvolumes: {{ box: {{}} }}\n",
        side.repository
    );
    let file = lab.compose(&more);
    let first = lab.release(&[("compose.yaml", &file)], &one).await;
    lab.roll_out(&first).await.unwrap();
    assert_eq!(lab.plan(&first).await.unwrap(), []);
    let before = lab.ids("side").await;
    let second = lab.release(&[("compose.yaml", &file)], &two).await;
    lab.roll_out(&second).await.unwrap();
    assert_eq!(lab.plan(&second).await.unwrap(), []);
    assert_ne!(lab.ids("side").await, before, "it is in the network of a container that is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_compose_hashes_is_hashed_as_compose_does() {
    let Some(lab) = Lab::new().await else { return };
    let one = lab.version("1").await;
    let more = "    restart: unless-stopped\n    logging: { driver: json-file, options: { max-size: 10m } }\n    \
        environment: [\"Q=a$$b\", \"E\", \"Y=${X}\"]\n    healthcheck: { test: [CMD, /server, check], interval: 1s }\n    \
        deploy: { resources: { limits: { memory: 64M } } }\n    networks: { default: { aliases: [aa] }, back: null }\n    \
        extra_hosts: [\"h:1.2.3.4\"]\n    configs: [{ source: inline, target: /etc/inline }]\n    tmpfs: [/tmp]\n    \
        volumes: [\"/anon\", \"named:/n:ro\", \"./conf:/conf:ro,z\"]\n    stop_grace_period: 5s\n    labels: { z: 1 }\n    \
        shm_size: 64m\n    user: \"0:0\"\n    command: []\n\
        networks: { back: { internal: true } }\nvolumes: { named: {} }\nconfigs: { inline: { content: \"hello ${X}\" } }\n";
    let file = lab.compose(more);
    let files = [("compose.yaml", file.as_str()), (".env", "X=1\n"), ("conf/a", "1")];
    let release = lab.release(&files, &one).await;
    lab.roll_out(&release).await.unwrap();
    assert_eq!(lab.plan(&release).await.unwrap(), []);
}
