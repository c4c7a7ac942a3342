//! Programs that PyPI ships as binaries: one environment each, in the cache.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::{cache, debian, process};

/// The program that this package brings, installed once. `package` names a folder of `tests/engines` whose
/// `requirements.txt` pins it by version and hash.
///
/// An interrupted installation is begun again: the mark of a whole one is written last.
pub fn program(package: &str, program: &str) -> anyhow::Result<PathBuf> {
    let requirements = process::root().join("tests/engines").join(package).join("requirements.txt");
    let text = fs::read_to_string(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let pin = pin(&text).with_context(|| format!("{} pins no version", requirements.display()))?;
    let dir = cache::dir()?.join("engines").join(pin.replace("==", "-"));
    let (program, whole) = (dir.join("bin").join(program), dir.join("whole"));
    if !whole.is_file() {
        eprintln!("xtask: installing {pin} into {}, once", dir.display());
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
        environment(&dir)?;
        let mut pip = Command::new(dir.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--requirement"]).arg(requirements);
        process::run(&mut pip).with_context(|| format!("cannot install {pin} from PyPI"))?;
        if !program.is_file() {
            bail!("{pin} brought no {}: look into that package", program.display());
        }
        fs::write(&whole, "").with_context(|| format!("cannot write {}", whole.display()))?;
    }
    Ok(program)
}

/// Where a package's files are, below its environment: for what it does not put beside its programs.
pub fn version(package: &str) -> anyhow::Result<String> {
    let requirements = process::root().join("tests/engines").join(package).join("requirements.txt");
    let text = fs::read_to_string(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let version = pin(&text).and_then(|pin| pin.split_once("==")).map(|(_, version)| version.to_owned());
    version.with_context(|| format!("{} pins no version", requirements.display()))
}

/// Debian ships Python without the module that brings pip into a new environment.
fn environment(dir: &std::path::Path) -> anyhow::Result<()> {
    let venv = || {
        let mut python = Command::new("python3");
        python.args(["-m", "venv"]).arg(dir);
        python
    };
    let has_pip = Command::new("python3").args(["-c", "import ensurepip"]).output().is_ok_and(|out| out.status.success());
    if !has_pip {
        debian::install(&["python3-venv"])?;
    }
    process::run(&mut venv()).context("cannot make an environment for Python")
}

/// The first `name==version` of a requirements file.
fn pin(text: &str) -> Option<&str> {
    let words = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    words.into_iter().find(|word| word.contains("=="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_is_the_first_word_with_a_version() {
        assert_eq!(pin("# a==1\nb-bin==2.1 \\\n    --hash=sha256:00\n"), Some("b-bin==2.1"));
        assert_eq!(pin("b-bin\n"), None);
    }

    #[test]
    fn each_program_is_pinned() {
        for package in ["caddy", "traefik", "go"] {
            assert!(version(package).is_ok(), "{package}");
        }
    }
}
