//! `dhow policy`: tries a policy on a list of tags, without a fleet and without a registry.

use std::io::{self, BufRead, Read, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use dhow_core::policy::{self, Order, Policy, Rule, SemverRange};

/// Most bytes that are read from stdin: a million tags of the greatest length fit twice.
const MAX_INPUT: u64 = 256 << 20;

/// Exit status where no tag was selected.
const NOTHING: u8 = 1;
/// Exit status of a command that was typed wrong.
const USAGE: u8 = 2;

/// Try a policy on a list of tags.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read tags from stdin, one a line, and print the one that a policy selects.
    ///
    /// Exits 1, with a message, where the policy selects none.
    Select(Select),
}

#[derive(Debug, clap::Args)]
struct Select {
    #[command(flatten)]
    policy: Choice,
    /// Drop the tags that this regular expression does not match.
    #[arg(long, value_name = "REGEX")]
    filter: Option<String>,
    /// Judge this part of a tag: $1, $name or ${name} of the filter.
    #[arg(long, value_name = "TEMPLATE", requires = "filter")]
    extract: Option<String>,
}

/// Exactly one policy.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Choice {
    /// Select the highest semantic version in a range, as in ">=1.0 <2.0" or "1.x".
    #[arg(long, value_name = "RANGE")]
    semver: Option<SemverRange>,
    /// Select the last tag when sorted by letters: asc selects the greatest, desc the smallest.
    #[arg(long, value_name = "asc|desc")]
    alphabetical: Option<Order>,
    /// Select the last tag when sorted by numbers: asc selects the greatest, desc the smallest.
    #[arg(long, value_name = "asc|desc")]
    numerical: Option<Order>,
}

impl Choice {
    /// `None` cannot come from the command line: the group asks for one.
    fn policy(self) -> Option<Policy> {
        let semver = self.semver.map(|range| Policy::Semver { range });
        semver.or(self.alphabetical.map(Policy::Alphabetical)).or(self.numerical.map(Policy::Numerical))
    }
}

/// Runs the command on stdin, stdout and stderr. Changes nothing anywhere.
///
/// # Errors
/// Stdin that cannot be read or holds too much, and an output that cannot be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Command::Select(args) = args.command;
    let status = select(args, io::stdin().lock(), &mut io::stdout().lock(), &mut io::stderr().lock())?;
    Ok(ExitCode::from(status))
}

/// The command with its input and outputs handed in. Returns the exit status.
fn select(
    args: Select,
    input: impl BufRead,
    out: &mut impl Write,
    err: &mut impl Write,
) -> anyhow::Result<u8> {
    let policy = args.policy.policy().context("no policy was given")?;
    let rule = match Rule::new(policy, args.filter.as_deref(), args.extract.as_deref()) {
        Ok(rule) => rule,
        Err(problem) => {
            writeln!(err, "error: {problem}")?;
            return Ok(USAGE);
        }
    };
    let text = read(input)?;
    let tags = || text.lines().map(str::trim).filter(|tag| !tag.is_empty());
    match policy::select(&rule, tags()) {
        Ok(Some(tag)) => {
            writeln!(out, "{tag}")?;
            out.flush()?;
            return Ok(0);
        }
        Ok(None) => {
            let filtered = rule.filter.map(|filter| format!(" after filter {:?}", filter.pattern()));
            let count = tags().count();
            let filtered = filtered.unwrap_or_default();
            writeln!(err, "error: policy {} accepts none of {count} tags{filtered}", rule.policy)?;
        }
        Err(problem) => writeln!(err, "error: {problem}")?,
    }
    Ok(NOTHING)
}

fn read(input: impl BufRead) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    input.take(MAX_INPUT + 1).read_to_end(&mut bytes).context("cannot read tags from stdin")?;
    anyhow::ensure!(
        bytes.len() as u64 <= MAX_INPUT,
        "stdin holds more than {} MiB; give fewer tags",
        MAX_INPUT >> 20
    );
    String::from_utf8(bytes).map_err(|problem| {
        let good = problem.utf8_error().valid_up_to();
        let line = problem.as_bytes()[..good].iter().filter(|b| **b == b'\n').count() + 1;
        anyhow::anyhow!("line {line} of stdin is no UTF-8 text; tags are letters, digits, '_', '.' and '-'")
    })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser, error::ErrorKind};

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(args: &[&str]) -> Result<Select, clap::Error> {
        let words = ["policy", "select"].iter().chain(args);
        let Command::Select(select) = Cli::try_parse_from(words)?.args.command;
        Ok(select)
    }

    fn ran(args: &[&str], input: &[u8]) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let status = select(parse(args).unwrap(), input, &mut out, &mut err).unwrap();
        (status, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_selected_tag_is_all_that_is_printed() {
        let tags = b"v1.0.0\nv1.2.0\nlatest\nv2.0.0\n";
        assert_eq!(ran(&["--semver", "1.x"], tags), (0, "v1.2.0\n".into(), String::new()));
        assert_eq!(ran(&["--alphabetical", "desc"], tags).1, "latest\n");
        assert_eq!(ran(&["--numerical", "asc"], b"9\n10").1, "10\n");
    }

    #[test]
    fn carriage_returns_and_empty_lines_are_skipped() {
        assert_eq!(ran(&["--alphabetical", "desc"], b"\r\n\n b\r\n\r\nc\r\n").1, "b\n");
    }

    #[test]
    fn the_extract_is_judged_and_the_tag_is_printed() {
        let args = ["--numerical", "asc", "--filter", "^main-[a-f]+-(?<ts>[0-9]+)$", "--extract", "$ts"];
        assert_eq!(ran(&args, b"main-aa-9\nmain-bb-10\nlatest\n").1, "main-bb-10\n");
    }

    #[test]
    fn where_nothing_is_selected_the_status_is_1_and_the_message_says_why() {
        let (status, out, err) = ran(&["--semver", "3.x", "--filter", "^v"], b"v1.0.0\n2.0.0\n");
        assert_eq!((status, out.as_str()), (1, ""));
        assert_eq!(err, "error: policy semver 3.x accepts none of 2 tags after filter \"^v\"\n");
        let (status, out, err) = ran(&["--numerical", "asc"], b"1\nlatest\n");
        assert_eq!((status, out.as_str()), (1, ""));
        assert!(err.contains("\"latest\" is no decimal number"), "{err}");
        assert_eq!(ran(&["--semver", "*"], b"").0, 1);
    }

    #[test]
    fn a_filter_or_an_extract_that_cannot_work_is_a_usage_error() {
        assert_eq!(ran(&["--semver", "*", "--filter", "("], b"1.0.0").0, 2);
        let (status, out, err) = ran(&["--semver", "*", "--filter", "a", "--extract", "$1"], b"1.0.0");
        assert_eq!((status, out.as_str()), (2, ""));
        assert!(err.contains("no group \"1\""), "{err}");
    }

    #[test]
    fn exactly_one_policy_must_be_given() {
        for (args, kind) in [
            (&[][..], ErrorKind::MissingRequiredArgument),
            (&["--filter", "a"], ErrorKind::MissingRequiredArgument),
            (&["--semver", "*", "--numerical", "asc"], ErrorKind::ArgumentConflict),
            (&["--semver", "*", "--extract", "$1"], ErrorKind::MissingRequiredArgument),
            (&["--semver", "nonsense"], ErrorKind::ValueValidation),
            (&["--alphabetical", "up"], ErrorKind::ValueValidation),
        ] {
            let error = parse(args).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (kind, 2), "{args:?}: {error}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_with_their_line() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let args = parse(&["--semver", "*"]).unwrap();
        let error = select(args, &b"1.0.0\n\xff\n"[..], &mut out, &mut err).unwrap_err().to_string();
        assert!(error.contains("line 2 of stdin"), "{error}");
        assert!(out.is_empty());
    }
}
