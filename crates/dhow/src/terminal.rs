//! What the commands print: data on stdout, in one place.

use std::io::Write as _;

use anyhow::Context as _;
use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use dhow_web::Outcome;
use serde::Serialize;

/// How data is printed
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// The API's JSON
    Json,
}

/// Prints text on stdout. A reader who has gone away is no error.
///
/// # Errors
/// Stdout cannot be written.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to stdout")
        }
        _ => Ok(()),
    }
}

/// Prints a value as JSON on stdout.
///
/// # Errors
/// Stdout cannot be written.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value).context("cannot write JSON")?))
}

/// Prints what came of an action.
///
/// # Errors
/// Stdout cannot be written.
pub fn print_outcome(outcome: &Outcome, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Text => print(&format!("{}\n", outcome.message)),
        Output::Json => print_json(outcome),
    }
}

/// An empty table with these heads: no lines, and no wrapping of what might be copied.
pub fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(heads);
    table
}

/// Text from outside on one line and without control characters, so that it cannot paint over the terminal.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The same of text on several lines, which stay.
pub fn lines(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}
