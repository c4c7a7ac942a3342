//! All tags of a repository, page by page.

use std::collections::BTreeSet;

use dhow_core::noun::{Repository, Tag};
use reqwest::{Method, Response, Url};
use serde::Deserialize;

use super::error::{Error, ErrorKind};
use super::send::{is_html, read_limited};
use super::{Access, Client};

/// What is asked for a page; registries may give fewer.
const PAGE: usize = 1000;
/// Bounds against a registry that never ends.
const MAX_PAGES: usize = 2000;
const MAX_TAGS: usize = 1_000_000;
const MAX_PAGE_BYTES: usize = 16 << 20;
/// Registries that cut pages without a `Link` cut them at round numbers.
const ROUND: usize = 50;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Client {
    /// All tags of a repository, sorted and without doubles. Follows `Link`; where a registry gives none although a page
    /// looks cut, goes on behind the last tag. What is no legal tag is left out.
    ///
    /// # Errors
    /// Any [`ErrorKind`]; an empty repository may be `NotFound`. Nothing is returned in part.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        let target = self.on(repository, Access::Pull, format!("tags of {}", repository.path()))?;
        let mut found = BTreeSet::new();
        let mut next = Some(target.ask(Method::GET, &format!("tags/list?n={PAGE}"))?.url);
        for _ in 0..MAX_PAGES {
            let Some(url) = next.take() else { return Ok(found.into_iter().collect()) };
            let mut ask = target.ask_at(Method::GET, url.clone());
            ask.headers.push(("accept", "application/json".into()));
            let answer = self.send(&ask).await?;
            let (page, link) = read_page(answer.response, &url).await.map_err(|kind| target.error(kind))?;
            let before = found.len();
            let last = page.iter().max().cloned();
            let length = page.len();
            found.extend(page.into_iter().filter_map(|tag| Tag::new(tag).ok()));
            if found.len() > MAX_TAGS {
                return Err(
                    target.error(ErrorKind::Invalid(format!("more than {MAX_TAGS} tags; delete old ones")))
                );
            }
            let grew = found.len() > before;
            next = match link {
                Some(link) if link.origin() == url.origin() => Some(link),
                Some(link) => {
                    let host = link.host_str().unwrap_or_default().to_owned();
                    return Err(target
                        .error(ErrorKind::Forbidden(format!("its next page is on another host, {host}"))));
                }
                None if grew && (length >= PAGE || length % ROUND == 0) => {
                    last.map(|last| after(&target, &last)).transpose()?
                }
                None => None,
            };
        }
        Err(target.error(ErrorKind::Invalid(format!("more than {MAX_PAGES} pages of tags"))))
    }
}

fn after(target: &super::Target<'_>, last: &str) -> Result<Url, Error> {
    let mut url = target.ask(Method::GET, &format!("tags/list?n={PAGE}"))?.url;
    url.query_pairs_mut().append_pair("last", last);
    Ok(url)
}

async fn read_page(response: Response, url: &Url) -> Result<(Vec<String>, Option<Url>), ErrorKind> {
    if is_html(&response) {
        return Err(ErrorKind::NotARegistry("an HTML page".into()));
    }
    let links = response.headers().get_all(reqwest::header::LINK);
    let link = links.iter().filter_map(|value| value.to_str().ok()).find_map(next_of);
    let link = link.map(|link| url.join(&link)).transpose();
    let link = link.map_err(|_| ErrorKind::Invalid("its next page has no address".into()))?;
    let bytes = read_limited(response, MAX_PAGE_BYTES).await?;
    let page: Page = serde_json::from_slice(&bytes)
        .map_err(|_| ErrorKind::NotARegistry("something that is no list of tags".into()))?;
    Ok((page.tags.unwrap_or_default(), link))
}

/// The address with `rel=next` of a `Link` header (RFC 8288).
pub(super) fn next_of(header: &str) -> Option<String> {
    header.split(",").find_map(|link| {
        let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            let parameter = parameter.trim().to_ascii_lowercase();
            parameter == "rel=next" || parameter == "rel=\"next\""
        });
        is_next.then(|| address.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        assert_eq!(
            next_of("</v2/a/tags/list?n=2&last=b>; rel=\"next\""),
            Some("/v2/a/tags/list?n=2&last=b".into())
        );
        assert_eq!(next_of("</a>; rel=\"prev\", </b>; rel=next"), Some("/b".into()));
        assert_eq!(next_of("</a>; rel=\"prev\""), None);
    }
}
