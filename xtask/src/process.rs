//! Running other programs: argument vectors, and errors that repeat the command.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// Folders of system programs (`sshd`) that a user's `PATH` often lacks.
const SYSTEM: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The cargo that runs us, at the root of the checkout.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The root of the checkout: where the workspace's `Cargo.toml` stands.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Runs a command to its end with our own output. Fails where it cannot start or does not exit 0.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Runs a command to its end and shows what it says only if it fails: for those that tell of every file.
pub fn run_quietly(command: &mut Command) -> anyhow::Result<()> {
    let shown = show(command);
    let output = command.output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` failed: {}\n{}", output.status, said.trim());
    }
    Ok(())
}

/// The command as a person would type it, for messages only.
pub fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Where a program is, in `PATH` or in the folders of system programs.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = search_path();
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// `PATH` with the folders of system programs at its end.
pub fn search_path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path).filter(|dir| dir.is_absolute());
    let dirs = dirs.chain(SYSTEM.iter().map(PathBuf::from));
    // Joining fails only for a folder with a colon in its name, which cannot come out of a split.
    env::join_paths(dirs).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_arguments() {
        let mut command = cargo();
        command.args(["no-such-command", "--flag"]).stderr(std::process::Stdio::null());
        let message = run(&mut command).unwrap_err().to_string();
        assert!(message.contains("cargo no-such-command --flag"), "{message}");
    }

    #[test]
    fn a_program_that_is_nowhere_is_not_found() {
        assert_eq!(find("dhow-has-no-such-program"), None);
    }

    #[test]
    fn system_programs_are_searched_last() {
        let path = search_path();
        let last = env::split_paths(&path).last();
        assert_eq!(last, Some(PathBuf::from("/sbin")));
    }

    #[test]
    fn the_root_holds_the_lock_file() {
        assert!(root().join("Cargo.lock").is_file());
    }
}
