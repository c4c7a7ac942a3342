use std::collections::BTreeMap;
use std::sync::Arc;

use dhow_core::fleet::{self, MemoryTree};
use dhow_core::noun::{DeploymentId, Pin};
use dhow_testkit::engines::Image;

use super::lab::{Lab, get};

/// An image whose only busybox writes what it mounts into its log.
async fn busybox(lab: &Lab) -> Pin {
    lab.push("web", "1", Image::server(&lab.parts, "1").busybox(&lab.parts)).await
}

/// What a file says in the newest container of a service.
async fn read(lab: &Lab, stack: &str, service: &str, path: &str) -> String {
    let name = format!("label=com.docker.swarm.service.name={stack}_{service}");
    let ids = lab.lines(&["ps", "-q", "--filter", &name]).await;
    lab.lines(&["exec", &ids[0], "/bin/busybox", "cat", path]).await.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_layout_of_sami_deploys_as_it_stands() {
    let Some(lab) = Lab::new().await else { return };
    let pin = busybox(&lab).await;
    let (name, image, port) = (lab.service.clone(), lab.repository("web"), lab.port);
    let folder = format!("services/{name}/compose/stage");
    let stack = format!(
        "version: \"3.3\"\nservices:\n  web:\n    image: {image}:1\n    ports:\n      - target: 8080\n        published: \
         {port}\n        protocol: tcp\n        mode: host\n    volumes: [./prometheus:/etc/prometheus:ro, \
         ../../../../conf/nginx:/etc/nginx:ro, ./state:/state]\n    configs: [{{source: grafana, target: \
         /grafana.ini}}]\n    environment: [\"DATA=/state\", \"GREETING=${{GREETING}}\"]\n    deploy: \
         {{endpoint_mode: dnsrr}}\nconfigs:\n  grafana: {{file: ./grafana/config.ini}}\n"
    )
    // Version 3.3 has no `protocol` apart from ports, and no endpoint_mode trouble: it is from those days.
    .replace("\"3.3\"", "\"3.4\"");
    let files = [
        ("conf/nginx/sites-enabled/site.conf".to_owned(), "server".to_owned()),
        (format!("{folder}/sami.yaml"), format!("version: v1beta\nservice_name: {name}\ntype: swarm\n")),
        (format!("{folder}/{name}-stack.yml"), stack),
        (format!("{folder}/.env"), "GREETING=hello\n".to_owned()),
        (format!("{folder}/prometheus/prometheus.yml"), "scrape".to_owned()),
        (format!("{folder}/grafana/config.ini"), "grafana".to_owned()),
    ];
    let tree = Arc::new(MemoryTree::new(files.iter().map(|(path, text)| (path.as_str(), text.as_str()))));
    let fleet = fleet::load(tree.as_ref());
    assert_eq!(fleet.diagnostics, []);
    let id: DeploymentId = format!("{name}/swarm/stage").parse().unwrap();
    let deployment = Arc::clone(&fleet.deployments[&id]);
    let pins = BTreeMap::from([("web".parse().unwrap(), pin)]);
    let release = lab.of_deployment(deployment, tree, pins).await.unwrap();
    assert!(release.rendered.reads.contains(&"conf/nginx/sites-enabled/site.conf".to_owned()));
    lab.roll_out(&release).await.unwrap();
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("1"));
    let stack = lab.stack();
    for (path, content) in [
        ("/etc/prometheus/prometheus.yml", "scrape"),
        ("/etc/nginx/sites-enabled/site.conf", "server"),
        ("/grafana.ini", "grafana"),
    ] {
        assert_eq!(read(&lab, &stack, "web", path).await, content);
    }
    assert!(read(&lab, &stack, "web", "/proc/1/environ").await.contains("GREETING=hello"));
}

#[tokio::test(flavor = "multi_thread")]
async fn configs_and_secrets_are_renamed_by_their_content_and_old_ones_pruned() {
    let Some(lab) = Lab::new().await else { return };
    let pin = busybox(&lab).await;
    let file = lab
        .beside("    configs: [{source: conf, target: /conf}]\n    secrets: [{source: key, target: key}]\n")
        + "configs: {conf: {file: ./conf.txt}}\nsecrets: {key: {file: ./key.txt}}\n";
    let names = async || {
        let filter = format!("label=com.docker.stack.namespace={}", lab.stack());
        let format = ["--format", "{{.Name}}", "--filter", &filter];
        let configs = lab.lines(&[["config", "ls"].as_slice(), &format].concat()).await;
        let secrets = lab.lines(&[["secret", "ls"].as_slice(), &format].concat()).await;
        [configs, secrets]
    };
    let mut before = names().await;
    for content in ["one", "two $A"] {
        let files = [("web-stack.yml", file.as_str()), ("conf.txt", content), ("key.txt", content)];
        let release = lab.release(&files, &pin).await;
        lab.roll_out(&release).await.unwrap();
        assert!(lab.plan(&release).await.unwrap().is_empty());
        assert_eq!(read(&lab, &lab.stack(), "web", "/conf").await, content);
        assert_eq!(read(&lab, &lab.stack(), "web", "/run/secrets/key").await, content);
        let now = names().await;
        for (now, before) in now.iter().zip(&before) {
            assert_eq!(now.len(), 1, "{now:?}");
            assert_ne!(now, before);
        }
        before = now;
    }
}

/// The page's example is a fleet that loads, and whose stack deploys.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_page_deploys() {
    let Some(lab) = Lab::new().await else { return };
    let page = include_str!("../../../../../docs/targets/swarm.md");
    let mut files = BTreeMap::new();
    for block in page.split("\n```yaml\n# ").skip(1) {
        let (path, rest) = block.split_once('\n').unwrap();
        let (text, _) = rest.split_once("\n```").unwrap();
        files.insert(path.to_owned(), format!("{text}\n"));
    }
    let registry = lab.repository("web");
    for text in files.values_mut() {
        *text = text
            .replace("ghcr.io/acme/shop-web", &registry)
            .replace("published: 80,", &format!("published: {},", lab.port));
    }
    let tree = Arc::new(MemoryTree::new(files.iter().map(|(path, text)| (path.as_str(), text.as_str()))));
    let fleet = fleet::load(tree.as_ref());
    assert_eq!(fleet.diagnostics, [], "{files:?}");
    let deployment = &fleet.deployments[&"shop/swarm/stage".parse::<DeploymentId>().unwrap()];
    // Nobody else is to meet this stack.
    let mut own = deployment.as_ref().clone();
    own.settings.project = Some(lab.stack());
    let pin = lab.version("1.4.0").await;
    let pins = BTreeMap::from([("web".parse().unwrap(), pin)]);
    let release = lab.of_deployment(Arc::new(own), tree, pins).await.unwrap();
    lab.roll_out(&release).await.unwrap();
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("1.4.0"));
}
