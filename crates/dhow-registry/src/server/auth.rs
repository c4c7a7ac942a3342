//! Who may do what: asked of the process that embeds the registry.

use async_trait::async_trait;
use base64::Engine as _;
use http::HeaderMap;
use secrecy::SecretString;

/// What a caller presented, unchecked.
#[derive(Debug, Clone)]
pub enum Presented {
    /// Nothing.
    Anonymous,
    /// A user name and a password, as `docker login` sends them. Any name may stand beside a token.
    Basic {
        /// The user name.
        user: String,
        /// The password: a token.
        password: SecretString,
    },
    /// A token by itself.
    Bearer(SecretString),
}

/// What a caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Read tags, manifests, blobs and referrers.
    Pull,
    /// Upload blobs, write manifests and tags.
    Push,
    /// Delete tags, manifests and blobs.
    Delete,
}

/// The answer to an [`Action`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow,
    /// It is not known who asks: answered with 401 and a challenge.
    Unauthenticated,
    /// It is known who asks, and they may not: answered with 403 and this reason.
    Forbidden(String),
}

/// Decides on every request, before anything of the store is read.
#[async_trait]
pub trait Authorizer: Send + Sync {
    /// Whether the caller may act on the repository. `None` is the registry as a whole: `GET /v2/`, where `docker login`
    /// tries its password. Must compare tokens in constant time.
    async fn authorize(&self, presented: &Presented, repository: Option<&str>, action: Action) -> Decision;
}

/// Lets everybody do everything: for tests, and for a listener that only this process can reach.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

#[async_trait]
impl Authorizer for Open {
    async fn authorize(&self, _: &Presented, _: Option<&str>, _: Action) -> Decision {
        Decision::Allow
    }
}

/// Reads `Authorization`. A header that cannot be read is `None`: not anonymous, but refused.
pub(crate) fn presented(headers: &HeaderMap) -> Option<Presented> {
    let Some(header) = headers.get(http::header::AUTHORIZATION) else { return Some(Presented::Anonymous) };
    let (scheme, rest) = header.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Presented::Bearer(rest.to_owned().into()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(rest).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Presented::Basic { user: user.to_owned(), password: password.to_owned().into() })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn read(value: &str) -> Option<Presented> {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", value.parse().unwrap());
        presented(&headers)
    }

    #[test]
    fn a_password_may_hold_colons() {
        let Some(Presented::Basic { user, password }) = read("Basic YTpiOmM=") else { panic!("not basic") };
        assert_eq!((user.as_str(), password.expose_secret()), ("a", "b:c"));
    }

    #[test]
    fn a_broken_header_is_not_taken_for_an_anonymous_caller() {
        for bad in ["Basic", "Basic !!", "Digest x", "Basic YQ=="] {
            assert!(read(bad).is_none(), "{bad}");
        }
        assert!(matches!(presented(&HeaderMap::new()), Some(Presented::Anonymous)));
    }

    #[test]
    fn a_secret_does_not_show_in_a_debug_print() {
        assert!(!format!("{:?}", read("Bearer hunter2")).contains("hunter2"));
    }
}
