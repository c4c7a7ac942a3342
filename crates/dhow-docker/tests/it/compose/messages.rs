use std::sync::Arc;

use async_trait::async_trait;
use dhow_core::port::{Target as _, TargetError};
use dhow_docker::compose::{Login, Logins};

use crate::compose::support::{Lab, get};

struct Known;

#[async_trait]
impl Logins for Known {
    async fn login(&self, _: &str) -> Result<Option<Login>, TargetError> {
        Ok(Some(Login { user: "u".into(), password: "p".to_owned().into() }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_there_for_the_pull_only() {
    let Some(mut lab) = Lab::new().await else { return };
    let one = lab.version("1").await;
    lab.forget(&one).await;
    lab.registry.lock(Some("Basic dTpw"));
    let release = lab.release(&[("compose.yaml", &lab.compose(""))], &one).await;
    let TargetError::Blocked(told) = lab.roll_out(&release).await.unwrap_err() else { panic!() };
    assert!(told.contains("renew the credentials"), "{told}");
    lab.logins = Arc::new(Known);
    lab.roll_out(&release).await.unwrap();
    assert!(lab.registry.shown().contains(&"Basic dTpw".to_owned()));
    let left = lab.lines(&["version"]).await;
    assert!(!left.is_empty());
    let home = lab.local.home.join(format!("compose/stage/{}", lab.service));
    let names: Vec<_> = std::fs::read_dir(home).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with("login")), "{names:?}");
    assert!(lab.local.changes.lock().unwrap().iter().flatten().all(|word| !word.contains("dTpw")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_compose_file_is_told_with_its_line_in_the_fleet() {
    let Some(lab) = Lab::new().await else { return };
    let one = lab.version("1").await;
    let file = lab.compose("    volums: []\n");
    let release = lab.release(&[("compose.yaml", &file)], &one).await;
    let TargetError::Failed(told) = lab.plan(&release).await.unwrap_err() else { panic!() };
    let wanted = format!("services/{}/compose/stage/compose.yaml:5:5: ", lab.service);
    assert!(told.starts_with(&wanted), "{told}");
    let file = lab.compose("    env_file: none.env\n");
    let Err(TargetError::Failed(told)) = lab.try_release(&[("compose.yaml", &file)], &one).await else {
        panic!()
    };
    assert!(told.contains("none.env is not in the fleet") && told.contains(":5:"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn building_is_refused_with_what_to_do_instead() {
    let Some(lab) = Lab::new().await else { return };
    let one = lab.version("1").await;
    let release = lab.release(&[("compose.yaml", "services: { web: { build: . } }\n")], &one).await;
    let TargetError::Failed(told) = lab.plan(&release).await.unwrap_err() else { panic!() };
    assert!(told.contains("push it, and name it with `image:`"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_another_holds_is_told_before_anything_stops() {
    let (Some(lab), Some(mut other)) = (Lab::new().await, Lab::new().await) else { return };
    let one = lab.version("1").await;
    lab.roll_out(&lab.release(&[("compose.yaml", &lab.compose(""))], &one).await).await.unwrap();
    let own = other.version("1").await;
    other.roll_out(&other.release(&[("compose.yaml", &other.compose(""))], &own).await).await.unwrap();
    let (ids, door) = (other.ids("web").await, other.door());
    other.port = lab.port;
    let release = other.release(&[("compose.yaml", &other.compose(""))], &own).await;
    let TargetError::Blocked(told) = other.roll_out(&release).await.unwrap_err() else { panic!() };
    assert!(told.contains(&lab.port.to_string()) && told.contains(&lab.project()), "{told}");
    assert_eq!(other.ids("web").await, ids);
    assert_eq!(get(door, "/version").await.as_deref(), Some("1"));
    // The same step goes on once a person has acted.
    let steps = other.plan(&release).await.unwrap();
    let pull = steps.iter().find(|step| step.key.ends_with(":pull")).unwrap();
    lab.docker(&["compose", "-p", &lab.project(), "down"]).await;
    other.target().execute(pull, &release.0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_compose_is_told() {
    let Some(lab) = Lab::new().await else { return };
    let one = lab.version("1").await;
    *lab.local.fault.lock().unwrap() =
        Some(("config".into(), "docker: 'compose' is not a docker command.".into()));
    let release = lab.release(&[("compose.yaml", &lab.compose(""))], &one).await;
    let TargetError::Blocked(told) = lab.plan(&release).await.unwrap_err() else { panic!() };
    assert!(told.contains("docker-compose-plugin"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_a_program_holds_leaves_the_old_one_serving_and_is_free_again_later() {
    let Some(mut lab) = Lab::new().await else { return };
    let one = lab.version("1").await;
    lab.roll_out(&lab.release(&[("compose.yaml", &lab.compose(""))], &one).await).await.unwrap();
    let (old, held) = (lab.door(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    lab.port = held.local_addr().unwrap().port();
    let release = lab.release(&[("compose.yaml", &lab.compose(""))], &one).await;
    let TargetError::Blocked(told) = lab.roll_out(&release).await.unwrap_err() else { panic!() };
    assert!(told.contains("taken already"), "{told}");
    assert_eq!(get(old, "/version").await.as_deref(), Some("1"));
    drop(held);
    lab.roll_out(&release).await.unwrap();
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("1"));
}
