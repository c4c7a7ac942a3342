use std::fmt;

use super::SiteKey;

/// What kind of problem it is, for callers that treat them differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// The file cannot be read as YAML, and nothing in it asks to be edited: often a template.
    Parse,
    /// The file cannot be read as YAML, and it has a Flux marker: somebody expects it to be edited.
    ParseWithMarker,
    /// The file is longer, larger or deeper than this module reads.
    TooLarge,
    /// A version stands where it cannot be edited, or a marker or a path leads to none.
    NotEditable,
    /// Text that looks like a marker and is none: in a block scalar, or misspelt. It may be meant so.
    StrayMarker,
}

/// Something in a file that was left alone, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named to `find`.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// Its kind.
    pub kind: ProblemKind,
    /// What the version belongs to, where that is known.
    pub key: Option<SiteKey>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}; {}", self.file, self.line, self.column, self.message, self.help)
    }
}
