//! The web server of the live sites.
//!
//! Flow: the Host header finds the site, the site gives one [`LiveRelease`], and that alone answers the request: a
//! response never mixes two releases. A release is loaded before it is set live, so a switch costs one pointer.
//!
//! Guarantees: only files of the release's manifest are opened; no folder is listed. A small file is compared with
//! its digest when it is first read, a big one by its length when it is opened: one that differs is answered with
//! status 500 and told in the log. What changes on disk behind that is found by [`crate::Releases::verify`].

mod accept;
mod answer;
mod body;
mod caching;
mod conditional;
mod encoding;
mod file;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod gzip;
mod headers;
mod live;
mod load;
mod page;
mod path;
mod range;
mod resources;
mod serve;
mod sites;
mod stall;

pub use live::LiveRelease;
pub use resources::Resources;
pub use serve::serve;
pub(crate) use serve::{Always, serve_with};
pub use sites::{HostTaken, Sites};
