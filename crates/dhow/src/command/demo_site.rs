//! `dhow demo-site`: what the image of `dhow demo --compose` runs. A page that says its version.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::{Result, bail};
use axum::Router;
use axum::response::Html;
use axum::routing::get;

/// Serve the demo's page: it is started in the demo's own containers
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Version that the page says
    #[arg(long, env = "VERSION", default_value = "none")]
    version: String,
    /// Why it ends at once, where it is a bad version
    #[arg(long, env = "BROKEN")]
    broken: Option<String>,
    /// Where it listens
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)))]
    listen: SocketAddr,
}

/// Serves until it is stopped.
///
/// # Errors
/// It is a bad version, or the address cannot be listened on.
pub async fn run(args: Args) -> Result<ExitCode> {
    let page = format!("<!doctype html><title>Demo</title><h1>Version {}</h1>\n", args.version);
    if let Some(why) = args.broken {
        bail!("version {} cannot start: {why}", args.version);
    }
    let app = Router::new()
        .route("/", get(move || async move { Html(page) }))
        .route("/health", get(|| async { "ok\n" }));
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    axum::serve(listener, app).with_graceful_shutdown(super::serve::stopped()).await?;
    Ok(ExitCode::SUCCESS)
}
