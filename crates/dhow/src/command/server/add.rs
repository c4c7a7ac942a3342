//! `dhow server add`: the first contact. A host key is shown, and trusted when a person says so.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use dhow_core::noun::ServerName;
use dhow_docker::executor::{HostKey, Trust};

use super::servers::{FleetArgs, ReachArgs, known};
use crate::terminal::{Output, print, print_json};

/// Show a server's host key and, when you agree, trust it
#[derive(Debug, clap::Args)]
pub(super) struct Add {
    /// Name of the server in the fleet
    name: ServerName,
    #[command(flatten)]
    fleet: FleetArgs,
    #[command(flatten)]
    reach: ReachArgs,
    /// Trust the key of this fingerprint without asking; once more for a jump host
    #[arg(long, value_name = "FINGERPRINT")]
    yes: Vec<String>,
    /// How to print what came of it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Writes `<state>/known_hosts` by one rename for each key that is trusted. A crash leaves what was trusted before it.
pub(super) async fn run(args: Add) -> anyhow::Result<ExitCode> {
    let servers = args.fleet.servers().await?;
    known(&args.name, &servers)?;
    let executor = args.reach.places(&servers)?.server(&args.name)?;
    // A jump host first, then the server.
    for _ in 0..2 {
        match executor.trust().await? {
            Trust::Known(keys) => return told(&args, &keys),
            Trust::Unknown(key) => trust(&args, &key)?,
        }
    }
    match executor.trust().await? {
        Trust::Known(keys) => told(&args, &keys),
        Trust::Unknown(key) => bail!(
            "{} still shows a key that is not trusted, {}: where dhow.yaml has a fingerprint, that alone counts; mend it there",
            key.host,
            key.fingerprint
        ),
    }
}

fn trust(args: &Add, key: &HostKey) -> anyhow::Result<()> {
    let HostKey { fingerprint, host, kind, .. } = key;
    if !args.yes.contains(fingerprint) {
        anstream::eprintln!("{host} shows the host key {fingerprint} ({kind}).");
        anstream::eprintln!(
            "On the server itself `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints it."
        );
        if !args.yes.is_empty() {
            bail!("{host} shows {fingerprint}, which no --yes names: nothing was trusted");
        }
        if !std::io::stdin().is_terminal() {
            bail!("nobody can be asked here: compare the fingerprint, then add --yes {fingerprint}");
        }
        anstream::eprint!("Trust it? [yes/no] ");
        std::io::stderr().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).context("the answer cannot be read")?;
        if answer.trim() != "yes" {
            bail!("{host} is not trusted: nothing was changed");
        }
    }
    let file = args.reach.known_hosts();
    key.remember(&file).with_context(|| format!("{} cannot be written", file.display()))
}

fn told(args: &Add, keys: &[HostKey]) -> anyhow::Result<ExitCode> {
    match args.output {
        Output::Json => print_json(&serde_json::json!({ "server": args.name, "keys": keys }))?,
        Output::Text => {
            let keys: Vec<&str> = keys.iter().map(|key| key.fingerprint.as_str()).collect();
            print(&format!("{} is trusted: {}\n", args.name, keys.join(", ")))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
