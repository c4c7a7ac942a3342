//! A fleet over SSH: a real sshd, as an ordinary process with keys of its own.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::process::{git, run};
use crate::support::{DEADLINE, Fleet, SHOP, engines, site};

async fn words(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    run(command).await.ok().stdout.trim().to_owned()
}

/// An sshd on a free port of this machine that lets in who has `key`, and the client's configuration for it.
struct Sshd {
    _child: Child,
    command: String,
    port: u16,
    user: String,
}

impl Sshd {
    /// None where a program is missing.
    async fn start(folder: &Path) -> Option<Self> {
        let sshd = engines::find("sshd")?;
        let keygen = engines::find("ssh-keygen")?;
        engines::find("ssh")?;
        let at = |name: &str| folder.join(name).display().to_string();
        for key in ["host_key", "key"] {
            words(&keygen.display().to_string(), &["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]).await;
        }
        std::fs::copy(at("key.pub"), at("authorized_keys")).unwrap();
        let host_key = std::fs::read_to_string(at("host_key.pub")).unwrap();
        // Another process may take a port that was just free: then the next one is tried.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = format!(
                "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
                 StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n",
                at("host_key"),
                at("authorized_keys")
            );
            std::fs::write(at("sshd_config"), config).unwrap();
            let mut command = Command::new(&sshd);
            command.args(["-D", "-e", "-f", &at("sshd_config")]).stdin(Stdio::null()).stdout(Stdio::null());
            let mut child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
            let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
            let listens = async {
                while let Some(line) = lines.next_line().await.unwrap() {
                    if line.contains("listening on 127.0.0.1") {
                        return true;
                    }
                    eprintln!("sshd: {line}");
                }
                false
            };
            if !timeout(DEADLINE, listens).await.unwrap() {
                continue;
            }
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            std::fs::write(at("known_hosts"), format!("[localhost]:{port} {host_key}")).unwrap();
            let client = format!(
                "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nStrictHostKeyChecking yes\nBatchMode yes\n",
                at("key"),
                at("known_hosts")
            );
            std::fs::write(at("ssh_config"), client).unwrap();
            let user = words("id", &["-un"]).await;
            return Some(Self { _child: child, command: format!("ssh -F {}", at("ssh_config")), port, user });
        }
        panic!("sshd does not start; is /run/sshd there? `cargo xtask engines ssh` makes it");
    }

    fn url(&self, path: &Path) -> String {
        format!("ssh://{}@localhost:{}{}", self.user, self.port, path.display())
    }
}

#[tokio::test]
async fn a_fleet_over_ssh_is_followed_and_pushed_to_with_the_users_own_configuration() {
    let keys = tempfile::tempdir().unwrap();
    let Some(sshd) = Sshd::start(keys.path()).await else { return };
    let fleet = Fleet::with(&SHOP).await;
    let url = sshd.url(&fleet.bare());
    let serve = fleet.serve().url(&url).env("GIT_SSH_COMMAND", &sshd.command).start().await;
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    assert_eq!(serve.page("shop.stage.localhost", "/").await.1, "<h1>one</h1>\n");
    assert!(fleet.log().await[0].contains("web 1.0.0"));

    // A person's push, over SSH too, is followed.
    let mut push = git(&fleet.home());
    push.env("GIT_SSH_COMMAND", &sshd.command).arg("-C").arg(fleet.work());
    push.args(["pull", "--quiet", "--rebase", &url, "main"]);
    run(push).await.ok();
    fleet.write(&[("services/page/static_file/stage/index.html", "<h1>page</h1>\n")]);
    fleet.in_work(&["add", "--all"]).await.ok();
    fleet.in_work(&["commit", "--quiet", "-m", "a page"]).await.ok();
    let mut push = git(&fleet.home());
    push.env("GIT_SSH_COMMAND", &sshd.command).arg("-C").arg(fleet.work());
    push.args(["push", "--quiet", &url, "HEAD:main"]);
    run(push).await.ok();
    serve.until("status?service=page", |s| s["deployments"][0]["health"] == "healthy").await;
}

#[tokio::test]
async fn a_key_that_is_not_let_in_is_told_in_the_status() {
    let keys = tempfile::tempdir().unwrap();
    let Some(sshd) = Sshd::start(keys.path()).await else { return };
    std::fs::write(keys.path().join("authorized_keys"), "").unwrap();
    let fleet = Fleet::with(&SHOP).await;
    let url = sshd.url(&fleet.bare());
    let serve = fleet.serve().url(&url).env("GIT_SSH_COMMAND", &sshd.command).start().await;
    let status = serve.until("status", |s| s["problems"].to_string().contains("Permission denied")).await;
    assert!(status["problems"][0].as_str().unwrap().starts_with("the fleet cannot be read"), "{status:#}");
}
