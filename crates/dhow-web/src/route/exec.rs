use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use dhow_core::port::Inside;
use dhow_core::report::Which;
use futures::StreamExt as _;

use super::lines;
use crate::body::{Body, Scope};
use crate::error::ApiError;
use crate::shape::{ExecEntry, ExecRequest};
use crate::state::AppState;
use crate::token::Identity;

/// How long a command is listened to where nothing is said.
const DEFAULT_SECONDS: u64 = 60;
/// Longest time that a command is listened to.
const MAX_SECONDS: u64 = 3_600;
/// Most words of a command.
const MAX_WORDS: usize = 256;

/// Runs a command. Its output comes as it writes it; when the client goes, nobody listens any more.
pub(crate) async fn act(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Scope { service, environment }: Scope,
    Body(request): Body<ExecRequest>,
) -> Result<Response, ApiError> {
    let inside = inside(&request)?;
    let seat = state.commands.clone().try_acquire_owned();
    let seat = seat.map_err(|_| ApiError::busy("too many commands run already; try again later"))?;
    tracing::info!(%service, %environment, person = %identity.person, program = %inside.argv[0], "a command is run");
    let which = Which { target: request.target, server: request.server };
    let heard = state.control.exec(identity.actor(), service, environment, which, inside).await?;
    Ok(lines::answer(state, identity, seat, heard.map(ExecEntry::from).boxed()))
}

fn inside(request: &ExecRequest) -> Result<Inside, ApiError> {
    let argv = &request.argv;
    if argv.first().is_none_or(String::is_empty) || argv.len() > MAX_WORDS {
        let message = format!("argv has {} words; it needs a program, and may have {MAX_WORDS}", argv.len());
        return Err(ApiError::bad_request(message));
    }
    if argv.iter().any(|word| word.contains('\0')) {
        return Err(ApiError::bad_request("a word of argv has a zero byte, which no program can be given"));
    }
    let seconds = request.seconds.unwrap_or(DEFAULT_SECONDS);
    if !(1..=MAX_SECONDS).contains(&seconds) {
        return Err(ApiError::bad_request(format!("seconds is {seconds}; it may be 1 to {MAX_SECONDS}")));
    }
    let stdin = request.input().map_err(|e| ApiError::bad_request(format!("stdin is no base64: {e}")))?;
    Ok(Inside {
        container: request.container.clone(),
        argv: argv.clone(),
        stdin: stdin.map(Into::into),
        limit: Duration::from_secs(seconds),
    })
}
