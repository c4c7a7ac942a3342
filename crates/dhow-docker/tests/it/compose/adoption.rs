use std::fs;

use dhow_core::port::{Place, Target as _};
use dhow_testkit::engines::Image;

use crate::compose::support::{Lab, get};

/// Files of a person's own folder, started by hand.
async fn by_hand(lab: &Lab, files: &[(&str, &str)]) {
    let folder = lab.folder.path().join("hand");
    for (path, text) in files {
        fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
        fs::write(folder.join(path), text).unwrap();
    }
    let project = lab.project();
    let folder = folder.to_string_lossy().into_owned();
    let output = lab
        .docker(&[
            "compose",
            "-p",
            &project,
            "--project-directory",
            &folder,
            "-f",
            &format!("{folder}/compose.yaml"),
            "up",
            "-d",
        ])
        .await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_was_started_by_hand_is_adopted_without_recreating_anything() {
    let Some(lab) = Lab::new().await else { return };
    let one = lab.version("1").await;
    let db = lab.push("db", "1", Image::server(&lab.parts, "db")).await;
    let more = format!(
        "    environment: {{ WORD: \"${{WORD}}\" }}\n    env_file: web.env\n    secrets: [word]\n  db:\n    image: {}:1\n    \
         environment: {{ DATA: /data }}\n    volumes: [\"./data:/data\", \"./conf:/conf:ro\", \"box:/box\"]\nvolumes: {{ box: {{}} }}\n\
         secrets: {{ word: {{ file: ./word.txt }} }}\n",
        db.repository
    );
    let file = lab.compose(&more);
    let files = [
        ("compose.yaml", file.as_str()),
        (".env", "WORD=a$b\n"),
        ("web.env", "MORE=1\n"),
        ("word.txt", "hunter2"),
        ("conf/db.conf", "x=1\n"),
    ];
    by_hand(&lab, &files).await;
    let before = (lab.ids("web").await, lab.ids("db").await);
    let adopted = lab.release(&files, &one).await;
    assert_eq!(lab.plan(&adopted).await.unwrap(), [], "what runs is what the fleet says");
    let context = &adopted.0;
    lab.target().verify(&context.rendered, &context.hash, &Place::Local).await.unwrap();
    // An update of one service leaves the other as it was started, and its data where they are.
    let two = lab.version("2").await;
    let update = lab.release(&files, &two).await;
    lab.roll_out(&update).await.unwrap();
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("2"));
    assert_ne!(lab.ids("web").await, before.0);
    assert_eq!(lab.ids("db").await, before.1);
    // A failing one goes back to what runs.
    let bad = lab.push("web", "bad", Image::server(&lab.parts, "bad").env("CRASH", "start")).await;
    lab.roll_out(&lab.release(&files, &bad).await).await.unwrap_err();
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("2"));
    // The database is recreated only when it changes, and then finds its rows.
    let changed = file.replace("DATA: /data", "DATA: /data, X: \"1\"");
    let files = [("compose.yaml", changed.as_str()), files[1], files[2], files[3], files[4]];
    lab.roll_out(&lab.release(&files, &two).await).await.unwrap();
    let db = lab.ids("db").await;
    assert_ne!(db, before.1);
    let mounts = lab.lines(&["inspect", "--format", "{{json .Mounts}}", &db[0]]).await.concat();
    assert!(mounts.contains("/hand/data"), "{mounts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_update_of_an_adopted_project_that_fails_goes_back_to_it() {
    let Some(lab) = Lab::new().await else { return };
    let one = lab.version("1").await;
    let file = lab.compose("");
    by_hand(&lab, &[("compose.yaml", &file)]).await;
    assert_eq!(lab.plan(&lab.release(&[("compose.yaml", &file)], &one).await).await.unwrap(), []);
    // The folder that it was started from is gone by then.
    fs::remove_dir_all(lab.folder.path().join("hand")).unwrap();
    let bad = lab.push("web", "bad", Image::server(&lab.parts, "bad").env("CRASH", "start")).await;
    lab.roll_out(&lab.release(&[("compose.yaml", &file)], &bad).await).await.unwrap_err();
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_and_differs_is_shown_and_comes_back_where_the_first_rollout_fails() {
    let Some(lab) = Lab::new().await else { return };
    let one = lab.version("1").await;
    let file = lab.compose("");
    by_hand(&lab, &[("compose.yaml", &file)]).await;
    let ids = lab.ids("web").await;
    let changed = format!("{file}    environment: {{ X: \"1\" }}\n");
    let told =
        format!("{:?}", lab.plan(&lab.release(&[("compose.yaml", &changed)], &one).await).await.unwrap());
    assert!(told.contains("its configuration is not the one that it was started with"), "{told}");
    assert_eq!(lab.ids("web").await, ids, "looking has changed something");
    let bad = lab.push("web", "bad", Image::server(&lab.parts, "bad").env("CRASH", "start")).await;
    lab.roll_out(&lab.release(&[("compose.yaml", &changed)], &bad).await).await.unwrap_err();
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("1"));
    assert_eq!(lab.plan(&lab.release(&[("compose.yaml", &file)], &one).await).await.unwrap(), []);
}
