//! What can go wrong with a registry, told so that a person knows what to do.

use std::time::Duration;

use dhow_core::noun::Digest;
use thiserror::Error;

/// A call to a registry that did not end well.
#[derive(Debug, Error)]
#[error("registry {registry}: {asked}: {kind}")]
pub struct Error {
    /// The registry's name, as it stands in references.
    pub registry: String,
    /// What was asked: `tags of shop/web`.
    pub asked: String,
    /// What came.
    pub kind: ErrorKind,
}

/// The kinds of failure, as far as a caller treats them differently.
#[derive(Debug, Error)]
pub enum ErrorKind {
    /// The repository, tag or digest does not exist, or is hidden from these credentials.
    #[error("not found; check the name, and that it was pushed")]
    NotFound,
    /// The credentials are missing, wrong or not enough.
    #[error("access refused ({0}); `docker login` to it, or configure credentials for it")]
    Unauthorized(String),
    /// The registry wants fewer calls.
    #[error("too many calls; it wants us to wait {} s; it is tried again later", retry_after.as_secs())]
    RateLimited {
        /// How long to wait before the next call.
        retry_after: Duration,
    },
    /// Something answers there, but no registry.
    #[error(
        "this is no registry: it answered {0}; check host and port, and whether a proxy or a login page stands before it"
    )]
    NotARegistry(String),
    /// Content that is not what its digest says.
    #[error(
        "the content has the digest {came}, not {expected}; nothing of it was used; the registry or something before it is broken"
    )]
    WrongDigest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        came: Digest,
    },
    /// More than was announced or than is taken.
    #[error("the answer is larger than {limit} bytes; nothing of it was used")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// No answer, or one cut short.
    #[error("no answer: {0}; check that it runs and can be reached from here")]
    Unreachable(String),
    /// The registry said no, in its own words.
    #[error("it answered {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The specification's error code; empty where there was none.
        code: String,
        /// What it said, cut to 500 characters.
        message: String,
    },
    /// An answer, or content, that cannot be understood or is not what was expected.
    #[error("{0}")]
    Invalid(String),
    /// A call that our own rules forbid.
    #[error("not called: {0}")]
    Forbidden(String),
    /// A local file or setting.
    #[error("{0}")]
    Local(String),
}

impl Error {
    /// Whether the same call may succeed later without a person doing anything.
    pub fn is_transient(&self) -> bool {
        match &self.kind {
            ErrorKind::RateLimited { .. } | ErrorKind::Unreachable(_) => true,
            ErrorKind::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }
}

/// The message of an error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
