//! Edits of a fleet by byte span: where versions stand in a file, and writing others there.
//!
//! Two steps, both pure. [`find`] reads a file's text and says which scalars hold versions ([`Site`]) and what it
//! had to leave alone ([`Problem`]). [`apply`] writes versions into these scalars and gives the new text.
//!
//! What holds:
//! - A changed text differs from the old one in the bytes of the scalars that changed, and nowhere else. Comments,
//!   quotes, indentation, line ends, a byte order mark and a missing final newline stay.
//! - Every edit is proved before it is given out: the new text is parsed again, and is refused unless exactly the
//!   wanted scalars changed, to exactly the wanted strings.
//! - A text is edited only as it was found: where it changed in between, the edit is refused.
//! - A Flux marker wins over every other way to find a version; then an `oob` path; then kustomize's `images:`; then
//!   `image:` and `bundle:`.

mod error;
mod find;
mod problem;
mod scalar;
mod site;
#[cfg(test)]
mod tests;
mod tree;
mod write;

pub use error::EditError;
pub use find::{FindRequest, Found, find, is_looked_at};
pub use problem::{Problem, ProblemKind};
pub use site::{Form, MarkerField, Site, SiteKey};
pub use write::{apply, set, write};

/// The longest text that is looked at, in bytes. A longer one is reported and left alone.
pub const MAX_TEXT: usize = 10 * 1024 * 1024;

/// The most YAML nodes a text may have. One with more is reported and left alone.
pub const MAX_NODES: usize = 500_000;

/// How deep mappings and sequences may be nested. A deeper text is reported and left alone.
pub const MAX_DEPTH: usize = 128;

/// What makes a text worth a report when it cannot be read: it wanted to be edited.
pub const MARKER: &str = "$imagepolicy";
