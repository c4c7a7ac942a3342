//! `dhow logs`: what a service writes.

use std::process::ExitCode;

use dhow_core::noun::{ServerName, TargetType};
use dhow_core::port::{ContainerName, LogLine, Place};
use dhow_web::shape::LogEntry;

use super::ps::told;
use crate::client::{Connection, Scope};
use crate::terminal::{Output, print};

/// Print what a service writes in an environment, on all its servers
///
/// Exits 1 where a server did not answer; the lines of the others are shown.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    scope: Scope,
    /// Go on with what comes, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// The last lines of each container
    #[arg(long, short = 'n', default_value_t = 100, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    lines: u16,
    /// Of the deployment of this type only, as in compose
    #[arg(long = "type", value_name = "TYPE")]
    target: Option<TargetType>,
    /// On this server only
    #[arg(long, value_name = "NAME")]
    server: Option<ServerName>,
    /// Of this service of the Compose file, or this container, only
    #[arg(long, visible_alias = "compose-service", value_name = "NAME")]
    container: Option<ContainerName>,
    /// How to print it; json is one document a line
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Prints lines as they come.
///
/// # Errors
/// There is no such deployment, or the API does not answer, or does not go on.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let path = ["logs", args.scope.service.as_str(), args.scope.environment.as_str()];
    let mut query = vec![("lines", args.lines.to_string()), ("follow", args.follow.to_string())];
    query.extend(args.target.iter().map(|kind| ("type", kind.to_string())));
    query.extend(args.server.iter().map(|server| ("server", server.to_string())));
    query.extend(args.container.iter().map(|name| ("container", name.to_string())));
    let mut lines = args.connection.client()?.lines(&path, &query).await?;
    let mut code = ExitCode::SUCCESS;
    while let Some(entry) = lines.next::<LogEntry>().await? {
        match (&entry, args.output) {
            (_, Output::Json) => print(&format!("{}\n", serde_json::to_string(&entry)?))?,
            (LogEntry::Line { place, line, .. }, Output::Text) => print(&text(place, line))?,
            (LogEntry::Problem(problem), Output::Text) => told(problem),
        }
        if matches!(entry, LogEntry::Problem(_)) {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// `stage_shop-web-1@web1 | ready`. What is written could paint over the terminal: tabs alone stay as they are.
fn text(place: &Place, line: &LogLine) -> String {
    let text: String = line.text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
    let server = match place {
        Place::Local => String::new(),
        Place::Server(server) => format!("@{server}"),
    };
    match line.container.is_empty() && server.is_empty() {
        true => format!("{text}\n"),
        false => format!("{}{server} | {text}\n", line.container),
    }
}

#[cfg(test)]
mod tests {
    use dhow_core::port::Stream;

    use super::*;

    #[test]
    fn a_line_says_which_container_wrote_it_where_and_cannot_paint_the_terminal() {
        let line = LogLine {
            component: "web".into(),
            container: "stage_shop-web-1".into(),
            stream: Stream::Out,
            at: None,
            text: "a\tb \u{1b}[2J".into(),
        };
        assert_eq!(text(&Place::Local, &line), "stage_shop-web-1 | a\tb  [2J\n");
        let server = Place::Server("web1".parse().unwrap());
        assert_eq!(text(&server, &line), "stage_shop-web-1@web1 | a\tb  [2J\n");
    }
}
