//! From a request to an answer, within one release.

use std::io;

use dhow_file::FileBytes;
use http::header::{CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::body::SiteBody;
use super::encoding::{Accepted, Encoding};
use super::file::File;
use super::headers::{self, Vary};
use super::live::LiveRelease;
use super::load::{Content, load};
use super::range::{Wanted, wanted};
use super::{accept, conditional, gzip, page, path};

/// Answers a request from this release alone.
pub(super) async fn answer<B>(live: &LiveRelease, request: &Request<B>) -> Response<SiteBody> {
    let head = request.method() == Method::HEAD;
    if !head && request.method() != Method::GET {
        return page::method_not_allowed();
    }
    let response = match route(live, request) {
        Route::Bad(problem) => page::bad_path(problem),
        Route::Moved(to) => page::moved(&to),
        Route::Nothing => page::not_found(),
        Route::File(index, vary) => found(live, index, vary, request).await,
        Route::NotFoundPage(index, vary) => {
            send(live, index, vary, request.headers(), None, StatusCode::NOT_FOUND).await
        }
    };
    if head { headers::without_body(response) } else { response }
}

enum Route {
    File(usize, Vary),
    NotFoundPage(usize, Vary),
    Moved(String),
    Nothing,
    Bad(&'static str),
}

fn route<B>(live: &LiveRelease, request: &Request<B>) -> Route {
    let uri = request.uri();
    let path = match path::decode(uri.path()) {
        Ok(path) => path,
        Err(path::BadPath(problem)) => return Route::Bad(problem),
    };
    let folder = path.is_empty() || path.ends_with('/');
    let index = |separator: &str| live.find(&format!("{path}{separator}index.html"));
    if let Some(found) = if folder { index("") } else { live.find(&path) } {
        return Route::File(found, Vary::Encoding);
    }
    if !folder && index("/").is_some() {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return Route::Moved(format!("{}/{query}", uri.path()));
    }
    let vary = if live.fallback.is_some() { Vary::AcceptAndEncoding } else { Vary::Encoding };
    let is_page = !path.rsplit('/').next().unwrap_or_default().contains('.');
    match (live.fallback, live.not_found) {
        (Some(page), _) if is_page && accept::accepts_html(request.headers()) => Route::File(page, vary),
        (_, Some(page)) => Route::NotFoundPage(page, vary),
        _ => Route::Nothing,
    }
}

async fn found<B>(live: &LiveRelease, index: usize, vary: Vary, request: &Request<B>) -> Response<SiteBody> {
    let range = request.headers().get(RANGE).filter(|_| request.method() == Method::GET);
    send(live, index, vary, request.headers(), range, StatusCode::OK).await
}

/// What is sent for a file.
#[derive(Clone, Copy)]
enum Form<'a> {
    /// As it is.
    Plain,
    /// A packed form that the release brought along.
    Packed(Encoding, &'a File),
    /// Compressed here.
    Gzip,
}

fn choose<'a>(live: &'a LiveRelease, file: &'a File, accepted: Accepted) -> Form<'a> {
    if !file.negotiated() {
        return Form::Plain;
    }
    let packed = file.packed.iter().map(|(encoding, _)| *encoding);
    match accepted.best(packed.chain(file.compress.then_some(Encoding::Gzip))) {
        None => Form::Plain,
        Some(best) => match file.packed.iter().find(|(encoding, _)| *encoding == best) {
            Some((_, index)) => Form::Packed(best, live.file(*index)),
            None => Form::Gzip,
        },
    }
}

async fn send(
    live: &LiveRelease,
    index: usize,
    vary: Vary,
    request: &HeaderMap,
    range: Option<&HeaderValue>,
    status: StatusCode,
) -> Response<SiteBody> {
    let file = live.file(index);
    let accepted = Accepted::of(request);
    // A range counts bytes of the file as it is: that is what a client who resumes has in hand.
    let form =
        if range.is_some() && accepted.identity() { Form::Plain } else { choose(live, file, accepted) };
    let etag = match form {
        Form::Plain => conditional::strong(&file.entry.sha256),
        Form::Packed(_, packed) => conditional::strong(&packed.entry.sha256),
        Form::Gzip => conditional::gzipped(&file.entry.sha256),
    };
    let is_ok = status == StatusCode::OK;
    if is_ok && conditional::client_has(request, &etag) {
        let headers = headers::of_file(file, Some(etag), vary);
        return headers::response(StatusCode::NOT_MODIFIED, headers, SiteBody::Bytes(bytes::Bytes::new()));
    }
    let range = range.filter(|_| matches!(form, Form::Plain) && conditional::range_applies(request, &etag));
    let mut headers = headers::of_file(file, is_ok.then_some(etag), vary);
    if !is_ok {
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    let sent = match form {
        Form::Gzip => compressed(live, file, status, headers).await,
        Form::Packed(encoding, packed) => {
            headers::describe(&mut headers, file, Some(encoding));
            whole(live, packed, status, headers).await
        }
        Form::Plain => {
            headers::describe(&mut headers, file, None);
            match range.and_then(|range| range.to_str().ok()).map(|range| wanted(range, file.entry.size)) {
                None | Some(Wanted::Whole) => whole(live, file, status, headers).await,
                Some(Wanted::Part { first, last }) => part(live, file, first, last, headers).await,
                Some(Wanted::Unsatisfiable) => Ok(unsatisfiable(file, headers)),
            }
        }
    };
    sent.unwrap_or_else(|error| {
        tracing::error!(deployment = %live.deployment(), release = %live.hash().short(), file = %file.path, %error,
            "a file of a live release could not be served; deploy the release again");
        page::unreadable()
    })
}

async fn whole(
    live: &LiveRelease,
    file: &File,
    status: StatusCode,
    headers: HeaderMap,
) -> io::Result<Response<SiteBody>> {
    let body = match load(live, file).await? {
        Content::Bytes(bytes) => SiteBody::Bytes(bytes),
        Content::Open(opened) => {
            SiteBody::File(FileBytes::new(&live.share.resources.buffers, opened, 0, file.entry.size))
        }
    };
    Ok(headers::response(status, headers, body))
}

/// Compressed, or as it is where all compressors are busy.
async fn compressed(
    live: &LiveRelease,
    file: &File,
    status: StatusCode,
    mut headers: HeaderMap,
) -> io::Result<Response<SiteBody>> {
    let body = match file.gzipped.get() {
        Some(bytes) => SiteBody::Bytes(bytes.clone()),
        None => match live.share.resources.compressors.clone().try_acquire_owned() {
            Ok(permit) => gzip::compress(live, file, permit).await?,
            Err(_) => {
                if headers.contains_key(http::header::ETAG) {
                    headers.insert(http::header::ETAG, conditional::strong(&file.entry.sha256));
                }
                headers::describe(&mut headers, file, None);
                return whole(live, file, status, headers).await;
            }
        },
    };
    headers::describe(&mut headers, file, Some(Encoding::Gzip));
    Ok(headers::response(status, headers, body))
}

async fn part(
    live: &LiveRelease,
    file: &File,
    first: u64,
    last: u64,
    mut headers: HeaderMap,
) -> io::Result<Response<SiteBody>> {
    let body = match load(live, file).await? {
        Content::Bytes(bytes) => {
            let end = usize::try_from(last + 1).unwrap_or(bytes.len()).min(bytes.len());
            SiteBody::Bytes(bytes.slice(usize::try_from(first).unwrap_or(end).min(end)..end))
        }
        Content::Open(opened) => {
            SiteBody::File(FileBytes::new(&live.share.resources.buffers, opened, first, last - first + 1))
        }
    };
    let range = format!("bytes {first}-{last}/{}", file.entry.size);
    headers.insert(CONTENT_RANGE, HeaderValue::try_from(range).map_err(io::Error::other)?);
    Ok(headers::response(StatusCode::PARTIAL_CONTENT, headers, body))
}

fn unsatisfiable(file: &File, mut headers: HeaderMap) -> Response<SiteBody> {
    if let Ok(range) = HeaderValue::try_from(format!("bytes */{}", file.entry.size)) {
        headers.insert(CONTENT_RANGE, range);
    }
    headers::response(StatusCode::RANGE_NOT_SATISFIABLE, headers, SiteBody::Bytes(bytes::Bytes::new()))
}
