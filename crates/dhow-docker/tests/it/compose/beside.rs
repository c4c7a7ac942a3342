use std::net::SocketAddr;
use std::sync::Arc;

use dhow_core::fleet::Route;
use dhow_core::port::{CheckAddress, Front, Phase, Target as _, TargetError};
use dhow_testkit::engines::Image;

use crate::compose::support::{Lab, Upstreams, get};

async fn routed() -> Option<(Lab, Arc<Upstreams>)> {
    let mut lab = Lab::new().await?;
    let table = Arc::new(Upstreams::default());
    lab.routes = table.clone();
    lab.settings.route =
        Some(Route { service: Some("web".into()), port: Some(8080), host: "x".into(), ..Route::default() });
    Some((lab, table))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_candidate_is_checked_at_its_own_address_while_the_old_one_serves() {
    let Some((lab, table)) = routed().await else { return };
    let (one, two) = (lab.version("1").await, lab.version("2").await);
    let file = format!("services:\n  web:\n    image: {}:1\n", lab.repository("web"));
    let first = lab.release(&[("compose.yaml", &file)], &one).await;
    lab.roll_out(&first).await.unwrap();
    let second = lab.release(&[("compose.yaml", &file)], &two).await;
    let (target, context) = (lab.target(), &second.0);
    let steps = lab.plan(&second).await.unwrap();
    for step in steps.iter().filter(|step| step.phase < Phase::Switching) {
        target.execute(step, context).await.unwrap();
    }
    let CheckAddress::Tcp(candidate) = target
        .address(&context.rendered, &context.hash, &dhow_core::port::Place::Local, Front::Candidate)
        .await
        .unwrap()
    else {
        panic!()
    };
    assert_eq!(get(candidate, "/version").await.as_deref(), Some("2"));
    let serving = table.0.lock().unwrap()[&context.rendered.deployment][0];
    assert_eq!(get(serving, "/version").await.as_deref(), Some("1"));
    for step in steps.iter().filter(|step| step.phase >= Phase::Switching) {
        target.execute(step, context).await.unwrap();
    }
    let serving = table.0.lock().unwrap()[&context.rendered.deployment].clone();
    assert_eq!(serving, [candidate]);
    assert_eq!(lab.ids("web").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_ones_are_described_by_the_route_that_led_to_them() {
    let Some((mut lab, table)) = routed().await else { return };
    let one = lab.version("1").await;
    let file = format!("services:\n  web:\n    image: {}:1\n", lab.repository("web"));
    lab.roll_out(&lab.release(&[("compose.yaml", &file)], &one).await).await.unwrap();
    lab.settings.route.as_mut().unwrap().port = Some(8081);
    let moved = file + "    environment: {PORT: '8081'}\n";
    lab.roll_out(&lab.release(&[("compose.yaml", &moved)], &one).await).await.unwrap();
    let drained = table.1.lock().unwrap().clone();
    assert_eq!(drained.iter().map(SocketAddr::port).collect::<Vec<_>>(), [8080]);
    let serving = table.0.lock().unwrap().values().next().unwrap()[0];
    assert_eq!(serving.port(), 8081);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_crashes_never_gets_a_request_and_is_gone() {
    let Some((lab, table)) = routed().await else { return };
    let one = lab.version("1").await;
    let file = format!("services:\n  web:\n    image: {}:1\n", lab.repository("web"));
    let first = lab.release(&[("compose.yaml", &file)], &one).await;
    lab.roll_out(&first).await.unwrap();
    let ids = lab.ids("web").await;
    let serving = table.0.lock().unwrap().clone();
    for (tag, name, value) in [("start", "CRASH", "start"), ("sick", "HEALTH", "fail")] {
        let image = Image::server(&lab.parts, tag).env(name, value).line(
            "HEALTHCHECK --interval=200ms --timeout=2s --retries=1 --start-period=1ms CMD [\"/server\", \"check\"]",
        );
        let bad = lab.push("web", tag, image).await;
        let second = lab.release(&[("compose.yaml", &file)], &bad).await;
        let error = lab.roll_out(&second).await.unwrap_err();
        assert!(matches!(&error, TargetError::Failed(told) if told.contains("log")), "{error}");
        assert_eq!(*table.0.lock().unwrap(), serving);
        assert_eq!(lab.ids("web").await, ids);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_doubled_while_both_run_and_halved_after() {
    let Some((lab, table)) = routed().await else { return };
    let (one, two) = (lab.version("1").await, lab.version("2").await);
    let file =
        format!("services:\n  web:\n    image: {}:1\n    deploy: {{ replicas: 2 }}\n", lab.repository("web"));
    lab.roll_out(&lab.release(&[("compose.yaml", &file)], &one).await).await.unwrap();
    let old = lab.ids("web").await;
    assert_eq!(old.len(), 2);
    let second = lab.release(&[("compose.yaml", &file)], &two).await;
    for step in lab.plan(&second).await.unwrap() {
        lab.target().execute(&step, &second.0).await.unwrap();
        if step.phase == Phase::Switching {
            assert_eq!(lab.ids("web").await.len(), 4);
        }
    }
    let now = lab.ids("web").await;
    assert!(now.len() == 2 && now.iter().all(|id| !old.contains(id)), "{now:?}");
    let serving = table.0.lock().unwrap()[&second.0.rendered.deployment].clone();
    assert_eq!(serving.len(), 2);
    assert_eq!(lab.plan(&second).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_is_taken_back_leaves_the_route_where_it_was() {
    let Some((lab, table)) = routed().await else { return };
    let one = lab.version("1").await;
    let image = format!("{}:1", lab.repository("web"));
    let file = |mark: &str| {
        format!(
            "services:\n  web: {{ image: \"{image}\" }}\n  worker:\n    image: \"{image}\"\n    environment: {{ MARK: \
             \"{mark}\" }}\n"
        )
    };
    lab.roll_out(&lab.release(&[("compose.yaml", &file("1"))], &one).await).await.unwrap();
    let serving = table.0.lock().unwrap().clone();
    let second = lab.release(&[("compose.yaml", &file("2"))], &one).await;
    let (target, context) = (lab.target(), &second.0);
    let steps = lab.plan(&second).await.unwrap();
    let done: Vec<_> = steps.iter().filter(|step| step.phase <= Phase::Switching).collect();
    for step in &done {
        target.execute(step, context).await.unwrap();
    }
    for step in done.iter().rev() {
        target.undo(step, context).await.unwrap();
        assert_eq!(*table.0.lock().unwrap(), serving, "after {}", step.key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_too_many_gets_no_request_before_it_is_stopped() {
    let Some((lab, table)) = routed().await else { return };
    let one = lab.version("1").await;
    let file = |replicas: u8| {
        let image = format!("{}:1", lab.repository("web"));
        format!("services:\n  web:\n    image: {image}\n    deploy: {{ replicas: {replicas} }}\n")
    };
    lab.roll_out(&lab.release(&[("compose.yaml", &file(2))], &one).await).await.unwrap();
    assert_eq!(lab.ids("web").await.len(), 2);
    let fewer = lab.release(&[("compose.yaml", &file(1))], &one).await;
    // The table itself refuses to drain what it still leads to.
    lab.roll_out(&fewer).await.unwrap();
    assert_eq!(lab.ids("web").await.len(), 1);
    assert_eq!(table.0.lock().unwrap()[&fewer.0.rendered.deployment].len(), 1);
    assert_eq!(lab.plan(&fewer).await.unwrap(), []);
}
