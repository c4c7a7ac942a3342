//! What goes wrong at a proxy.

use std::time::Duration;

use dhow_core::port::ExecutorError;
use thiserror::Error;

/// What goes wrong at a proxy. Nothing was changed, unless it says so.
#[derive(Debug, Clone, Error)]
pub enum ProxyError {
    /// The place.
    #[error(transparent)]
    Place(#[from] ExecutorError),
    /// The API does not answer: it may come back.
    #[error(
        "Caddy's admin API at {address} does not answer: {reason}; is Caddy running there, and does its configuration say admin listen {address}?"
    )]
    Gone {
        /// As the settings have it.
        address: String,
        /// Why.
        reason: String,
    },
    /// The proxy does not take what it was told.
    #[error("the proxy refused {what}: {reason}")]
    Refused {
        /// What was asked.
        what: String,
        /// In its own words, cut.
        reason: String,
    },
    /// What is there cannot be understood: a person must look.
    #[error("{0}")]
    Unexpected(String),
    /// Somebody else's route has the host.
    #[error(
        "the proxy has a route for {host} that is not Dhow's ({route}); remove it there, or give the deployment another host"
    )]
    Taken {
        /// The host.
        host: String,
        /// Where the other one stands.
        route: String,
    },
    /// Somebody else changes the proxy all the time.
    #[error(
        "the proxy's configuration was changed by somebody else {0} times while it was to be changed; try again"
    )]
    Contended(u32),
    /// An upstream does not take connections: it was not added.
    #[error("{address} takes no connection: {reason}; it was not added to the proxy")]
    NotListening {
        /// The upstream.
        address: String,
        /// Why.
        reason: String,
    },
    /// It was set, and is not seen through the front door.
    #[error("the proxy does not serve {host} as set, {limit:?} after it was told: {reason}")]
    NotReady {
        /// The site.
        host: String,
        /// How long it was waited for.
        limit: Duration,
        /// What was seen last.
        reason: String,
    },
    /// The settings ask for what this proxy cannot do.
    #[error("{0}")]
    Unable(String),
}

impl ProxyError {
    /// It may succeed by itself when it is tried again; else a person must act.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Place(error) => !matches!(error, ExecutorError::Refused(_) | ExecutorError::Fenced { .. }),
            Self::Gone { .. } | Self::Contended(_) | Self::NotListening { .. } | Self::NotReady { .. } => {
                true
            }
            Self::Refused { .. } | Self::Unexpected(_) | Self::Taken { .. } | Self::Unable(_) => false,
        }
    }
}
