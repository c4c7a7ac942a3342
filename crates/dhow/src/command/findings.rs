//! What was found at a place, as `server check` and `doctor` print it.

use std::fmt::Write as _;

use dhow_core::noun::ServerName;
use dhow_docker::executor::Places;
use dhow_docker::inspect::{self, Finding, Standing};
use serde::Serialize;

use crate::terminal::one_line;

/// What was found at one place.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    server: String,
    /// Nothing failed.
    pub ok: bool,
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(server: String, findings: Vec<Finding>) -> Self {
        let ok = findings.iter().all(|finding| finding.standing != Standing::Failed);
        Self { server, ok, findings }
    }

    /// `ok`, `warn` or `fail`, what, and what to do, on a line each.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", self.server);
        for Finding { check, standing, message } in &self.findings {
            let mark = match standing {
                Standing::Ok => "ok",
                Standing::Warning => "warn",
                Standing::Failed => "fail",
            };
            let _ = writeln!(text, "  {mark:<4} {check:<8} {}", one_line(message));
        }
        text
    }
}

/// Looks at one server. One that cannot be reached has that as its finding.
pub(super) async fn look(places: &Places, name: &ServerName) -> Report {
    let findings = match places.server(name) {
        Ok(executor) => inspect::server(&executor).await,
        Err(error) => vec![Finding::new("ssh", Standing::Failed, error.to_string())],
    };
    Report::new(name.to_string(), findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_failed_on_a_line_each() {
        let found = vec![
            Finding::new("ssh", Standing::Ok, "fine"),
            Finding::new("tools", Standing::Failed, "it lacks\nflock"),
        ];
        let report = Report::new("web1".into(), found);
        assert!(!report.ok);
        assert_eq!(report.text(), "web1\n  ok   ssh      fine\n  fail tools    it lacks flock\n");
    }
}
