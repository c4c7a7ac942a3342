//! What `dhow serve` itself needs on the machine that it runs on.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::{Finding, Standing, judge};

/// Time for one program.
const LIMIT: Duration = Duration::from_secs(10);
/// Oldest OpenSSH: it writes what `ssh -G` and strict host keys are read from.
const OLDEST_SSH: (u32, u32) = (8, 5);

pub(super) async fn all(state: Option<&Path>) -> Vec<Finding> {
    let mut found = vec![git(ask(&["git", "--version"]).await), ssh(ask(&["ssh", "-V"]).await)];
    if let Some(state) = state {
        found.extend(directory(state).await);
    }
    found
}

/// What a program says on both streams; none where it is not there or does not answer.
async fn ask(argv: &[&str]) -> Option<String> {
    let (program, arguments) = argv.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.ok()?.ok()?;
    let said = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&said).trim().chars().take(500).collect())
}

fn git(said: Option<String>) -> Finding {
    match said.filter(|said| said.starts_with("git version")) {
        Some(said) => Finding::new("git", Standing::Ok, said),
        None => {
            let message = "the command git is not there, which the fleet is read with: install git";
            Finding::new("git", Standing::Failed, message)
        }
    }
}

fn ssh(said: Option<String>) -> Finding {
    let Some(said) = said.filter(|said| said.starts_with("OpenSSH_")) else {
        let message =
            "OpenSSH's ssh is not there, which servers and fleets over SSH need: install openssh-client";
        return Finding::new("ssh", Standing::Warning, message);
    };
    let name = said.split([' ', ',']).next().unwrap_or_default().to_owned();
    let mut numbers = name.trim_start_matches("OpenSSH_").split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next().and_then(|text| text.parse::<u32>().ok()).unwrap_or_default();
    if (number(), number()) < OLDEST_SSH {
        let message = format!("{name} is too old for servers over SSH: Dhow needs OpenSSH 8.5");
        return Finding::new("ssh", Standing::Warning, message);
    }
    Finding::new("ssh", Standing::Ok, name)
}

/// The state directory: it can be written, and its disk has room.
async fn directory(state: &Path) -> Vec<Finding> {
    let shown = state.display();
    if !state.is_dir() {
        let message =
            format!("there is no state directory {shown} yet: `dhow serve --state {shown}` makes it");
        return vec![Finding::new("state", Standing::Warning, message)];
    }
    let written = tempfile::tempfile_in(state).and_then(|mut file| file.write_all(b"dhow"));
    let writable = match written {
        Ok(()) => Finding::new("state", Standing::Ok, format!("{shown} can be written")),
        Err(error) => {
            let advice = "give it to the user that `dhow serve` runs as, or make room on its disk";
            Finding::new("state", Standing::Failed, format!("{shown} cannot be written: {error}; {advice}"))
        }
    };
    let path = state.to_string_lossy();
    let df = async |kind: &str| {
        let said = ask(&["df", kind, "--", &path]).await.unwrap_or_default();
        said.lines().last().unwrap_or_default().to_owned()
    };
    let disk =
        judge::disk(&df("-Pk").await, &df("-Pi").await, "free space there, or move the state directory");
    vec![writable, Finding { check: "state", ..disk }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ssh_that_is_missing_or_too_old_is_told() {
        let good = ssh(Some("OpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL 3.0.15".into()));
        assert_eq!((good.standing, good.message.as_str()), (Standing::Ok, "OpenSSH_9.2p1"));
        assert!(ssh(Some("OpenSSH_7.4p1".into())).message.contains("too old"));
        assert!(ssh(Some("Dropbear".into())).message.contains("install openssh-client"));
        assert_eq!(git(None).standing, Standing::Failed);
    }

    #[tokio::test]
    async fn a_state_directory_is_written_for_a_try_and_left_as_it_was() {
        let state = tempfile::tempdir().unwrap();
        let found = directory(state.path()).await;
        assert!(found[0].message.contains("can be written"), "{found:?}");
        assert!(found[1].message.contains("GiB free"), "{found:?}");
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
        let missing = directory(&state.path().join("x")).await;
        assert_eq!(missing[0].standing, Standing::Warning);
    }
}
