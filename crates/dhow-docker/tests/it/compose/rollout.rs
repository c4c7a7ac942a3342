use dhow_core::port::{Place, Target as _};

use crate::compose::support::{Lab, get};

#[tokio::test(flavor = "multi_thread")]
async fn only_the_service_that_changed_is_recreated() {
    let Some(lab) = Lab::new().await else { return };
    let (one, two) = (lab.version("1").await, lab.version("2").await);
    let file = lab.compose(&format!("  other:\n    image: {}:1\n", lab.repository("web")));
    let file = file.replace("  other:", "    restart: \"no\"\n  other:");
    let release = lab.release(&[("compose.yaml", &file)], &one).await;
    lab.roll_out(&release).await.unwrap();
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("1"));
    let file = file.replace("  other:", "    environment: { SECRET_WORD: hunter2 }\n  other:");
    let changed = lab.release(&[("compose.yaml", &file)], &one).await;
    let other = lab.ids("other").await;
    let steps = lab.plan(&changed).await.unwrap();
    let told = format!("{steps:?}");
    assert!(told.contains("recreate web (environment SECRET_WORD)"), "{told}");
    assert!(!told.contains("hunter2"), "a value is in the plan");
    lab.roll_out(&changed).await.unwrap();
    assert_eq!(lab.ids("other").await, other);
    let updated = lab.release(&[("compose.yaml", &file)], &two).await;
    lab.roll_out(&updated).await.unwrap();
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("2"));
    let observed = lab.target().observe(&updated.0.rendered, &Place::Local).await.unwrap();
    let gap = observed.body["current"]["gap_ms"].as_u64().unwrap();
    assert!((1..60_000).contains(&gap), "there was no service for {gap} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_image_is_pulled_by_its_digest() {
    let Some(lab) = Lab::new().await else { return };
    let one = lab.version("1").await;
    lab.forget(&one).await;
    let release = lab.release(&[("compose.yaml", &lab.compose(""))], &one).await;
    lab.roll_out(&release).await.unwrap();
    let observed = lab.target().observe(&release.0.rendered, &Place::Local).await.unwrap();
    assert!(observed.running.contains(&one.digest), "{:?}", observed.running);
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_are_gone_are_removed_and_others_left_alone() {
    let Some(lab) = Lab::new().await else { return };
    let Some(neighbour) = Lab::new().await else { return };
    let one = lab.version("1").await;
    let other = neighbour.version("1").await;
    let release = neighbour.release(&[("compose.yaml", &neighbour.compose(""))], &other).await;
    neighbour.roll_out(&release).await.unwrap();
    let file = lab.compose(&format!("  old:\n    image: {}:1\n", lab.repository("web")));
    lab.roll_out(&lab.release(&[("compose.yaml", &file)], &one).await).await.unwrap();
    assert_eq!(lab.ids("old").await.len(), 1);
    let web = lab.ids("web").await;
    let less = lab.release(&[("compose.yaml", &lab.compose(""))], &one).await;
    assert!(format!("{:?}", lab.plan(&less).await.unwrap()).contains("remove old"));
    lab.roll_out(&less).await.unwrap();
    assert!(lab.ids("old").await.is_empty());
    assert_eq!(lab.ids("web").await, web);
    lab.target().remove(&less.0.rendered.deployment, &Place::Local, 1).await.unwrap();
    assert_eq!(get(neighbour.door(), "/version").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_killed_by_hand_is_told_and_mended() {
    let Some(lab) = Lab::new().await else { return };
    let one = lab.version("1").await;
    let release = lab.release(&[("compose.yaml", &lab.compose(""))], &one).await;
    lab.roll_out(&release).await.unwrap();
    let target = lab.target();
    target.observe(&release.0.rendered, &Place::Local).await.unwrap();
    // The stream of events is open when a first event has come through it.
    let told = loop {
        lab.docker(&["restart", "--time", "0", &lab.ids("web").await[0]]).await;
        let soon = tokio::time::timeout(std::time::Duration::from_secs(2), target.drifted()).await;
        if let Ok(told) = soon {
            break told;
        }
    };
    assert_eq!(told, release.0.rendered.deployment);
    lab.docker(&["kill", &lab.ids("web").await[0]]).await;
    assert_eq!(target.drifted().await, release.0.rendered.deployment);
    let verified = target.verify(&release.0.rendered, &release.0.hash, &Place::Local).await;
    assert!(verified.unwrap_err().to_string().contains("does not run"));
    lab.roll_out(&release).await.unwrap();
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("1"));
}
