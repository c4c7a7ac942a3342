//! Dhow carries every change from Git to the servers where it runs, and proves that it arrived.

mod client;
mod command;
mod control;
mod dir_tree;
mod log;
mod serve;
mod terminal;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: dhow_alloc::MiMalloc = dhow_alloc::MiMalloc;

/// Dhow carries every change from Git to the servers where it runs, and proves that it arrived.
#[derive(Debug, Parser)]
#[command(name = "dhow", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(command::demo::Args),
    #[command(hide = true)]
    DemoSite(command::demo_site::Args),
    Serve(command::serve::Args),
    Publish(command::publish::Args),
    Status(command::status::Args),
    History(command::history::Args),
    Wait(command::wait::Args),
    Plan(command::plan::Args),
    Ps(command::ps::Args),
    Logs(command::logs::Args),
    Exec(command::exec::Args),
    Promote(command::promote::Args),
    Approve(command::approve::Args),
    Reject(command::reject::Args),
    Rollback(command::rollback::Args),
    Resume(command::resume::Args),
    Quarantine(command::quarantine::Args),
    Sync(command::sync::Args),
    Token(command::token::Args),
    Validate(command::validate::Args),
    Update(command::update::Args),
    Policy(command::policy::Args),
    Server(command::server::Args),
    Doctor(command::doctor::Args),
}

fn main() -> ExitCode {
    dhow_alloc::give_back_at_once();
    run()
}

#[tokio::main]
async fn run() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("DHOW_LOG").unwrap_or_else(|_| "warn".into());
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = match log::Log::to(std::io::stderr()) {
        Ok(log) => log,
        Err(error) => {
            anstream::eprintln!("error: no thread can be started for the log: {error}");
            return ExitCode::FAILURE;
        }
    };
    log.takes_panics();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(log.clone()).with_ansi(colour).init();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    let result = match cli.command {
        Command::Demo(args) => command::demo::run(args).await,
        Command::DemoSite(args) => command::demo_site::run(args).await,
        Command::Serve(args) => command::serve::run(args, &log).await,
        Command::Publish(args) => command::publish::run(args).await,
        Command::Status(args) => command::status::run(args).await,
        Command::History(args) => command::history::run(args).await,
        Command::Wait(args) => command::wait::run(args).await,
        Command::Plan(args) => command::plan::run(args).await,
        Command::Ps(args) => command::ps::run(args).await,
        Command::Logs(args) => command::logs::run(args).await,
        Command::Exec(args) => command::exec::run(args).await,
        Command::Promote(args) => command::promote::run(args).await,
        Command::Approve(args) => command::approve::run(args).await,
        Command::Reject(args) => command::reject::run(args).await,
        Command::Rollback(args) => command::rollback::run(args).await,
        Command::Resume(args) => command::resume::run(args).await,
        Command::Quarantine(args) => command::quarantine::run(args).await,
        Command::Sync(args) => command::sync::run(args).await,
        Command::Token(args) => command::token::run(args).await,
        Command::Validate(args) => command::validate::run(args),
        Command::Update(args) => command::update::run(args),
        Command::Policy(args) => command::policy::run(args),
        Command::Server(args) => command::server::run(args).await,
        Command::Doctor(args) => command::doctor::run(args).await,
    };
    let code = result.unwrap_or_else(|error| {
        log.line(&format!("error: {}", told(&error)));
        ExitCode::FAILURE
    });
    log.flush();
    code
}

/// An error with its causes; a cause that was told already is not told again.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow!("no such file").context("x cannot be read: no such file").context("it failed");
        assert_eq!(super::told(&error), "it failed: x cannot be read: no such file");
    }
}
