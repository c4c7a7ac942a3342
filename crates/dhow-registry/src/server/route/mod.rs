//! From a request to its handler: who asks, for what, and may they.

mod blob;
mod manifest;
mod referrers;
mod tags;
mod uploads;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};

use super::Registry;
use super::auth::{Action, Decision, Presented, presented};
use super::path::{RepositoryPath, Resource, parse};
use super::refusal::Refusal;

pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// A request that was let in.
pub(crate) struct Call {
    pub registry: Registry,
    pub presented: Presented,
    pub repository: RepositoryPath,
    pub parts: Parts,
}

impl Call {
    /// A parameter of the query, decoded; the first of its name.
    pub fn query(&self, name: &str) -> Option<String> {
        let query = self.parts.uri.query()?;
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The path of a resource of this repository, for `Location` and `Link`.
    pub fn location(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.repository.as_str())
    }
}

/// `GET /v2/`: answers 200 to whoever may use the registry; `docker login` asks this.
pub(crate) async fn base(State(registry): State<Registry>, request: Request<Body>) -> Response {
    let outcome =
        admit(&registry, request.headers(), None, Action::Pull).await.and_then(|_| match *request.method() {
            Method::GET | Method::HEAD => Ok(axum::Json(serde_json::json!({})).into_response()),
            ref method => Err(Refusal::method(method)),
        });
    finish(outcome)
}

/// Everything below `/v2/`.
pub(crate) async fn resource(
    State(registry): State<Registry>,
    Path(rest): Path<String>,
    request: Request<Body>,
) -> Response {
    finish(dispatch(registry, &rest, request).await)
}

async fn dispatch(registry: Registry, rest: &str, request: Request<Body>) -> Result<Response, Refusal> {
    let parsed = parse(rest);
    let name = parsed.as_ref().ok().map(|(name, _)| name.as_str());
    let action = action(request.method(), parsed.as_ref().ok().map(|(_, resource)| resource));
    let presented = admit(&registry, request.headers(), name, action).await?;
    let (repository, resource) = parsed?;
    let (parts, body) = request.into_parts();
    let call = Call { registry, presented, repository, parts };
    let method = call.parts.method.clone();
    match (resource, method) {
        (Resource::Tags, Method::GET | Method::HEAD) => tags::list(call).await,
        (Resource::Referrers(subject), Method::GET | Method::HEAD) => referrers::list(call, subject).await,
        (Resource::Manifest(reference), Method::GET | Method::HEAD) => manifest::get(call, reference).await,
        (Resource::Manifest(reference), Method::PUT) => manifest::put(call, reference, body).await,
        (Resource::Manifest(reference), Method::DELETE) => manifest::delete(call, reference).await,
        (Resource::Blob(digest), Method::GET | Method::HEAD) => blob::get(call, digest).await,
        (Resource::Blob(digest), Method::DELETE) => blob::delete(call, digest).await,
        (Resource::Uploads, Method::POST) => uploads::start(call, body).await,
        (Resource::Upload(id), Method::GET | Method::HEAD) => uploads::state(call, id).await,
        (Resource::Upload(id), Method::PATCH) => uploads::append(call, id, body).await,
        (Resource::Upload(id), Method::PUT) => uploads::finish(call, id, body).await,
        (Resource::Upload(id), Method::DELETE) => uploads::cancel(call, id).await,
        (_, method) => Err(Refusal::method(&method)),
    }
}

/// Reading an upload's state and cancelling it belong to pushing.
fn action(method: &Method, resource: Option<&Resource>) -> Action {
    if matches!(resource, Some(Resource::Upload(_) | Resource::Uploads)) {
        return Action::Push;
    }
    match *method {
        Method::GET | Method::HEAD => Action::Pull,
        Method::DELETE => Action::Delete,
        _ => Action::Push,
    }
}

async fn admit(
    registry: &Registry,
    headers: &http::HeaderMap,
    repository: Option<&str>,
    action: Action,
) -> Result<Presented, Refusal> {
    let presented = presented(headers).ok_or_else(Refusal::unauthenticated)?;
    match registry.inner.authorizer.authorize(&presented, repository, action).await {
        Decision::Allow => Ok(presented),
        Decision::Unauthenticated => Err(Refusal::unauthenticated()),
        Decision::Forbidden(reason) => Err(Refusal::denied(reason)),
    }
}

/// What every answer carries. `nosniff`: content is pushed by others and stands on the board's origin.
fn finish(outcome: Result<Response, Refusal>) -> Response {
    let mut response = outcome.unwrap_or_else(IntoResponse::into_response);
    let headers = response.headers_mut();
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode, headers: &[(HeaderName, String)]) -> Result<Response, Refusal> {
    with_body(status, headers, Body::empty())
}

/// An answer whose headers are made of our own values.
pub(crate) fn with_body(
    status: StatusCode,
    headers: &[(HeaderName, String)],
    body: Body,
) -> Result<Response, Refusal> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).map_err(|_| {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", format!("{name} cannot be answered"))
        })?;
        response.headers_mut().insert(name.clone(), value);
    }
    Ok(response)
}
