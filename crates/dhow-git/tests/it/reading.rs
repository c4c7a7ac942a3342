use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use dhow_core::fleet::EntryKind;
use dhow_core::port::{CommitId, FleetRepo, FleetRepoError, PushOutcome, Relation};
use dhow_git::GitFleet;

use crate::lab::{Lab, draft, one_commit};

#[tokio::test]
async fn every_kind_of_entry_is_what_it_is_and_links_are_not_followed() {
    let lab = Lab::with(&[("b/file", "1"), ("b.txt", "2"), ("run.sh", "#!")]);
    let clone = lab.path("clone");
    fs::set_permissions(clone.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/etc/passwd", clone.join("link")).unwrap();
    symlink("b", clone.join("folder-link")).unwrap();
    let other = lab.remote_head();
    lab.git(&clone, &["add", "-A"]);
    lab.git(&clone, &["update-index", "--add", "--cacheinfo", &format!("160000,{other},sub")]);
    lab.git(&clone, &["commit", "-qm", "kinds"]);
    lab.git(&clone, &["push", "-q", "origin", "HEAD:main"]);
    let fleet = lab.fleet().await;
    let head = fleet.fetch().await.unwrap().commit;
    let tree = fleet.tree(&head).await.unwrap();
    let kinds: Vec<_> = tree.list("").unwrap().into_iter().map(|e| (e.name, e.kind)).collect();
    let expected = [
        ("b", EntryKind::Folder),
        ("b.txt", EntryKind::File),
        ("folder-link", EntryKind::Symlink),
        ("link", EntryKind::Symlink),
        ("run.sh", EntryKind::Executable),
        ("sub", EntryKind::Submodule),
    ];
    assert_eq!(kinds, expected.map(|(name, kind)| (name.to_owned(), kind)));
    for nothing in
        ["link", "folder-link/file", "sub", "sub/x", "b", "nothing", "b/file/x", "../fleet", "", "/b.txt"]
    {
        assert_eq!(tree.read(nothing).unwrap(), None, "{nothing}");
    }
    assert_eq!(tree.read("run.sh").unwrap().unwrap(), b"#!");
    assert!(tree.list("link").unwrap().is_empty() && tree.list("b.txt").unwrap().is_empty());
    let folder = lab.git(&clone, &["rev-parse", "HEAD:b"]);
    assert_eq!(tree.content("b").unwrap(), Some(folder));
    assert_eq!(tree.content("b/file").unwrap(), Some(lab.git(&clone, &["rev-parse", "HEAD:b/file"])));
    let file = tree.read("b/file").unwrap().unwrap();
    assert_eq!(tree.content("b/file").unwrap(), Some(tree.content_of(&file)));
    assert_eq!(tree.content("").unwrap(), Some(lab.git(&clone, &["rev-parse", "HEAD^{tree}"])));
    assert_eq!(tree.content("nothing/x").unwrap(), None);
}

#[tokio::test]
async fn a_huge_file_is_refused_and_the_rest_can_be_read() {
    let lab = Lab::with(&[("a", "1")]);
    let huge = fs::File::create(lab.path("clone/huge")).unwrap();
    huge.set_len(65 * 1024 * 1024).unwrap();
    lab.others_push("huge");
    let fleet = lab.fleet().await;
    let head = fleet.fetch().await.unwrap().commit;
    let tree = fleet.tree(&head).await.unwrap();
    let error = tree.read("huge").unwrap_err();
    assert!(error.to_string().contains("huge has 68157440 bytes"), "{error}");
    assert_eq!(tree.read("a").unwrap().unwrap(), b"1");
}

#[tokio::test]
async fn changes_are_files_with_folders_turned_into_files_and_modes_too() {
    let lab = Lab::with(&[
        ("same/x", "1"),
        ("dir/a", "1"),
        ("dir/b", "1"),
        ("f", "1"),
        ("run", "1"),
        ("gone/x/y", "1"),
    ]);
    let fleet = lab.fleet().await;
    let from = fleet.fetch().await.unwrap().commit;
    let clone = lab.path("clone");
    fs::remove_dir_all(clone.join("dir")).unwrap();
    fs::remove_dir_all(clone.join("gone")).unwrap();
    fs::remove_file(clone.join("f")).unwrap();
    fs::set_permissions(clone.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    lab.others_commit(&[("dir", "now a file"), ("f/new", "now a folder")]);
    let to = fleet.fetch().await.unwrap().commit;
    let expected = ["dir", "dir/a", "dir/b", "f", "f/new", "gone/x/y", "run"];
    assert_eq!(fleet.changed(&from, &to).await.unwrap(), expected);
    assert_eq!(fleet.changed(&to, &from).await.unwrap(), expected);
    assert!(fleet.changed(&to, &to).await.unwrap().is_empty());
}

#[tokio::test]
async fn history_says_who_what_and_where() {
    let lab = Lab::with(&[("a", "1"), ("dir/b", "1")]);
    let fleet = lab.fleet().await;
    let (first, ours) = one_commit(&fleet, "dir/b", "2").await;
    fleet.push(&ours, &first).await.unwrap();
    lab.git(&lab.path("clone"), &["pull", "-q", "--rebase", "origin", "main"]);
    let theirs = lab.others_commit(&[("c", "1")]);
    assert_eq!(fleet.fetch().await.unwrap().commit, theirs);

    let log = fleet.log(Some(&first), &theirs, 10).await.unwrap();
    let said: Vec<_> = log.iter().map(|c| (&c.id, c.author_name.as_str(), c.paths.join(","))).collect();
    assert_eq!(said, [(&theirs, "Grace", "c".to_owned()), (&ours, "Dhow", "dir/b".to_owned())]);
    assert_eq!(log[1].author_email, "dhow@localhost");
    assert!(log[1].message.ends_with("\nWhy: policy\n"), "{:?}", log[1].message);

    assert_eq!((&log[0].parents, &log[1].parents), (&vec![ours.clone()], &vec![first.clone()]));

    let all = fleet.log(None, &theirs, 10).await.unwrap();
    assert_eq!(all.len(), 3);
    assert!(all[2].parents.is_empty());
    assert_eq!(all[2].paths, ["a", "dir/b"]);
    assert_eq!(fleet.log(None, &theirs, 1).await.unwrap().len(), 1);
    assert!(fleet.log(Some(&theirs), &theirs, 10).await.unwrap().is_empty());

    assert_eq!(fleet.relation(&first, &theirs).await.unwrap(), Relation::Ahead);
    assert_eq!(fleet.relation(&theirs, &first).await.unwrap(), Relation::Diverged);
    assert_eq!(fleet.relation(&theirs, &theirs).await.unwrap(), Relation::Same);
    let unknown = CommitId::new("1".repeat(40)).unwrap();
    assert_eq!(fleet.relation(&unknown, &theirs).await.unwrap(), Relation::Diverged);
    assert!(matches!(fleet.tree(&unknown).await, Err(FleetRepoError::Damaged(_))));
}

#[tokio::test]
async fn a_branch_that_was_force_pushed_is_diverged() {
    let lab = Lab::with(&[("a", "1")]);
    lab.others_commit(&[("a", "2")]);
    let fleet = lab.fleet().await;
    let before = fleet.fetch().await.unwrap().commit;
    lab.git(&lab.path("clone"), &["reset", "-q", "--hard", "HEAD~1"]);
    lab.others_commit(&[("a", "3")]);
    let after = fleet.fetch().await.unwrap().commit;
    assert_ne!(before, after);
    assert_eq!(fleet.relation(&before, &after).await.unwrap(), Relation::Diverged);
    assert_eq!(fleet.tree(&after).await.unwrap().read("a").unwrap().unwrap(), b"3");
    assert_eq!(fleet.tree(&before).await.unwrap().read("a").unwrap().unwrap(), b"2");
}

#[tokio::test]
async fn a_folder_of_a_repository_is_a_fleet_of_its_own() {
    let lab = Lab::with(&[("README", "x"), ("ops/fleet/web/app.yaml", "v: 1")]);
    let mut config = lab.config();
    config.subfolder = Some("ops/fleet".into());
    let fleet = GitFleet::open(config).await.unwrap();
    let (parent, commit) = one_commit(&fleet, "web/app.yaml", "v: 2").await;
    let tree = fleet.tree(&commit).await.unwrap();
    assert_eq!(tree.read("web/app.yaml").unwrap().unwrap(), b"v: 2");
    assert_eq!(tree.read("README").unwrap(), None);
    assert_eq!(fleet.changed(&parent, &commit).await.unwrap(), ["web/app.yaml"]);
    fleet.push(&commit, &parent).await.unwrap();
    assert_eq!(lab.git(&lab.remote(), &["show", "main:ops/fleet/web/app.yaml"]), "v: 2");
    lab.git(&lab.path("clone"), &["pull", "-q", "origin", "main"]);
    let outside = lab.others_commit(&[("README", "y")]);
    fleet.fetch().await.unwrap();
    assert!(fleet.changed(&commit, &outside).await.unwrap().is_empty());
    assert!(fleet.log(Some(&commit), &outside, 5).await.unwrap()[0].paths.is_empty());

    fs::remove_dir_all(lab.path("clone/ops")).unwrap();
    let without = lab.others_push("the fleet is gone");
    fleet.fetch().await.unwrap();
    assert!(
        matches!(fleet.tree(&without).await, Err(FleetRepoError::Refused(_))),
        "an empty fleet would be taken down"
    );
    assert_eq!(fleet.changed(&commit, &without).await.unwrap(), ["web/app.yaml"]);
}

#[tokio::test]
async fn asking_a_local_remote_for_nothing_new_starts_no_git() {
    let lab = Lab::with(&[("a", "1")]);
    let fleet = lab.fleet().await;
    let head = fleet.fetch().await.unwrap();
    // With this no git command works any more.
    fs::write(lab.path("gitconfig"), "[broken").unwrap();
    assert!(!lab.try_git(&lab.remote(), &["rev-parse", "HEAD"]).status.success());
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(fleet.fetch().await.unwrap(), head);
    }
    println!("fetch of nothing new: {:?}", start.elapsed() / 20);
}

#[tokio::test]
async fn a_change_of_one_line_is_written_and_pushed_without_delay() {
    let lab = Lab::with(&[("a", "1")]);
    let fleet = lab.fleet().await;
    let mut head = fleet.fetch().await.unwrap().commit;
    let mut best = Duration::MAX;
    for at in 0..10 {
        let start = Instant::now();
        let commit = fleet.write(draft(&head, &[("a", Some(&format!("{at}")))])).await.unwrap();
        let wrote = start.elapsed();
        assert_eq!(fleet.push(&commit, &head).await.unwrap(), PushOutcome::Pushed);
        println!("written in {wrote:?}, pushed in {:?}", start.elapsed() - wrote);
        best = best.min(start.elapsed());
        head = commit;
    }
    // Usual are 30 ms; the limit leaves room for a busy machine.
    assert!(best < Duration::from_millis(500), "{best:?}");
}

#[tokio::test]
async fn a_mirror_that_is_tidied_up_meanwhile_can_still_be_read_and_written() {
    let lab = Lab::with(&[("a", "1"), ("dir/b", "1")]);
    let fleet = lab.fleet().await;
    let (parent, commit) = one_commit(&fleet, "dir/b", "2").await;
    fleet.push(&commit, &parent).await.unwrap();
    let tree = fleet.tree(&commit).await.unwrap();
    assert_eq!(tree.list("").unwrap().len(), 2);
    lab.git(&lab.path("state/mirror"), &["gc", "-q", "--prune=now"]);
    assert_eq!(lab.git(&lab.path("state/mirror"), &["count-objects"]), "0 objects, 0 kilobytes");
    assert_eq!(tree.read("dir/b").unwrap().unwrap(), b"2");
    assert_eq!(fleet.fetch().await.unwrap().commit, commit);
    let (parent, next) = one_commit(&fleet, "a", "2").await;
    assert_eq!(fleet.push(&next, &parent).await.unwrap(), PushOutcome::Pushed);
    assert_eq!(fleet.changed(&commit, &next).await.unwrap(), ["a"]);
}
