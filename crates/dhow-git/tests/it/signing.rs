use std::fs;
use std::process::Command;

use dhow_core::port::{FleetRepo, FleetRepoError, PushOutcome};

use crate::lab::{Lab, draft, one_commit};

#[tokio::test]
async fn commits_are_signed_where_git_is_configured_to_sign() {
    let lab = Lab::with(&[("a", "1")]);
    let key = lab.path("id");
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
    assert!(made.success());
    let public = fs::read_to_string(lab.path("id.pub")).unwrap();
    fs::write(lab.path("signers"), format!("dhow@example.org {public}")).unwrap();
    // The folder of the lab is the home folder of its git.
    let config = format!(
        "[user]\n\tname = D\n\temail = dhow@example.org\n\tsigningKey = ~/id.pub\n[gpg]\n\tformat = ssh\n\
         [commit]\n\tgpgSign = true\n[gpg \"ssh\"]\n\tallowedSignersFile = {}\n",
        lab.path("signers").display()
    );
    fs::write(lab.path("gitconfig"), config).unwrap();
    let fleet = lab.fleet().await;
    let (parent, commit) = one_commit(&fleet, "a", "2").await;
    assert_eq!(fleet.push(&commit, &parent).await.unwrap(), PushOutcome::Pushed);
    let verified = lab.try_git(&lab.remote(), &["verify-commit", commit.as_str()]);
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(
        verified.status.success() && said.contains("Good \"git\" signature for dhow@example.org"),
        "{said}"
    );
}

#[tokio::test]
async fn a_commit_that_should_be_signed_and_cannot_is_not_written() {
    let lab = Lab::with(&[("a", "1")]);
    let config = "[user]\n\tsigningKey = /nowhere/id\n[gpg]\n\tformat = ssh\n[commit]\n\tgpgSign = true\n";
    fs::write(lab.path("gitconfig"), config).unwrap();
    let fleet = lab.fleet().await;
    let parent = fleet.fetch().await.unwrap().commit;
    let error = fleet.write(draft(&parent, &[("a", Some("2"))])).await.unwrap_err();
    assert!(matches!(&error, FleetRepoError::Refused(why) if why.contains("user.signingKey")), "{error}");
}
