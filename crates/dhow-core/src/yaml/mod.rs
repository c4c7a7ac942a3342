//! YAML with spans: a small tree that keeps the text of every scalar as it stands (`1.10` stays `1.10`) and the place
//! of every value, and readers over it that find all errors of a file, not only the first.
//!
//! What comes in is limited before anything is built: bytes ([`MAX_BYTES`]), values after aliases ([`MAX_WEIGHT`]) and
//! nesting ([`MAX_DEPTH`]).

mod build;
mod duration;
mod node;
mod parse;
mod reader;

pub use build::{MAX_DEPTH, MAX_WEIGHT};
pub use duration::{InvalidDuration, parse_duration};
pub use node::{Key, Kind, Node, Position};
pub use parse::{MAX_BYTES, Parsed, parse};
pub use reader::{Fields, Reader};

/// The lines of a YAML text. A carriage return alone ends a line too (YAML 1.2.2, 5.4).
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('\r'))
}
