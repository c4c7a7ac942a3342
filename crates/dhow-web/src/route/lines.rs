//! An answer that goes on: one JSON document a line. Blank lines are signs of life, so that proxies keep the connection
//! and a client that went away is noticed.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use futures::stream::{self, BoxStream, StreamExt as _};
use http::header;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, interval_at};

use crate::state::AppState;
use crate::token::Identity;

/// Between two signs of life, and two looks at the token.
const ALIVE: Duration = Duration::from_secs(15);

struct Lines<T> {
    state: AppState,
    identity: Identity,
    items: BoxStream<'static, T>,
    alive: Interval,
    _seat: OwnedSemaphorePermit,
}

/// Sends the items as they come. It ends with them, when dhow stops, or when the token was removed; and what is behind
/// the items ends when the client has gone.
pub(super) fn answer<T: Serialize + Send + 'static>(
    state: AppState,
    identity: Identity,
    seat: OwnedSemaphorePermit,
    items: BoxStream<'static, T>,
) -> Response {
    let alive = interval_at(Instant::now() + ALIVE, ALIVE);
    let lines = Lines { state, identity, items, alive, _seat: seat };
    let body = stream::unfold(lines, |mut lines| async move {
        let line = lines.next().await?;
        Some((Ok::<_, Infallible>(line), lines))
    });
    let media = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (media, Body::from_stream(body)).into_response()
}

impl<T: Serialize> Lines<T> {
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            () = self.state.shutdown.cancelled() => None,
            _ = self.alive.tick() => {
                let still = self.state.tokens.still(&self.identity).await.unwrap_or(false);
                still.then(|| Bytes::from_static(b"\n"))
            }
            item = self.items.next() => {
                let mut line = serde_json::to_vec(&item?)
                    .inspect_err(|error| tracing::error!(%error, "a line cannot be sent"))
                    .ok()?;
                line.push(b'\n');
                Some(line.into())
            }
        }
    }
}
