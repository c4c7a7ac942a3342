//! The site: `/`, `/version`, `/healthz`, `/slow?ms=N`, `/ws`, `/rows`.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{any, get};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::data;
use crate::settings::Settings;
use crate::socket;

/// What every route knows.
#[derive(Clone)]
pub struct Site {
    pub settings: Settings,
    /// True as soon as it is asked to stop.
    pub stopping: watch::Receiver<bool>,
    /// Held by each WebSocket: the web server does not count them among its connections.
    _open: mpsc::Sender<()>,
}

/// Serves until SIGTERM or SIGINT, or until it is to crash.
pub async fn serve(settings: Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("no signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("no signals")?;
    println!("version {} starts", settings.version);
    tokio::select! {
        () = sleep(settings.start) => {}
        _ = terminate.recv() => return Ok(()),
    }
    if settings.crash_at_start {
        bail!("crashing at start, as told");
    }
    let listener =
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, settings.port)).await.context("cannot listen")?;
    println!("listening on {}", listener.local_addr().context("no address")?.port());
    let (stop, stopping) = watch::channel(false);
    let (open, mut closed) = mpsc::channel(1);
    let app = routes(Site { settings: settings.clone(), stopping: stopping.clone(), _open: open });
    let server = axum::serve(listener, app).with_graceful_shutdown(told(stopping));
    let mut server = tokio::spawn(server.into_future());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = crash(settings.crash_after) => {
            eprintln!("crashing, as told");
            std::process::exit(3);
        }
        ended = &mut server => return ended.context("the server broke")?.context("the server ended"),
    }
    println!("stopping");
    stop.send_replace(true);
    // Half a second more: a WebSocket that is closed at the end of the drain time says goodbye.
    let ended = timeout(settings.drain + Duration::from_millis(500), async {
        let ended = server.await;
        // Nothing is ever sent: this is the end of the last WebSocket.
        closed.recv().await;
        ended
    });
    match ended.await {
        Ok(ended) => ended.context("the server broke")?.context("the server ended"),
        Err(_) => {
            println!("stopped with requests open");
            Ok(())
        }
    }
}

/// Until it is asked to stop.
pub async fn told(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone: stop as well.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

async fn crash(after: Option<Duration>) {
    match after {
        Some(after) => sleep(after).await,
        None => std::future::pending().await,
    }
}

fn routes(site: Site) -> Router {
    Router::new()
        .route("/", get(version))
        .route("/version", get(version))
        .route("/healthz", get(health))
        .route("/slow", get(slow))
        .route("/ws", any(socket::upgrade))
        .route("/rows", get(data::count).post(data::append))
        .with_state(site)
}

async fn version(State(site): State<Site>) -> String {
    format!("{}\n", site.settings.version)
}

async fn health(State(site): State<Site>) -> (StatusCode, &'static str) {
    if site.settings.healthy {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "failing, as told\n")
    }
}

/// Answers after `ms` milliseconds, a minute at most.
async fn slow(State(site): State<Site>, Query(query): Query<Vec<(String, String)>>) -> String {
    let ms = query.iter().find(|(key, _)| key == "ms").and_then(|(_, ms)| ms.parse().ok()).unwrap_or(1000);
    sleep(Duration::from_millis(ms).min(Duration::from_secs(60))).await;
    format!("{}\n", site.settings.version)
}
