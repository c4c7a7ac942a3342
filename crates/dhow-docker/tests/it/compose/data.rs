use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dhow_core::port::{Place, Target as _};
use dhow_testkit::engines::Image;
use dhow_testkit::rounds;

use crate::compose::support::{Lab, get, post};
use crate::proxy::bench::free;

/// Writes rows one after another until it is told to stop; gives how many were confirmed.
async fn write_rows(db: SocketAddr, stop: Arc<AtomicBool>) -> usize {
    let mut rows = 0;
    while !stop.load(Ordering::Relaxed) {
        post(db, "/rows", "a row").await.unwrap_or_else(|error| panic!("row {rows}: {error}"));
        rows += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_and_its_neighbour_on_files_outlive_updates_and_no_row_is_lost() {
    let Some(lab) = Lab::new().await else { return };
    let db = lab.push("db", "1", Image::server(&lab.parts, "db").env("DATA", "/data")).await;
    let rows = free();
    let more = format!(
        "  db:\n    image: {0}:1\n    volumes: [\"./data:/data\"]\n    ports: [\"{rows}:8080\"]\n  proxy:\n    image: \
         {0}:1\n    volumes: [\"./conf:/conf:ro\"]\n    configs: [c]\nconfigs: {{ c: {{ file: ./c.txt }} }}\n",
        db.repository
    );
    let file = lab.compose(&more);
    let versions = [lab.version("1").await, lab.version("2").await];
    let files = [("compose.yaml", file.as_str()), ("conf/a", "1"), ("c.txt", "1"), ("data/.gitkeep", "")];
    lab.roll_out(&lab.release(&files, &versions[0]).await).await.unwrap();
    let ids = (lab.ids("db").await, lab.ids("proxy").await);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(write_rows(rows, Arc::clone(&stop)));
    for number in 1..=rounds(4) {
        lab.roll_out(&lab.release(&files, &versions[number % 2]).await).await.unwrap();
        assert_eq!(get(lab.door(), "/version").await.as_deref(), Some(["1", "2"][number % 2]));
        let now = (lab.ids("db").await, lab.ids("proxy").await);
        assert_eq!(now, ids, "recreated by update {number}");
    }
    stop.store(true, Ordering::Relaxed);
    let written = writer.await.unwrap();
    assert!(written > 20, "{written}");
    assert_eq!(get(rows, "/rows").await, Some(written.to_string()));
    let pin = &versions[0];
    for (changed, what) in
        [([("conf/a", "2"), ("c.txt", "1")], "conf"), ([("conf/a", "2"), ("c.txt", "2")], "c")]
    {
        let before = lab.ids("proxy").await;
        let files = [&[("compose.yaml", file.as_str())], changed.as_slice()].concat();
        lab.roll_out(&lab.release(&files, pin).await).await.unwrap();
        assert_ne!(lab.ids("proxy").await, before, "{what} changed, and proxy was not recreated");
        assert_eq!(lab.ids("db").await, ids.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn removal_leaves_volumes_and_data() {
    let Some(lab) = Lab::new().await else { return };
    let one = lab.version("1").await;
    let file = lab.compose("    volumes: [\"./data:/data\", \"box:/box\"]\nvolumes: { box: {} }\n");
    let release = lab.release(&[("compose.yaml", &file)], &one).await;
    lab.roll_out(&release).await.unwrap();
    let data = lab.local.home.join(format!("compose/stage/{}/data/data", lab.service));
    std::fs::write(data.join("row"), "1").unwrap();
    lab.target().remove(&release.0.rendered.deployment, &Place::Local, 1).await.unwrap();
    assert!(lab.ids("web").await.is_empty());
    let volumes = lab.lines(&["volume", "ls", "--quiet"]).await;
    assert!(volumes.contains(&format!("{}_box", lab.project())), "{volumes:?}");
    assert!(data.join("row").exists());
    lab.roll_out(&release).await.unwrap();
    assert!(data.join("row").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn old_releases_and_their_images_are_pruned_and_what_is_kept_can_be_restored() {
    let Some(lab) = Lab::new().await else { return };
    let file = lab.compose("    volumes: [\"./conf:/conf:ro\"]\n");
    let mut releases = Vec::new();
    for number in 1..=3 {
        let pin = lab.version(&number.to_string()).await;
        let conf = number.to_string();
        lab.forget(&pin).await;
        let files = [("compose.yaml", file.as_str()), ("conf/a", conf.as_str())];
        let mut release = lab.release(&files, &pin).await;
        release.0.keep = releases
            .last()
            .map(|(_, r): &(_, crate::compose::support::Release)| r.0.hash)
            .into_iter()
            .collect();
        lab.roll_out(&release).await.unwrap();
        releases.push((pin, release));
    }
    let id = &releases[0].1.0.rendered.deployment;
    let there = lab.target().releases(id, &Place::Local).await.unwrap();
    let hashes: Vec<_> = there.iter().map(|release| release.hash).collect();
    assert!(!hashes.contains(&releases[0].1.0.hash) && hashes.contains(&releases[1].1.0.hash), "{there:?}");
    let image = |number: usize| format!("{}@{}", releases[number].0.repository, releases[number].0.digest);
    assert!(!lab.docker(&["image", "inspect", &image(0)]).await.status.success(), "its image is still there");
    assert!(lab.docker(&["image", "inspect", &image(1)]).await.status.success());
    // The registry is not needed for the way back.
    lab.registry.lock(Some("nobody"));
    lab.roll_out(&releases[1].1).await.unwrap();
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_was_renamed_finds_its_data() {
    let Some(mut lab) = Lab::new().await else { return };
    let one = lab.version("1").await;
    let file = lab.compose("    volumes: [\"./data:/data\"]\n");
    let release = lab.release(&[("compose.yaml", &file)], &one).await;
    lab.roll_out(&release).await.unwrap();
    let former = release.0.rendered.deployment.clone();
    let data = lab.local.home.join(format!("compose/stage/{}/data/data", lab.service));
    std::fs::write(data.join("row"), "1").unwrap();
    lab.target().remove(&former, &Place::Local, 1).await.unwrap();
    lab.service = format!("{}new", lab.service);
    lab.settings.moved_from = Some(former);
    lab.roll_out(&lab.release(&[("compose.yaml", &file)], &one).await).await.unwrap();
    let web = lab.ids("web").await;
    let mounts = lab.lines(&["inspect", "--format", "{{json .Mounts}}", &web[0]]).await.concat();
    assert!(mounts.contains(&*data.to_string_lossy()), "{mounts}");
}
