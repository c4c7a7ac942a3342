//! All routes on one page.

use std::any::Any;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Json, Router};
use http::{HeaderName, HeaderValue, Method, header};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;

use crate::body::MAX_BODY;
use crate::error::ApiError;
use crate::guard::{Guard, guard};
use crate::openapi;
use crate::route::{
    approve, debts, events, exec, health, history, logs, plan, processes, promote, quarantine, reject,
    resume, rollback, status, sync, tokens,
};
use crate::state::AppState;
use crate::token::Permission::{self, Approve, Debts, Deploy, Exec, Read, Tokens};

/// Longest time of a request, but for those that follow events.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A route of the API, and what its document says of it.
pub(crate) struct Endpoint {
    pub method: Method,
    /// Below `/api/v1`.
    pub path: &'static str,
    pub needs: Permission,
    pub summary: &'static str,
    /// Names of the query's parameters.
    pub query: &'static [&'static str],
    /// Schema of the body.
    pub takes: Option<&'static str>,
    /// Schema of the answer.
    pub gives: &'static str,
    pub handler: MethodRouter<AppState>,
}

/// The routes of the API.
#[rustfmt::skip]
pub(crate) fn endpoints() -> Vec<Endpoint> {
    const KEY: &[&str] = &["service", "environment", "reference"];
    const EVENTS: &[&str] = &["service", "environment", "after", "before", "limit", "newest_first"];
    const LOGS: &[&str] = &["follow", "lines", "type", "server", "container"];
    vec![
        read("/status", "Every deployment, and what people are asked", &["service", "environment"], "Status", get(status::show)),
        read("/history", "What happened", EVENTS, "History", get(history::list)),
        read("/events", "What happens, as server-sent events", &["service", "environment", "after"], "HistoryEntry", get(events::follow)),
        read("/plan/{service}/{environment}", "What a rollout would do now", &[], "Plans", get(plan::show)),
        read("/processes", "What runs, and what it uses", &["service", "environment"], "Processes", get(processes::list)),
        read("/logs/{service}/{environment}", "What it writes, a JSON document a line", LOGS, "LogEntry", get(logs::show)),
        Endpoint { gives: "ExecEntry", ..act("/exec/{service}/{environment}", Exec, "Run a command inside; its answer is a JSON document a line", Some("ExecRequest"), post(exec::act)) },
        act("/promote/{service}/{environment}", Deploy, "Take over what runs healthy in the environment before", None, post(promote::act)),
        act("/approve/{service}/{environment}", Approve, "Say yes to a proposal", Some("ApproveRequest"), post(approve::act)),
        act("/reject/{service}/{environment}", Approve, "Say no to a proposal", Some("RejectRequest"), post(reject::act)),
        act("/rollback/{service}/{environment}", Deploy, "Go back to an earlier release", Some("RollbackRequest"), post(rollback::act)),
        act("/resume/{service}/{environment}", Deploy, "End a hold", None, post(resume::act)),
        act("/sync/{service}/{environment}", Deploy, "Roll out what waits for a person's word", None, post(sync::act)),
        read("/quarantine", "Digests that are not selected", &["service"], "QuarantineList", get(quarantine::list)),
        act("/quarantine", Deploy, "Put a digest into quarantine", Some("QuarantineRequest"), post(quarantine::add)),
        Endpoint { query: KEY, ..removal("/quarantine", Deploy, "Take a digest out of quarantine", delete(quarantine::remove)) },
        Endpoint { query: &["server"], ..removal("/debts", Debts, "Write off what a server owes: nothing more is done there for it", delete(debts::remove)) },
        Endpoint { needs: Tokens, ..read("/tokens", "All tokens, without their secrets", &[], "TokenList", get(tokens::list)) },
        Endpoint { gives: "TokenCreated", ..act("/tokens", Tokens, "Make a token; the answer alone has its secret", Some("TokenRequest"), post(tokens::add)) },
        Endpoint { query: &["name"], ..removal("/tokens", Tokens, "Remove a token", delete(tokens::remove)) },
    ]
}

fn read(
    path: &'static str,
    summary: &'static str,
    query: &'static [&'static str],
    gives: &'static str,
    handler: MethodRouter<AppState>,
) -> Endpoint {
    Endpoint { method: Method::GET, path, needs: Read, summary, query, takes: None, gives, handler }
}

fn act(
    path: &'static str,
    needs: Permission,
    summary: &'static str,
    takes: Option<&'static str>,
    handler: MethodRouter<AppState>,
) -> Endpoint {
    Endpoint { method: Method::POST, path, needs, summary, query: &[], takes, gives: "Outcome", handler }
}

fn removal(
    path: &'static str,
    needs: Permission,
    summary: &'static str,
    handler: MethodRouter<AppState>,
) -> Endpoint {
    Endpoint { method: Method::DELETE, ..act(path, needs, summary, None, handler) }
}

/// Every route of the API, each behind a token with the permission that it needs; its document; and `/healthz` and
/// `/readyz`, which need none. It has no fallback of its own outside `/api/v1`, so that other routers can be merged.
pub fn router(state: AppState) -> Router {
    let mut api =
        Router::new().route("/openapi.json", get(async || Json(openapi::document(&endpoints())))).fallback(
            async || ApiError::not_found("there is no such route; /api/v1/openapi.json lists what there is"),
        );
    for endpoint in endpoints() {
        let tokens = state.tokens.clone();
        let mine = Guard { tokens, needs: endpoint.needs };
        let handler = endpoint.handler.route_layer(middleware::from_fn_with_state(mine, guard));
        api = api.route(endpoint.path, handler);
    }
    let api = api
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(DefaultBodyLimit::max(MAX_BODY));
    let id = HeaderName::from_static("x-request-id");
    let no_store = HeaderValue::from_static("no-store");
    // From the outside in.
    let layers = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(id.clone(), MakeRequestUuid))
        .layer(TraceLayer::new_for_http().make_span_with(span).on_failure(()))
        .layer(PropagateRequestIdLayer::new(id))
        .layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, no_store))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(in_time));
    Router::new()
        .nest("/api/v1", api)
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .layer(layers)
        .with_state(state)
}

/// The path without its query, and the id. Headers stay out: one of them is a secret.
fn span<B>(request: &http::Request<B>) -> tracing::Span {
    let id = request.headers().get("x-request-id").and_then(|v| v.to_str().ok()).unwrap_or_default();
    tracing::info_span!("request", method = %request.method(), path = request.uri().path(), id)
}

#[expect(clippy::needless_pass_by_value, reason = "the layer asks for this signature")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = text, "a request met a defect of dhow");
    ApiError::internal("this request met a defect of dhow; its log says more").into_response()
}

/// The headers of every answer come in time. An answer that follows events has sent its own at once.
async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!(
                "this took longer than {} s; an action goes on, see `dhow status`",
                TIMEOUT.as_secs()
            );
            ApiError::timeout(message).into_response()
        }
    }
}
