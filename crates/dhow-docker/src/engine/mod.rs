//! A Docker Engine at a place: what it reports, what it says when something fails, and logins for its pulls.

pub(crate) mod api;
pub(crate) mod cache;
pub(crate) mod diagnose;
pub(crate) mod error;
pub(crate) mod image;
pub(crate) mod login;
pub(crate) mod watch;
