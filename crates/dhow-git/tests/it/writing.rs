use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use dhow_core::port::{FleetRepo, FleetRepoError, PushOutcome};
use dhow_git::{GitFleet, Identity};

use crate::lab::{Lab, draft, one_commit};

#[tokio::test]
async fn a_commit_keeps_modes_and_every_other_file_byte_for_byte() {
    let lab =
        Lab::with(&[("run.sh", "1"), ("win.txt", "a\r\nb\r\n"), ("d/e/f", "1"), ("d/e/g", "\u{0}\u{1}")]);
    let clone = lab.path("clone");
    fs::set_permissions(clone.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("run.sh", clone.join("link")).unwrap();
    lab.others_push("modes");
    let before = lab.git(&lab.remote(), &["ls-tree", "-r", "main"]);
    let fleet = lab.fleet().await;
    let parent = fleet.fetch().await.unwrap().commit;
    let changes = [("run.sh", Some("2")), ("new/deep/file", Some("x")), ("d/e/f", None), ("not/there", None)];
    let commit = fleet.write(draft(&parent, &changes)).await.unwrap();
    assert_eq!(fleet.push(&commit, &parent).await.unwrap(), PushOutcome::Pushed);

    let after = lab.git(&lab.remote(), &["ls-tree", "-r", "main"]);
    let unchanged =
        |line: &&str| !line.ends_with("\trun.sh") && !line.ends_with("\td/e/f") && !line.contains("new/");
    assert_eq!(
        before.lines().filter(unchanged).collect::<Vec<_>>(),
        after.lines().filter(unchanged).collect::<Vec<_>>()
    );
    assert!(after.lines().any(|l| l.starts_with("100755") && l.ends_with("\trun.sh")), "{after}");
    assert!(after.lines().any(|l| l.starts_with("100644") && l.ends_with("\tnew/deep/file")), "{after}");
    assert_eq!(fleet.changed(&parent, &commit).await.unwrap(), ["d/e/f", "new/deep/file", "run.sh"]);
    assert_eq!(lab.git(&lab.remote(), &["fsck", "--strict"]), "");
    let shown = lab
        .git(&lab.remote(), &["log", "-1", "--format=%an <%ae>|%cn <%ce>|%P|%(trailers:key=Why,valueonly)"]);
    assert_eq!(shown.trim(), format!("Dhow <dhow@localhost>|Dhow <dhow@localhost>|{parent}|policy"));
}

#[tokio::test]
async fn removing_the_last_file_of_a_folder_removes_the_folder() {
    let lab = Lab::with(&[("a", "1"), ("d/e/f", "1")]);
    let fleet = lab.fleet().await;
    let parent = fleet.fetch().await.unwrap().commit;
    let commit = fleet.write(draft(&parent, &[("d/e/f", None)])).await.unwrap();
    let names: Vec<_> =
        fleet.tree(&commit).await.unwrap().list("").unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["a"]);
}

#[tokio::test]
async fn what_cannot_be_written_safely_is_refused_whole() {
    let lab = Lab::with(&[("a", "1"), ("d/f", "1")]);
    symlink("/etc", lab.path("clone/link")).unwrap();
    lab.others_push("link");
    let fleet = lab.fleet().await;
    let parent = fleet.fetch().await.unwrap().commit;
    for path in ["../x", "/x", "", "d", "link", "link/passwd", "a/b", ".git/config", "d/../a", "d//f"] {
        let written = fleet.write(draft(&parent, &[("ok", Some("1")), (path, Some("x"))])).await;
        assert!(matches!(written, Err(FleetRepoError::Refused(_))), "{path}: {written:?}");
    }
    let both = fleet.write(draft(&parent, &[("n", Some("1")), ("n/m", Some("1"))])).await;
    assert!(matches!(both, Err(FleetRepoError::Refused(_))), "{both:?}");
    let turned = fleet.write(draft(&parent, &[("a", None), ("d/f", Some("2"))])).await;
    assert!(turned.is_ok());
}

#[tokio::test]
async fn commits_are_in_the_name_that_git_or_the_configuration_gives() {
    let lab = Lab::with(&[("a", "1")]);
    fs::write(lab.path("gitconfig"), "[user]\n\tname = Ada\n\temail = ada@example.org\n").unwrap();
    let fleet = lab.fleet().await;
    let (_, commit) = one_commit(&fleet, "a", "2").await;
    let info = fleet.log(None, &commit, 1).await.unwrap().remove(0);
    assert_eq!((info.author_name.as_str(), info.author_email.as_str()), ("Ada", "ada@example.org"));

    let mut config = lab.config();
    config.author = Some(Identity { name: "Robot".into(), email: "r@example.org".into() });
    let fleet = GitFleet::open(config).await.unwrap();
    let (_, commit) = one_commit(&fleet, "a", "3").await;
    assert_eq!(fleet.log(None, &commit, 1).await.unwrap()[0].author_name, "Robot");
}
