//! Servers: what Dhow reaches over SSH.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use super::Docker;

/// All servers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Servers {
    /// Each of them.
    pub hosts: Vec<Server>,
}

/// A server: its own network, processes, people and files, with this machine's programs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Server {
    /// Its name, which is its host name.
    pub name: String,
    /// Where this machine reaches it; ports that its containers publish are here too.
    pub address: Ipv4Addr,
    /// The port of its sshd.
    pub port: u16,
    /// Who may log in: `root`; `deploy`, who may use Docker; `guest`, who may not.
    pub users: Vec<String>,
    /// The private key that lets all of them in.
    pub identity: PathBuf,
    /// A file with the host keys of all servers.
    pub known_hosts: PathBuf,
    /// The fingerprint of its host key, `SHA256:...`.
    pub fingerprint: String,
    /// Its network namespace, for `ip netns exec`.
    pub netns: String,
    /// This machine's end of the cable to it.
    pub link: String,
    /// This machine, as the server reaches it: where a test's registry listens, which Docker there takes over plain HTTP.
    pub gateway: Ipv4Addr,
    /// Its own files as this machine sees them: `/srv/x` there is `srv/x` in here. So are `/run`, `/opt`, `/home`,
    /// `/root`, `/tmp` and `/var`; everything else is this machine's.
    pub files: PathBuf,
    /// The process `sshd`, by this machine's ids.
    pub pid: u32,
    /// Its engine, at the usual socket there.
    pub docker: Docker,
}

impl Server {
    /// `ssh` to the server as this user, strict about the host key and without a word of the machine's configuration.
    /// The arguments to follow are the remote command.
    #[must_use]
    pub fn ssh(&self, user: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "IdentitiesOnly=yes",
        ]);
        ssh.arg("-o").arg(format!("UserKnownHostsFile={}", self.known_hosts.display()));
        ssh.arg("-i").arg(&self.identity).args(["-p", &self.port.to_string()]);
        ssh.arg(format!("{user}@{}", self.address));
        ssh
    }

    /// Cuts the server off: nothing reaches it any more, and open connections fall silent. Until the value is dropped.
    #[must_use = "the server is back when this is dropped"]
    pub fn cut(&self) -> Cut {
        let cut = Cut { netns: self.netns.clone() };
        assert!(cut.firewall("--insert"), "{} cannot be cut off", self.name);
        cut
    }
}

/// A server that is cut off.
#[derive(Debug)]
pub struct Cut {
    netns: String,
}

impl Cut {
    fn firewall(&self, verb: &str) -> bool {
        let mut ip = Command::new("ip");
        ip.args(["netns", "exec", &self.netns, "iptables", "--wait", "--table", "raw", verb, "PREROUTING"]);
        ip.args(["--in-interface", "eth0", "--jump", "DROP"]).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        // A panic here would hide why the test failed.
        if !self.firewall("--delete") {
            eprintln!("{} stays cut off: take the engines down and up", self.netns);
        }
    }
}
