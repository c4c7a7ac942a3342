//! Server-sent events: the history as it grows. The id of each is its number, so a client that was cut off goes on
//! where it was, with `Last-Event-ID`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use dhow_core::noun::{EnvironmentName, ServiceName};
use dhow_core::port::EventQuery;
use futures::Stream;
use http::HeaderMap;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::body::Params;
use crate::error::ApiError;
use crate::shape::HistoryEntry;
use crate::state::AppState;
use crate::token::Identity;

/// Events that are read at once.
const PAGE: usize = 200;
/// A sign of life where nothing happens, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often a quiet connection's token is looked at again.
const RECHECK: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    service: Option<ServiceName>,
    environment: Option<EnvironmentName>,
    after: Option<u64>,
}

/// Starts after `Last-Event-ID`, else after `after`, else with what happens from now on.
pub(crate) async fn follow(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    Params(query): Params<Query>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let seat = state.seats.clone().try_acquire_owned();
    let seat =
        seat.map_err(|_| ApiError::busy("too many connections follow events already; try again later"))?;
    let newest = state.control.newest();
    let now = *newest.borrow();
    // A number beyond the newest is of a database that was lost: what it knew is gone.
    let after = last_event_id(&headers)?.or(query.after).unwrap_or(now).min(now);
    let query = EventQuery {
        after,
        service: query.service,
        environment: query.environment,
        limit: PAGE,
        ..EventQuery::default()
    };
    let feed = Feed { state, identity, query, newest, waiting: VecDeque::new(), _seat: seat };
    let stream = futures::stream::unfold(feed, |mut feed| async {
        let entry = feed.next().await?;
        let event = event(&entry)?;
        Some((Ok(event), feed))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|v| v.parse().ok());
    number.map(Some).ok_or_else(|| ApiError::bad_request("Last-Event-ID is no number of an event"))
}

fn event(entry: &HistoryEntry) -> Option<Event> {
    let json =
        serde_json::to_value(entry).inspect_err(|e| tracing::error!(%e, "an event cannot be sent")).ok()?;
    let kind = json.get("kind").and_then(|k| k.as_str()).unwrap_or("event").to_owned();
    Some(Event::default().id(entry.seq.to_string()).event(kind).data(json.to_string()))
}

struct Feed {
    state: AppState,
    identity: Identity,
    query: EventQuery,
    newest: watch::Receiver<u64>,
    waiting: VecDeque<HistoryEntry>,
    _seat: OwnedSemaphorePermit,
}

impl Feed {
    /// The next event; none when dhow stops, the token was removed, or the history cannot be read.
    async fn next(&mut self) -> Option<HistoryEntry> {
        loop {
            if self.state.shutdown.is_cancelled() {
                return None;
            }
            if let Some(entry) = self.waiting.pop_front() {
                return Some(entry);
            }
            if !self.state.tokens.still(&self.identity).await.unwrap_or(false) {
                return None;
            }
            self.fill().await?;
            if self.waiting.is_empty() {
                self.wait().await?;
            }
        }
    }

    /// Reads what is new. All up to `newest` could be read before we asked, so a page that is not full ends there.
    async fn fill(&mut self) -> Option<()> {
        let newest = *self.newest.borrow_and_update();
        if newest <= self.query.after {
            return Some(());
        }
        let page = self.state.control.history(self.query.clone()).await;
        let page = page.inspect_err(|e| tracing::warn!(%e, "a connection that follows events ends")).ok()?;
        let last = page.last().map_or(0, |entry| entry.seq);
        self.query.after = if page.len() < PAGE { last.max(newest) } else { last };
        self.waiting.extend(page);
        Some(())
    }

    /// Returns when there may be more.
    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            () = self.state.shutdown.cancelled() => None,
            changed = self.newest.changed() => changed.ok(),
            () = tokio::time::sleep(RECHECK) => Some(()),
        }
    }
}
