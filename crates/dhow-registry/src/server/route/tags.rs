//! The list of tags.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};

use super::super::blocking;
use super::super::refusal::Refusal;
use super::Call;

/// Most tags on a page, whatever the caller asks for.
const PAGE: usize = 10_000;

/// `GET tags/list?n=&last=`: sorted, with a `Link` to the next page where there is one.
pub(crate) async fn list(call: Call) -> Result<Response, Refusal> {
    let n = match call.query("n") {
        Some(text) => text.parse::<usize>().map_err(|_| {
            Refusal::new(
                http::StatusCode::BAD_REQUEST,
                "UNSUPPORTED",
                format!("n={text} is no number of tags"),
            )
        })?,
        None => PAGE,
    };
    let last = call.query("last");
    let inner = call.registry.inner.clone();
    let repository = call.repository.clone();
    let tags =
        blocking(move || Ok(inner.disk.knows(&repository).then(|| inner.disk.tags(&repository)))).await?;
    let mut tags = tags.ok_or_else(|| Refusal::name_unknown(call.repository.as_str()))??;
    if let Some(last) = last {
        tags.retain(|tag| tag.as_str() > last.as_str());
    }
    let page = n.min(PAGE);
    let more = tags.len() > page && page > 0;
    tags.truncate(page);
    let body = serde_json::json!({ "name": call.repository.as_str(), "tags": tags });
    let mut response = axum::Json(body).into_response();
    if let Some(last) = tags.last().filter(|_| more) {
        let link = format!("<{}?n={page}&last={last}>; rel=\"next\"", call.location("tags/list"));
        response.headers_mut().extend(HeaderValue::from_str(&link).ok().map(|link| (header::LINK, link)));
    }
    Ok(response)
}
