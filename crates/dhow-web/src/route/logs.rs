use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use dhow_core::noun::{ServerName, TargetType};
use dhow_core::port::{ContainerName, Tail};
use dhow_core::report::Which;
use serde::Deserialize;

use super::lines;
use crate::body::{Params, Scope};
use crate::error::ApiError;
use crate::state::AppState;
use crate::token::Identity;

/// Lines of each container where no number is given.
const DEFAULT_LINES: usize = 100;
/// Most lines of each container.
const MAX_LINES: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    #[serde(default)]
    follow: bool,
    lines: Option<usize>,
    #[serde(rename = "type")]
    target: Option<TargetType>,
    server: Option<ServerName>,
    container: Option<ContainerName>,
}

/// The last lines, and with `follow` those that come until the client goes.
pub(crate) async fn show(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Scope { service, environment }: Scope,
    Params(query): Params<Query>,
) -> Result<Response, ApiError> {
    let count = query.lines.unwrap_or(DEFAULT_LINES);
    if count > MAX_LINES {
        return Err(ApiError::bad_request(format!("lines is {count}; it may be 0 to {MAX_LINES}")));
    }
    let seat = state.seats.clone().try_acquire_owned();
    let seat =
        seat.map_err(|_| ApiError::busy("too many connections follow something already; try again later"))?;
    let which = Which { target: query.target, server: query.server };
    let tail = Tail { lines: count, follow: query.follow, container: query.container };
    let found = state.control.logs(service, environment, which, tail).await?;
    Ok(lines::answer(state, identity, seat, found))
}
