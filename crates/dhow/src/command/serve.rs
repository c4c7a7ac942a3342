//! `dhow serve`: the control plane.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args as ClapArgs;
use dhow_core::port::BranchName;

use crate::log::Log;
use crate::serve::config::FileConfig;
use crate::serve::{Config, Server};

/// Run the control plane: watch, update, roll out, verify, until it is stopped.
///
/// At the first start a token for the administrator is written to STATE/admin.token. What is open at a stop, or at a
/// crash, goes on at the next start.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The fleet's Git repository: an address, or the path of a bare repository.
    #[arg(long, value_name = "URL|PATH")]
    fleet: String,
    /// Where state is kept; one Dhow at a time uses it.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Address of the API and the registry.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Address at which the sites of type static_file are served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    sites: SocketAddr,
    /// The fleet's branch; by default the remote's HEAD.
    #[arg(long, value_parser = branch)]
    branch: Option<BranchName>,
    /// What the fleet may not say: which secrets exist and for which hosts, intervals; see docs/operations.md.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn branch(text: &str) -> Result<BranchName, String> {
    BranchName::new(text)
}

/// Serves until SIGINT or SIGTERM.
pub async fn run(args: Args, log: &Log) -> Result<ExitCode> {
    let state = args.state.clone();
    let file = args.config.as_deref().map(FileConfig::read).transpose()?.unwrap_or_default();
    let server = Server::start(Config {
        fleet: args.fleet,
        branch: args.branch,
        state: args.state,
        listen: args.listen,
        sites: args.sites,
        file,
    })
    .await?;
    log.line(&format!("dhow listens on http://{}, sites on http://{}", server.listen, server.sites));
    log.line(&where_state_is(&state));
    stopped().await;
    log.line("stopping; what is open goes on at the next start");
    server.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Where the state is, and the way in.
fn where_state_is(state: &Path) -> String {
    let (dir, token) = (state.display(), state.join("admin.token"));
    match token.exists() {
        true => format!("state in {dir}; the administrator's token is in {}", token.display()),
        false => format!(
            "state in {dir}; {0} is not there: make it as an empty file and start again, and a new administrator's token \
             is written to it",
            token.display()
        ),
    }
}

/// Returns at SIGINT or SIGTERM.
pub async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = interrupt.await;
        }
    }
}
