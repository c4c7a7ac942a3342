use std::sync::Arc;

use async_trait::async_trait;
use dhow_core::noun::Digest;
use dhow_core::port::{CheckAddress, Front, Place, Target as _, TargetError};
use dhow_docker::compose::{Login, Logins};
use dhow_testkit::engines;
use secrecy::SecretString;

use super::lab::{Lab, executor};

fn blocked(error: TargetError, word: &str) {
    let TargetError::Blocked(told) = error else { panic!("{error:?}") };
    assert!(told.contains(word), "{word:?} is not in: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_manager_and_a_user_without_permission_are_told_what_to_do() {
    let (Some(mut lab), Some(servers)) = (Lab::new().await, engines::servers()) else { return };
    let pin = lab.pin("web", "1", Digest::of(b"x"));
    let release = lab.release(&[("web-stack.yml", &lab.beside(""))], &pin).await;
    lab.executor = executor(&servers[0], "deploy");
    blocked(lab.plan(&release).await.unwrap_err(), "docker swarm init");
    lab.executor = executor(&lab.swarm.ssh, "guest");
    blocked(lab.plan(&release).await.unwrap_err(), "may not use");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_stack_file_is_told_at_its_place_in_the_fleet() {
    let Some(lab) = Lab::new().await else { return };
    let pin = lab.pin("web", "1", Digest::of(b"x"));
    let release =
        lab.release(&[("web-stack.yml", "services:\n  web:\n    image: x\n    foo: 1\n")], &pin).await;
    let TargetError::Failed(told) = lab.plan(&release).await.unwrap_err() else { panic!() };
    assert!(told.contains("web-stack.yml:4:5: Docker does not take this file"), "{told}");
}

struct Alice;

#[async_trait]
impl Logins for Alice {
    async fn login(&self, _: &str) -> Result<Option<Login>, TargetError> {
        Ok(Some(Login { user: "alice".into(), password: SecretString::from("pass") }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_used_for_the_deploy_only_and_one_that_expired_is_told() {
    let Some(mut lab) = Lab::new().await else { return };
    let pin = lab.version("1").await;
    for name in [format!("{}:1", pin.repository), format!("{}@{}", pin.repository, pin.digest)] {
        lab.run(&["image", "rm", &name]).await;
    }
    // alice:pass
    lab.registry.lock(Some("Basic YWxpY2U6cGFzcw=="));
    let release = lab.release(&[("web-stack.yml", &lab.beside(""))], &pin).await;
    blocked(lab.roll_out(&release).await.unwrap_err(), "does not let us in");
    lab.logins = Arc::new(Alice);
    lab.roll_out(&release).await.unwrap();
    assert_eq!(lab.newest().await.as_deref(), Some("1"));
    let found = std::process::Command::new("grep")
        .args(["-rl", "YWxpY2U6cGFzcw", lab.swarm.ssh.files.join("home").to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "the login is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_ingress_mode_without_ipvs_is_told_in_the_plan_and_never_green() {
    let Some(lab) = Lab::new().await else { return };
    if std::path::Path::new("/proc/net/ip_vs").exists() {
        return;
    }
    let pin = lab.version("1").await;
    let file = format!(
        "services:\n  web:\n    image: {}:1\n    ports: [\"{}:8080\"]\n",
        lab.repository("web"),
        lab.port
    );
    let release = lab.release(&[("web-stack.yml", &file)], &pin).await;
    let steps = lab.plan(&release).await.unwrap();
    assert!(steps.iter().any(|step| step.summary.contains("has no IPVS")), "{steps:?}");
    let target = lab.target();
    for step in &steps {
        target.execute(step, &release).await.unwrap();
    }
    let error = target.verify(&release.rendered, &release.hash, &Place::Local).await.unwrap_err();
    assert!(matches!(&error, TargetError::Failed(told) if told.contains("mode: host")), "{error}");
    let door = target.address(&release.rendered, &release.hash, &Place::Local, Front::Door).await.unwrap();
    assert!(matches!(&door, CheckAddress::Nowhere(told) if told.contains("has no IPVS")), "{door:?}");
}
