//! The web server of the live sites.
//!
//! Flow: the Host header finds the site, the site gives one [`LiveRelease`], and that alone answers the request: a
//! response never mixes two releases. A release is loaded before it is set live, so a switch costs one pointer.
//!
//! Guarantees: only files of the release's manifest are opened; no folder is listed; a file that differs from the
//! manifest is not served under the manifest's ETag, but answered with status 500 and told in the log.

mod accept;
mod answer;
mod body;
mod caching;
mod conditional;
mod encoding;
mod file;
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
