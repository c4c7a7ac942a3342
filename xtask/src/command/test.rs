//! `cargo xtask test`: every test, with the engines that they need.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::engines::{self, Engine};
use crate::process;

/// Install what the tests need, then run them all, documentation's examples included
#[derive(Args)]
pub struct Test {
    /// Arguments for `cargo test` in place of `--workspace`, such as `-p dhow-core policy`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    cargo: Vec<String>,
}

impl Test {
    pub fn run(self) -> anyhow::Result<()> {
        engines::ensure(&Engine::PROGRAMS)?;
        engines::during(&ENGINES, |file| self.tests(file))
    }

    /// Runs them, and the few that failed in a whole run once more, one after another.
    ///
    /// Tests of engines wait for machines that do other things too. One that passes by itself is
    /// named in the last line, for somebody to look at: it is slow, or it found a race.
    fn tests(&self, engines: &Path) -> anyhow::Result<()> {
        let first = run(cargo_test(&self.cargo).env("DHOW_ENGINES", engines))?;
        println!("{}", first.totals);
        let Err(failed) = first.passed() else { return Ok(()) };
        if !self.cargo.is_empty() || first.failed.is_empty() || first.failed.len() > AGAIN {
            return Err(failed);
        }
        let names = first.failed.join(", ");
        println!("once more: {names}");
        let again = run(cargo_again(&first.failed).env("DHOW_ENGINES", engines))?;
        again.passed()?;
        if again.totals.passed < first.failed.len() as u64 {
            return Err(failed);
        }
        println!("{}; passed only when run again: {names}", first.totals);
        Ok(())
    }
}

/// So many failed tests may be run again; where more fail, something is broken.
const AGAIN: usize = 3;

/// What the tests speak to.
const ENGINES: [Engine; 8] = [
    Engine::Docker,
    Engine::Spare,
    Engine::Compose,
    Engine::Swarm,
    Engine::Sshd,
    Engine::Server,
    Engine::Caddy,
    Engine::Traefik,
];

/// A test that needs an engine fails without it, in place of passing over it.
fn cargo_test(args: &[String]) -> Command {
    let mut cargo = process::cargo();
    cargo.env("DHOW_REQUIRE_ENGINES", "1").env("PATH", process::search_path());
    // Tests wait for engines, which take most of two processors: more at a time take longer in all.
    cargo.env("RUST_TEST_THREADS", "4");
    cargo.args(["test", "--locked", "--no-fail-fast"]);
    if args.is_empty() {
        cargo.arg("--workspace")
    } else {
        cargo.args(args)
    };
    cargo
}

/// The tests of these names alone, in whichever program they are.
fn cargo_again(names: &[String]) -> Command {
    let mut cargo = cargo_test(&[]);
    cargo.env("RUST_TEST_THREADS", "1").args(["--", "--exact"]).args(names);
    cargo
}

/// What a run of tests printed.
struct Ran {
    shown: String,
    status: ExitStatus,
    totals: Totals,
    /// The names of those that failed.
    failed: Vec<String>,
}

impl Ran {
    fn passed(&self) -> anyhow::Result<()> {
        let Self { shown, status, totals, .. } = self;
        if !status.success() {
            bail!("tests failed: `{shown}` ended with {status}");
        }
        if totals.programs == 0 {
            bail!("no test ran: `{shown}` printed no result");
        }
        Ok(())
    }
}

/// Runs the tests and shows all that they say but the names of those that passed.
fn run(cargo: &mut Command) -> anyhow::Result<Ran> {
    let shown = process::show(cargo);
    let started = || format!("cannot run `{shown}`");
    let mut child = cargo.stdout(Stdio::piped()).spawn().with_context(started)?;
    let (mut totals, mut failed) = (Totals::default(), Vec::new());
    if let Some(output) = child.stdout.take() {
        let mut stdout = std::io::stdout().lock();
        for line in BufReader::new(output).split(b'\n') {
            let line = line.with_context(started)?;
            let line = String::from_utf8_lossy(&line);
            totals.read(&line);
            failed.extend(failure(&line).map(str::to_owned));
            if !is_a_pass(&line) {
                writeln!(stdout, "{line}").context("cannot write to stdout")?;
            }
        }
    }
    let status = child.wait().with_context(started)?;
    Ok(Ran { shown, status, totals, failed })
}

/// The name in a line such as `test fleet::reads_it ... FAILED`.
fn failure(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

fn is_a_pass(line: &str) -> bool {
    line.is_empty() || (line.starts_with("test ") && line.ends_with(" ... ok"))
}

/// What all test programs together said in their closing lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    programs: u64,
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Totals {
    /// Takes up a closing line, such as `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
    fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        self.programs += 1;
        for count in counts.split("; ") {
            match count.split_once(' ').map(|(number, what)| (number.parse::<u64>(), what)) {
                Some((Ok(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                Some((Ok(number), "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { programs, passed, failed, ignored } = self;
        write!(f, "in all: {passed} passed; {failed} failed; {ignored} ignored; {programs} test programs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str =
        "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
    const FAILED: &str =
        "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.20s";

    #[test]
    fn the_closing_lines_of_all_programs_add_up() {
        let mut totals = Totals::default();
        for line in ["running 4 tests", OK, FAILED] {
            totals.read(line);
        }
        assert_eq!(totals, Totals { programs: 2, passed: 4, failed: 2, ignored: 1 });
    }

    #[test]
    fn only_the_names_of_passed_tests_are_left_out() {
        assert!(is_a_pass("test fleet::reads_it ... ok"));
        for line in ["test fleet::reads_it ... FAILED", "test slow ... ignored", OK, "all is ok"] {
            assert!(!is_a_pass(line), "{line}");
        }
    }

    #[test]
    fn what_failed_is_run_again_by_its_exact_name() {
        assert_eq!(failure("test fleet::reads_it ... FAILED"), Some("fleet::reads_it"));
        assert_eq!(failure("test fleet::reads_it ... ok"), None);
        let shown = process::show(&cargo_again(&["fleet::reads_it".to_owned()]));
        assert!(shown.ends_with("--workspace -- --exact fleet::reads_it"), "{shown}");
    }

    #[test]
    fn tests_may_not_pass_over_a_missing_engine() {
        let command = cargo_test(&[]);
        let required = command.get_envs().find(|(name, _)| *name == "DHOW_REQUIRE_ENGINES");
        assert_eq!(required.and_then(|(_, value)| value), Some("1".as_ref()));
        assert!(process::show(&command).ends_with("--workspace"));
    }

    #[test]
    fn arguments_narrow_the_run() {
        let shown = process::show(&cargo_test(&["-p".into(), "dhow-core".into()]));
        assert!(shown.ends_with("-p dhow-core"), "{shown}");
    }

    #[test]
    fn a_failing_run_is_an_error() {
        let ran = run(process::cargo().args(["test", "--no-such-flag"]).stderr(Stdio::null())).unwrap();
        let error = ran.passed().unwrap_err();
        assert!(error.to_string().starts_with("tests failed"), "{error}");
    }
}
