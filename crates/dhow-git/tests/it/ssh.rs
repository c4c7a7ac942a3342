//! Over SSH, with a real server of our own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dhow_core::port::{FleetRepo, FleetRepoError, PushOutcome};
use dhow_git::GitFleet;

use crate::lab::{Lab, one_commit};

struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sshd() -> Option<PathBuf> {
    let found = ["/usr/sbin/sshd", "/usr/bin/sshd"].map(PathBuf::from).into_iter().find(|p| p.exists());
    if found.is_none() {
        assert!(
            std::env::var_os("DHOW_REQUIRE_ENGINES").is_none(),
            "sshd is not installed: apt-get install openssh-server"
        );
        println!("not run: sshd is not installed (apt-get install openssh-server)");
    }
    found
}

fn keygen(path: &Path) {
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status().unwrap();
    assert!(made.success());
}

fn serve(lab: &Lab, sshd: &Path) -> Server {
    keygen(&lab.path("host"));
    keygen(&lab.path("user"));
    fs::copy(lab.path("user.pub"), lab.path("authorized")).unwrap();
    // As root, the server wants a folder to drop its privileges into.
    let _ = fs::create_dir_all("/run/sshd");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
         PasswordAuthentication no\nPidFile none\nPermitRootLogin prohibit-password\n",
        lab.path("host").display(),
        lab.path("authorized").display()
    );
    fs::write(lab.path("sshd_config"), config).unwrap();
    let mut child = Command::new(sshd)
        .args(["-D", "-e", "-f"])
        .arg(lab.path("sshd_config"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    while !said.contains("Server listening") {
        let line = lines.next().unwrap_or_else(|| panic!("sshd did not start: {said}")).unwrap();
        said.push_str(&line);
    }
    std::thread::spawn(move || lines.for_each(drop));
    let host = fs::read_to_string(lab.path("host.pub")).unwrap();
    fs::write(lab.path("known"), format!("[127.0.0.1]:{port} {host}")).unwrap();
    Server { child, port }
}

#[tokio::test]
async fn a_fleet_over_ssh_is_fetched_written_and_pushed() {
    let Some(sshd) = sshd() else { return };
    let lab = Lab::with(&[("a", "1")]);
    let server = serve(&lab, &sshd);
    let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let mut config = lab.config();
    config.remote =
        format!("ssh://{}@127.0.0.1:{}{}", user.trim(), server.port, lab.remote().display()).into();
    let ssh = |known: &str| {
        format!(
            "ssh -F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={} -i {}",
            lab.path(known).display(),
            lab.path("user").display()
        )
    };
    config.environment.insert("GIT_SSH_COMMAND".into(), ssh("known").into());
    let fleet = GitFleet::open(config.clone()).await.unwrap();
    let (parent, commit) = one_commit(&fleet, "a", "2").await;
    assert_eq!(fleet.push(&commit, &parent).await.unwrap(), PushOutcome::Pushed);
    assert_eq!(lab.remote_head(), commit.as_str());
    assert_eq!(fleet.fetch().await.unwrap().commit, commit);

    lab.git(&lab.path("clone"), &["pull", "-q", "--rebase", "origin", "main"]);
    let (parent, late) = one_commit(&fleet, "a", "3").await;
    let theirs = lab.others_commit(&[("b", "1")]);
    assert_eq!(fleet.push(&late, &parent).await.unwrap(), PushOutcome::Moved);
    assert_eq!(fleet.fetch().await.unwrap().commit, theirs);

    // A server that nobody vouched for is not spoken to.
    config.environment.insert("GIT_SSH_COMMAND".into(), ssh("nobody").into());
    config.mirror = lab.path("state/other");
    let error = GitFleet::open(config).await.unwrap().fetch().await.unwrap_err();
    assert!(
        matches!(&error, FleetRepoError::Unreachable { reason, .. } if reason.contains("Host key verification")),
        "{error}"
    );
}
