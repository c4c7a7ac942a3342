use thiserror::Error;

use crate::noun::InvalidReference;

/// At most this many characters of a text from outside are shown in a message.
const SHOWN: usize = 128;

/// The beginning of a text from outside, short enough for a message.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// A policy, filter or extract that cannot be used as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// A semver range that cannot be read.
    #[error("semver range {range:?} cannot be read: {problem}")]
    Range {
        /// The range as given, cut.
        range: String,
        /// What is wrong with it, as a sentence.
        problem: String,
    },
    /// A word that is no order.
    #[error("{text:?} is no order; expected asc or desc (tags are sorted so, and the last one is selected)")]
    Order {
        /// The text as given, cut.
        text: String,
    },
    /// A policy `digest` with a text that is no tag.
    #[error("policy digest needs a tag to follow: {0}")]
    Tag(InvalidReference),
    /// A filter that is no regular expression, or one too large.
    #[error("filter {pattern:?} cannot be used: {problem}")]
    Pattern {
        /// The pattern as given, cut.
        pattern: String,
        /// What is wrong with it; may have several lines that point at the place.
        problem: String,
    },
    /// An extract that does not fit its filter.
    #[error("extract {extract:?} cannot be used: {problem}")]
    Extract {
        /// The extract as given, cut.
        extract: String,
        /// What is wrong with it, as a sentence.
        problem: String,
    },
    /// An extract without a filter.
    #[error("extract {extract:?} stands without a filter; add the filter whose groups it names")]
    ExtractWithoutFilter {
        /// The extract as given, cut.
        extract: String,
    },
}

/// A policy that cannot decide among the tags it was given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SelectError {
    /// Policy `numerical` met a candidate that is no number.
    #[error(
        "policy numerical cannot sort tag {tag:?}: {value:?} is no decimal number; \
         set a filter that leaves such tags out, or an extract that takes the number from them"
    )]
    NotANumber {
        /// The tag as the registry lists it, cut.
        tag: String,
        /// What was read as a number: the tag, or what the filter extracted from it; cut.
        value: String,
    },
}
