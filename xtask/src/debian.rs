//! Installing Debian packages, without starting the services that they bring.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::process;

/// Debian asks this program before it starts a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Exit 101: "do not start it". The second line is how a leftover of ours is known.
const REFUSE: &str = "#!/bin/sh\n# Written by dhow's cargo xtask; removed when it ends.\nexit 101\n";

/// Installs the packages with `apt-get`: one `update`, one `install`.
///
/// Fails with the line to type where this is no Debian or we are not root. Interrupted, it is run again:
/// `apt-get` takes up what it left.
pub fn install(packages: &[&str]) -> anyhow::Result<()> {
    let line = format!("apt-get install {}", packages.join(" "));
    if process::find("apt-get").is_none() {
        bail!("no apt-get here. Install by hand what `{line}` installs on Debian, then run this again");
    }
    if !is_root() {
        bail!("only root can install packages. Run `sudo {line}`, then run this again");
    }
    eprintln!("xtask: installing {}", packages.join(", "));
    let _guard = Services::kept_down()?;
    process::run(apt().arg("update"))?;
    process::run(apt().args(["install", "--yes", "--no-install-recommends"]).args(packages))
        .with_context(|| format!("could not install {}", packages.join(", ")))
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.args(["-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]);
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

/// Whether we run as root: who owns our own process, as Linux shows it.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// While it lives, an installed package starts no service. A policy of the machine's own stays as it is.
struct Services {
    ours: bool,
}

impl Services {
    fn kept_down() -> anyhow::Result<Self> {
        let policy = Path::new(POLICY);
        match fs::read_to_string(policy) {
            // Left by a run that was killed: ours to use, and to remove.
            Ok(text) if text == REFUSE => return Ok(Self { ours: true }),
            Ok(_) => return Ok(Self { ours: false }),
            Err(_) => {}
        }
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(policy);
        file.and_then(|mut file| file.write_all(REFUSE.as_bytes()))
            .with_context(|| format!("cannot write {POLICY}, which keeps new services from starting"))?;
        Ok(Self { ours: true })
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("xtask: remove {POLICY} by hand, it keeps services from starting: {error}");
        }
    }
}
