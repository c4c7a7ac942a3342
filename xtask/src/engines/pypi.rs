//! Programs that PyPI ships as binaries: one environment each, in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::{cache, debian, process};

/// The program that this package brings, installed once. `package` names a folder of `tests/engines` whose
/// `requirements.txt` pins it by version and hash.
///
/// An interrupted installation is begun again: the mark of a whole one is written last.
pub fn program(package: &str, program: &str) -> anyhow::Result<PathBuf> {
    let requirements = requirements(package);
    let pin = pin(&requirements)?;
    let dir = cache::dir()?.join("engines").join(pin.replace("==", "-"));
    let whole = dir.join("whole");
    if !whole.is_file() {
        eprintln!("xtask: installing {pin} into {}, once", dir.display());
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
        environment(&dir)?;
        let mut pip = Command::new(dir.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--requirement"]);
        process::run(pip.arg(requirements)).with_context(|| format!("cannot install {pin} from PyPI"))?;
        fs::write(&whole, "").with_context(|| format!("cannot write {}", whole.display()))?;
    }
    find(&dir, program).with_context(|| format!("{pin} in {} has no program {program}", dir.display()))
}

/// The version that is pinned.
pub fn version(package: &str) -> anyhow::Result<String> {
    Ok(pin(&requirements(package))?.split("==").skip(1).collect())
}

/// A program stands beside Python, or in a folder `bin` of the package's own files.
fn find(dir: &Path, program: &str) -> Option<PathBuf> {
    let folders = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let packages = folders(dir.join("lib")).flat_map(|python| folders(python.join("site-packages")));
    let own = packages.map(|package| package.join("bin"));
    [dir.join("bin")].into_iter().chain(own).map(|bin| bin.join(program)).find(|file| file.is_file())
}

fn requirements(package: &str) -> PathBuf {
    process::root().join("tests/engines").join(package).join("requirements.txt")
}

/// Debian ships Python without the module that brings pip into a new environment.
fn environment(dir: &Path) -> anyhow::Result<()> {
    let venv = || {
        let mut python = Command::new("python3");
        python.args(["-m", "venv"]).arg(dir);
        python
    };
    let has_pip = Command::new("python3")
        .args(["-c", "import ensurepip"])
        .output()
        .is_ok_and(|out| out.status.success());
    if !has_pip {
        debian::install(&["python3-venv"])?;
    }
    process::run(&mut venv()).context("cannot make an environment for Python")
}

/// The first `name==version` of a requirements file.
fn pin(requirements: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    first(&text).map(str::to_owned).with_context(|| format!("{} pins no version", requirements.display()))
}

fn first(text: &str) -> Option<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).find(|word| word.contains("=="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_is_the_first_word_with_a_version() {
        assert_eq!(first("# a==1\nb-bin==2.1 \\\n    --hash=sha256:00\n"), Some("b-bin==2.1"));
        assert_eq!(first("b-bin\n"), None);
    }

    #[test]
    fn each_program_is_pinned() {
        for package in ["caddy", "traefik", "go"] {
            assert!(version(package).is_ok(), "{package}");
        }
    }
}
