//! The server that the tests' images hold: HTTP, WebSockets, and faults on request.
//!
//! Everything is set by the environment, so that one binary plays every version of every site:
//! `VERSION` (what it says it is), `PORT` (8080), `START_MS` (sleep before listening), `CRASH=start`, `CRASH_MS` (exit 3
//! after that time), `HEALTH=fail`, `DATA` (a folder, for `/rows`). On SIGTERM it takes no new connection, ends the open
//! requests, closes WebSockets at `DRAIN_MS` (5000) and exits 0.

mod data;
mod probe;
mod settings;
mod site;
mod socket;

use std::process::ExitCode;

use settings::Settings;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let done = match (words.next().as_deref(), words.next()) {
        (None, _) => site::serve(Settings::from_environment()).await,
        (Some("check"), path) => {
            probe::check(&Settings::from_environment(), path.as_deref().unwrap_or("/healthz")).await
        }
        (Some("connect"), Some(address)) => probe::connect(&address).await,
        (Some("exit"), Some(code)) => return ExitCode::from(code.parse().unwrap_or(1)),
        (Some(word), _) => {
            Err(anyhow::anyhow!("{word}: say nothing, check [PATH], connect NAME:PORT or exit CODE"))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
