use std::time::Duration;

use dhow_core::port::{CheckAddress, Front, Place, Target as _};
use dhow_testkit::engines::Image;

use super::lab::{Lab, get};

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_is_deployed_updated_and_removed_by_digest() {
    let Some(lab) = Lab::new().await else { return };
    let file =
        lab.fixed("    environment: {A: '1'}\n    volumes: ['data:/data']\n") + "volumes: {data: {}}\n";
    let one = lab.version("1").await;
    let release = lab.release(&[("web-stack.yml", &file)], &one).await;
    lab.roll_out(&release).await.unwrap();
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("1"));
    let observed = lab.target().observe(&release.rendered, &Place::Local).await.unwrap();
    assert!(observed.running.contains(&one.digest));
    assert!(lab.plan(&release).await.unwrap().is_empty());
    let door =
        lab.target().address(&release.rendered, &release.hash, &Place::Local, Front::Door).await.unwrap();
    let CheckAddress::Tcp(door) = door else { panic!("{door:?}") };
    assert_eq!(get(door, "/version").await.as_deref(), Some("1"));

    let two = lab.version("2").await;
    let file = file.replace("A: '1'", "A: 'very-secret'");
    let release = lab.release(&[("web-stack.yml", &file)], &two).await;
    let steps = lab.plan(&release).await.unwrap();
    let told = steps.iter().map(|step| step.summary.clone()).collect::<Vec<_>>().join("\n");
    for word in ["update web (image", "becomes web:2", "environment A", "away for a while"] {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
    assert!(!format!("{steps:?}").contains("very-secret"));
    lab.roll_out(&release).await.unwrap();
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("2"));
    let logs = lab.target().logs(&release.rendered.deployment, &Place::Local, 50).await.unwrap();
    assert!(logs.len() <= 50);

    let target = lab.target();
    target.remove(&release.rendered.deployment, &Place::Local, 1).await.unwrap();
    assert_eq!(get(lab.door(), "/version").await, None);
    let volume = format!("name={}_data", lab.stack());
    assert_eq!(lab.lines(&["volume", "ls", "-q", "--filter", &volume]).await.len(), 1, "data did not stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn global_services_and_jobs_converge_and_what_left_the_file_is_removed() {
    let Some(lab) = Lab::new().await else { return };
    let pin = lab.version("1").await;
    let image = lab.repository("web");
    let file = format!(
        "services:\n  all:\n    image: {image}:1\n    deploy: {{mode: global, placement: {{constraints: [node.role == \
         manager]}}}}\n  migrate:\n    image: {image}:1\n    command: [exit, '0']\n    deploy: {{mode: \
         replicated-job, restart_policy: {{condition: on-failure, max_attempts: 1}}}}\n  old:\n    image: \
         {image}:1\n    deploy: {{replicas: 2}}\n"
    );
    let release = lab.release(&[("web-stack.yml", &file)], &pin).await;
    lab.roll_out(&release).await.unwrap();
    assert!(lab.plan(&release).await.unwrap().is_empty());
    let (without, _) = file.split_once("  old:").unwrap();
    let release = lab.release(&[("web-stack.yml", without)], &pin).await;
    let steps = lab.plan(&release).await.unwrap();
    assert!(steps.iter().any(|step| step.summary.contains("remove old")), "{steps:?}");
    lab.roll_out(&release).await.unwrap();
    let filter = format!("label=com.docker.stack.namespace={}", lab.stack());
    let services = lab.lines(&["service", "ls", "--filter", &filter, "--format", "{{.Name}}"]).await;
    assert_eq!(services.len(), 2, "{services:?}");

    let bad = file.replace("'0'", "'4'");
    let release = lab.release(&[("web-stack.yml", &bad)], &pin).await;
    let error = lab.roll_out(&release).await.unwrap_err().to_string();
    assert!(error.contains("migrate") && error.contains("code 4"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_was_deployed_by_hand_is_adopted_as_it_is() {
    let Some(lab) = Lab::new().await else { return };
    let pin = lab.version("1").await;
    let file = lab.beside("    environment: {A: '1'}\n    configs: [{source: conf, target: /conf}]\n")
        + "configs: {conf: {file: ./conf.txt}}\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("web-stack.yml"), &file).unwrap();
    std::fs::write(folder.path().join("conf.txt"), "hello").unwrap();
    let path = folder.path().join("web-stack.yml");
    lab.lines(&["stack", "deploy", "--detach=true", "-c", path.to_str().unwrap(), &lab.stack()]).await;
    let tasks = async || lab.lines(&["stack", "ps", "-q", &lab.stack()]).await;
    let before = tasks().await;

    let release = lab.release(&[("web-stack.yml", &file), ("conf.txt", "hello")], &pin).await;
    assert_eq!(lab.plan(&release).await.unwrap(), []);
    assert_eq!(tasks().await, before, "adopting made new tasks");

    // The first update, and the way back to what was adopted.
    let bad = lab.push("web", "bad", Image::server(&lab.parts, "bad").env("CRASH", "start")).await;
    let other = lab.release(&[("web-stack.yml", &file), ("conf.txt", "hello")], &bad).await;
    lab.roll_out(&other).await.unwrap_err();
    assert!(lab.serves("1").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_by_hand_is_told_within_seconds_and_mended() {
    let Some(lab) = Lab::new().await else { return };
    let pin = lab.version("1").await;
    let release = lab.release(&[("web-stack.yml", &lab.beside(""))], &pin).await;
    lab.roll_out(&release).await.unwrap();
    let target = lab.target();
    target.observe(&release.rendered, &Place::Local).await.unwrap();
    let scaled = async {
        // The events of the engine are asked for beside this: again until it is heard.
        for replicas in [2, 3, 2, 3, 2, 3, 2, 3].iter().cycle() {
            let web = format!("{}_web={replicas}", lab.stack());
            lab.lines(&["service", "scale", "--detach", &web]).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        told = target.drifted() => assert_eq!(told, release.rendered.deployment),
        () = scaled => {}
        () = tokio::time::sleep(Duration::from_secs(10)) => panic!("drift is not told"),
    }
    let steps = lab.plan(&release).await.unwrap();
    assert!(steps.iter().any(|step| step.summary.contains("changed by hand")), "{steps:?}");
    lab.roll_out(&release).await.unwrap();
    assert!(lab.plan(&release).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_ports_is_done_when_every_task_has_them() {
    let Some(lab) = Lab::new().await else { return };
    let pin = lab.version("1").await;
    // Swarm replaces one after the other, and rests between them.
    let rests = lab.beside("").replace("monitor: 300ms", "monitor: 300ms, delay: 1s") + "      replicas: 2\n";
    let release = lab.release(&[("web-stack.yml", &rests)], &pin).await;
    lab.roll_out(&release).await.unwrap();
    let before = lab.live().await;
    let other = rests.replace("target: 8080", "target: 8081");
    let release = lab.release(&[("web-stack.yml", &other)], &pin).await;
    lab.roll_out(&release).await.unwrap();
    let after = lab.live().await;
    assert_eq!((before.len(), after.len()), (2, 2));
    assert!(after.iter().all(|task| !before.contains(task)), "{before:?} {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_placement_leaves_what_fits_and_finds_no_place_for_what_does_not() {
    let Some(lab) = Lab::new().await else { return };
    let pin = lab.version("1").await;
    let placed =
        |constraint: &str| lab.beside("") + &format!("      placement: {{constraints: [{constraint}]}}\n");
    let file = placed("node.role == manager");
    lab.roll_out(&lab.release(&[("web-stack.yml", &file)], &pin).await).await.unwrap();
    let before = lab.live().await;
    let file = placed("node.labels.none != x");
    lab.roll_out(&lab.release(&[("web-stack.yml", &file)], &pin).await).await.unwrap();
    assert_eq!(lab.live().await, before, "a task that fits was replaced");
    let file = placed("node.role == worker");
    let error = lab.roll_out(&lab.release(&[("web-stack.yml", &file)], &pin).await).await.unwrap_err();
    assert!(error.to_string().contains("deploy.placement.constraints"), "{error}");
    assert!(lab.serves("1").await, "the old one does not serve");
}
