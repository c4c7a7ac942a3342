use std::fs;
use std::time::{Duration, Instant};

use dhow_core::port::{BranchName, FleetRepo, FleetRepoError, PushOutcome, Relation};
use dhow_git::GitFleet;

use crate::lab::{Lab, draft, one_commit};

/// The same remote in the two ways that reach it on this machine.
async fn fleets(lab: &Lab) -> Vec<GitFleet> {
    let mut config = lab.config();
    config.remote = format!("file://{}", lab.remote().display()).into();
    config.mirror = lab.path("state/mirror-by-url");
    vec![lab.fleet().await, GitFleet::open(config).await.unwrap()]
}

#[tokio::test]
async fn other_peoples_commit_between_fetch_and_push_is_seen_and_not_lost() {
    let lab = Lab::with(&[("a", "1"), ("b", "1")]);
    for (at, fleet) in fleets(&lab).await.into_iter().enumerate() {
        let (parent, commit) = one_commit(&fleet, "a", &format!("ours {at}")).await;
        lab.git(&lab.path("clone"), &["pull", "-q", "--rebase", "origin", "main"]);
        let theirs = lab.others_commit(&[("b", &format!("theirs {at}"))]);
        assert_eq!(fleet.push(&commit, &parent).await.unwrap(), PushOutcome::Moved);
        assert_eq!(lab.remote_head(), theirs.as_str());

        let (parent, commit) = one_commit(&fleet, "a", &format!("ours {at}")).await;
        assert_eq!(parent, theirs);
        assert_eq!(fleet.push(&commit, &parent).await.unwrap(), PushOutcome::Pushed);
        assert_eq!(lab.git(&lab.remote(), &["show", "main:b"]), format!("theirs {at}"));
        assert_eq!(lab.git(&lab.remote(), &["show", "main:a"]), format!("ours {at}"));
        assert_eq!(fleet.fetch().await.unwrap().commit, commit);
    }
}

#[tokio::test]
async fn a_branch_that_was_set_back_is_not_pushed_forward_again() {
    let lab = Lab::with(&[("a", "1")]);
    let first = lab.remote_head();
    lab.others_commit(&[("a", "2")]);
    let fleet = lab.fleet().await;
    let (parent, commit) = one_commit(&fleet, "a", "3").await;
    lab.git(&lab.remote(), &["update-ref", "refs/heads/main", &first]);
    assert_eq!(fleet.push(&commit, &parent).await.unwrap(), PushOutcome::Moved);
    assert_eq!(lab.remote_head(), first);
}

#[tokio::test]
async fn a_commit_of_others_during_the_push_itself_is_seen() {
    let lab = Lab::with(&[("a", "1")]);
    let fleet = lab.fleet().await;
    let (parent, commit) = one_commit(&fleet, "a", "2").await;
    let first = lab.remote_head();
    // While the remote is in its hook, the branch moves.
    let tree = format!("{first}^{{tree}}");
    lab.hook(
        "pre-receive",
        &format!(
            "unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES\n\
             new=$(git -c user.name=E -c user.email=e@e commit-tree {tree} -p {first} -m theirs)\n\
             git update-ref refs/heads/main $new"
        ),
    );
    assert_eq!(fleet.push(&commit, &parent).await.unwrap(), PushOutcome::Moved);
    let head = lab.remote_head();
    assert!(head != first && head != commit.as_str());
    assert_eq!(fleet.fetch().await.unwrap().commit.as_str(), head);
}

#[tokio::test]
async fn a_hook_that_refuses_is_quoted() {
    let lab = Lab::with(&[("a", "1")]);
    lab.hook("pre-receive", "echo 'No pushes on Fridays.' >&2; exit 1");
    for fleet in fleets(&lab).await {
        let (parent, commit) = one_commit(&fleet, "a", "2").await;
        let PushOutcome::Refused(why) = fleet.push(&commit, &parent).await.unwrap() else {
            panic!("not refused")
        };
        assert_eq!(why, "pre-receive hook declined\nNo pushes on Fridays.");
        assert_eq!(lab.remote_head(), parent.as_str());
    }
}

#[tokio::test]
async fn pushing_twice_is_pushing_once() {
    let lab = Lab::with(&[("a", "1")]);
    for (at, fleet) in fleets(&lab).await.into_iter().enumerate() {
        let (parent, commit) = one_commit(&fleet, "a", &format!("again {at}")).await;
        assert_eq!(fleet.push(&commit, &parent).await.unwrap(), PushOutcome::Pushed);
        assert_eq!(fleet.push(&commit, &parent).await.unwrap(), PushOutcome::Pushed);
    }
}

#[tokio::test]
async fn a_commit_that_drops_the_expected_one_is_not_pushed() {
    let lab = Lab::with(&[("a", "1")]);
    let fleet = lab.fleet().await;
    let (first, beside) = one_commit(&fleet, "a", "beside").await;
    let expected = lab.others_commit(&[("a", "2")]);
    fleet.fetch().await.unwrap();
    assert_eq!(fleet.relation(&first, &expected).await.unwrap(), Relation::Ahead);
    assert!(matches!(fleet.push(&beside, &expected).await, Err(FleetRepoError::Refused(_))));
    assert_eq!(lab.remote_head(), expected.as_str());
}

#[tokio::test]
async fn a_push_that_was_cut_is_seen_by_the_next_fetch() {
    let lab = Lab::with(&[("a", "1")]);
    // The remote has taken the commit, then never answers.
    lab.hook("post-receive", "exec sleep 300");
    let mut config = lab.config();
    config.timeout = Duration::from_secs(3);
    let fleet = GitFleet::open(config).await.unwrap();
    let (parent, commit) = one_commit(&fleet, "a", "2").await;
    let start = Instant::now();
    let error = fleet.push(&commit, &parent).await.unwrap_err();
    assert!(matches!(error, FleetRepoError::Unreachable { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(30));
    drop(fleet);
    let fleet = lab.fleet().await;
    assert_eq!(fleet.fetch().await.unwrap().commit, commit);
    assert_eq!(fleet.push(&commit, &parent).await.unwrap(), PushOutcome::Pushed);
}

#[tokio::test]
async fn a_commit_that_was_never_pushed_does_no_harm() {
    let lab = Lab::with(&[("a", "1")]);
    let fleet = lab.fleet().await;
    let (parent, _lost) = one_commit(&fleet, "a", "lost").await;
    drop(fleet);
    let fleet = lab.fleet().await;
    assert_eq!(fleet.fetch().await.unwrap().commit, parent);
    let (_, commit) = one_commit(&fleet, "a", "2").await;
    assert_eq!(fleet.push(&commit, &parent).await.unwrap(), PushOutcome::Pushed);
    assert_eq!(lab.git(&lab.remote(), &["rev-list", "--count", "main"]), "2");
}

#[tokio::test]
async fn proposals_go_to_their_own_branches_only_and_can_be_removed_twice() {
    let lab = Lab::with(&[("a", "1")]);
    let fleet = lab.fleet().await;
    let proposal = BranchName::new("dhow/production/web").unwrap();
    let (parent, first) = one_commit(&fleet, "a", "2").await;
    let second = fleet.write(draft(&parent, &[("a", Some("3"))])).await.unwrap();
    for commit in [&first, &second, &first] {
        assert_eq!(fleet.push_proposal(&proposal, Some(commit)).await.unwrap(), PushOutcome::Pushed);
        assert_eq!(lab.git(&lab.remote(), &["rev-parse", "refs/heads/dhow/production/web"]), commit.as_str());
    }
    assert_eq!(lab.remote_head(), parent.as_str());
    for _ in 0..2 {
        assert_eq!(fleet.push_proposal(&proposal, None).await.unwrap(), PushOutcome::Pushed);
        assert_eq!(lab.git(&lab.remote(), &["for-each-ref", "refs/heads/dhow"]), "");
    }
    for branch in ["main", "feature", "dhowish/x", "x/dhow/y"] {
        let branch = BranchName::new(branch).unwrap();
        assert!(matches!(fleet.push_proposal(&branch, Some(&first)).await, Err(FleetRepoError::Refused(_))));
        assert!(matches!(fleet.push_proposal(&branch, None).await, Err(FleetRepoError::Refused(_))));
    }
    assert_eq!(lab.remote_head(), parent.as_str());
}

#[tokio::test]
async fn the_fleets_own_branch_is_never_a_proposal() {
    let lab = Lab::with(&[("a", "1")]);
    let branch = BranchName::new("dhow/fleet").unwrap();
    lab.git(&lab.remote(), &["branch", "dhow/fleet", "main"]);
    let mut config = lab.config();
    config.branch = Some(branch.clone());
    let fleet = GitFleet::open(config).await.unwrap();
    let (_, commit) = one_commit(&fleet, "a", "2").await;
    assert!(matches!(fleet.push_proposal(&branch, Some(&commit)).await, Err(FleetRepoError::Refused(_))));
    assert!(matches!(fleet.push_proposal(&branch, None).await, Err(FleetRepoError::Refused(_))));
}

#[tokio::test]
async fn a_work_tree_that_takes_the_remotes_place_is_not_pushed_to() {
    let lab = Lab::with(&[("a", "1")]);
    let fleet = lab.fleet().await;
    let (parent, commit) = one_commit(&fleet, "a", "2").await;
    fs::rename(lab.remote(), lab.path("old.git")).unwrap();
    fs::rename(lab.path("clone"), lab.remote()).unwrap();
    assert!(matches!(fleet.push(&commit, &parent).await, Err(FleetRepoError::Refused(_))));
}
