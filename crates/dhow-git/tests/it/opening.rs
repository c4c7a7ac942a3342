use std::collections::BTreeMap;
use std::fs;

use dhow_core::port::{BranchName, FleetRepo, FleetRepoError};
use dhow_git::{GitFleet, GitFleetConfig, Identity, init_bare};

use crate::lab::{Lab, draft};

#[tokio::test]
async fn a_remote_with_a_work_tree_is_refused_with_advice() {
    let lab = Lab::with(&[("a", "1")]);
    for remote in
        [lab.path("clone"), lab.path("clone/.git"), format!("file://{}", lab.path("clone").display()).into()]
    {
        let mut config = lab.config();
        config.remote = remote.to_str().unwrap().to_owned().into();
        let Err(FleetRepoError::Refused(why)) = GitFleet::open(config).await else {
            panic!("{remote:?} was taken")
        };
        assert!(why.contains("git clone --bare"), "{why}");
    }
}

#[tokio::test]
async fn a_fleet_without_commits_says_so() {
    for branch in [None, Some(BranchName::new("main").unwrap()), Some(BranchName::new("other").unwrap())] {
        for url in ["", "file://"] {
            let lab = Lab::empty();
            let mut config = lab.config();
            config.remote = format!("{url}{}", lab.remote().display()).into();
            config.branch = branch.clone();
            let error = GitFleet::open(config).await.unwrap().fetch().await.unwrap_err();
            assert!(matches!(error, FleetRepoError::NoCommits { .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn a_remote_that_is_not_there_is_unreachable_in_gits_words_and_without_passwords() {
    let lab = Lab::empty();
    let mut config = lab.config();
    config.remote = lab.path("nothing.git").to_str().unwrap().to_owned().into();
    let error = GitFleet::open(config).await.unwrap().fetch().await.unwrap_err();
    assert!(matches!(error, FleetRepoError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("does not appear to be a git repository"), "{error}");

    let mut config = lab.config();
    config.remote = "http://me:s3cret-word@127.0.0.1:1/x.git".to_owned().into();
    assert!(!format!("{config:?}").contains("s3cret"));
    let fleet = GitFleet::open(config).await.unwrap();
    let error = fleet.fetch().await.unwrap_err();
    assert!(matches!(error, FleetRepoError::Unreachable { .. }), "{error}");
    assert!(!error.to_string().contains("s3cret") && error.to_string().contains("127.0.0.1"), "{error}");
    assert_eq!(fleet.remote(), "http://***@127.0.0.1:1/x.git");
}

#[tokio::test]
async fn a_head_that_names_no_branch_needs_a_named_branch() {
    let lab = Lab::with(&[("a", "1")]);
    lab.git(&lab.remote(), &["update-ref", "--no-deref", "HEAD", &lab.remote_head()]);
    let head = lab.remote_head();
    fs::write(lab.remote().join("HEAD"), format!("{head}\n")).unwrap();
    let error = lab.fleet().await.fetch().await.unwrap_err();
    assert!(matches!(&error, FleetRepoError::Refused(why) if why.contains("--branch")), "{error}");
}

#[tokio::test]
async fn a_mirror_survives_a_restart_and_reads_without_the_remote() {
    let lab = Lab::with(&[("a", "1")]);
    let head = lab.fleet().await.fetch().await.unwrap().commit;
    fs::rename(lab.remote(), lab.path("away.git")).unwrap();
    let fleet = lab.fleet().await;
    assert_eq!(fleet.tree(&head).await.unwrap().read("a").unwrap().unwrap(), b"1");
    assert!(fleet.fetch().await.is_err());
}

#[tokio::test]
async fn a_folder_with_other_things_is_no_mirror() {
    let lab = Lab::with(&[("a", "1")]);
    fs::create_dir_all(lab.path("state/mirror")).unwrap();
    fs::write(lab.path("state/mirror/photo.jpg"), "mine").unwrap();
    assert!(matches!(GitFleet::open(lab.config()).await, Err(FleetRepoError::Refused(_))));
    assert!(lab.path("state/mirror/photo.jpg").exists());
}

#[tokio::test]
async fn a_mirror_whose_making_was_cut_is_made_anew() {
    let lab = Lab::with(&[("a", "1")]);
    fs::create_dir_all(lab.path("state/mirror.new/objects")).unwrap();
    assert!(lab.fleet().await.fetch().await.is_ok());
}

#[tokio::test]
async fn a_fleet_made_for_the_demo_can_be_fetched_cloned_and_pushed_to() {
    let lab = Lab::empty();
    let path = lab.path("demo/fleet.git");
    let files: BTreeMap<String, Vec<u8>> =
        [("dhow.yaml", "x: 1\n"), ("stage/web/app.yaml", "v: 1\n")].map(|(p, c)| (p.into(), c.into())).into();
    let first = init_bare(&path, &files, &Identity::default()).unwrap();
    let mut config: GitFleetConfig = lab.config();
    config.remote = path.to_str().unwrap().to_owned().into();
    let fleet = GitFleet::open(config).await.unwrap();
    let head = fleet.fetch().await.unwrap();
    assert_eq!((head.commit.clone(), head.branch.as_str()), (first, "main"));
    let commit = fleet.write(draft(&head.commit, &[("stage/web/app.yaml", Some("v: 2\n"))])).await.unwrap();
    fleet.push(&commit, &head.commit).await.unwrap();
    lab.git(lab.folder.path(), &["clone", "-q", path.to_str().unwrap(), "copy"]);
    assert_eq!(fs::read_to_string(lab.path("copy/stage/web/app.yaml")).unwrap(), "v: 2\n");
    assert_eq!(lab.git(&path, &["fsck", "--strict"]), "");
    assert!(matches!(init_bare(&path, &files, &Identity::default()), Err(FleetRepoError::Refused(_))));
}
