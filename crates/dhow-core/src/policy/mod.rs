//! Policies: the rule that selects the newest acceptable version of an artifact. Tags in, one tag out; pure.
//!
//! A [`Rule`] is a [`Policy`] and, where it has one, a [`Filter`]. Every tag passes the filter first; what the
//! filter extracts is what the policy judges; the tag as it stands in the registry is what is selected.
//! The result does not depend on the order in which a registry lists its tags: equals are told apart by
//! their text.

mod alphabetical;
mod digest;
mod error;
mod filter;
mod numerical;
mod select;
mod semver;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::error::{PolicyError, SelectError};
pub use self::filter::{Filter, Template};
pub use self::select::{accepts, ranked, select};
pub use self::semver::SemverRange;
use crate::noun::Tag;

/// How tags are sorted before the last one is selected, as Flux means it: `asc` selects the greatest,
/// `desc` the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// From small to great: the greatest is the newest.
    Asc,
    /// From great to small: the smallest is the newest.
    Desc,
}

impl Order {
    /// Reads `asc` or `desc`.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        match text {
            "asc" => Ok(Self::Asc),
            "desc" => Ok(Self::Desc),
            _ => Err(PolicyError::Order { text: error::cut(text) }),
        }
    }

    /// The word that [`Order::parse`] reads.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asc => "asc",
            Self::Desc => "desc",
        }
    }
}

impl std::str::FromStr for Order {
    type Err = PolicyError;
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        Self::parse(text)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which tags are acceptable, and which of them is the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// The highest semantic version in a range. Tags that are no full version are ignored.
    Semver {
        /// The versions that are acceptable.
        range: SemverRange,
    },
    /// The last tag when sorted by bytes.
    Alphabetical(Order),
    /// The last tag when sorted as decimal numbers. One tag that is no number fails the policy.
    Numerical(Order),
    /// Whatever one tag points at now.
    Digest {
        /// The tag that is followed.
        tag: Tag,
    },
}

impl Policy {
    /// `semver: <range>`. Fails if the range cannot be read.
    pub fn semver(range: &str) -> Result<Self, PolicyError> {
        Ok(Self::Semver { range: SemverRange::parse(range)? })
    }

    /// `alphabetical: asc|desc`. Fails on any other word.
    pub fn alphabetical(order: &str) -> Result<Self, PolicyError> {
        Ok(Self::Alphabetical(Order::parse(order)?))
    }

    /// `numerical: asc|desc`. Fails on any other word.
    pub fn numerical(order: &str) -> Result<Self, PolicyError> {
        Ok(Self::Numerical(Order::parse(order)?))
    }

    /// `digest: <tag>`. Fails if the text is no tag.
    pub fn digest(tag: &str) -> Result<Self, PolicyError> {
        Ok(Self::Digest { tag: Tag::new(tag).map_err(PolicyError::Tag)? })
    }

    /// The policy's name, as it stands in `dhow.yaml`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Semver { .. } => "semver",
            Self::Alphabetical(_) => "alphabetical",
            Self::Numerical(_) => "numerical",
            Self::Digest { .. } => "digest",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Semver { range } => write!(f, "{kind} {range}"),
            Self::Alphabetical(order) | Self::Numerical(order) => write!(f, "{kind} {order}"),
            Self::Digest { tag } => write!(f, "{kind} {tag}"),
        }
    }
}

/// The whole rule of one artifact in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Judges what the filter lets through.
    pub policy: Policy,
    /// Runs first. Without one every tag is a candidate.
    pub filter: Option<Filter>,
}

impl Rule {
    /// A rule from the texts of `filter` and `extract`. Fails as [`Filter::from_parts`] does.
    pub fn new(policy: Policy, filter: Option<&str>, extract: Option<&str>) -> Result<Self, PolicyError> {
        Ok(Self { policy, filter: Filter::from_parts(filter, extract)? })
    }
}

impl From<Policy> for Rule {
    fn from(policy: Policy) -> Self {
        Self { policy, filter: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_asc_or_desc_and_nothing_else() {
        assert_eq!(Order::parse("asc"), Ok(Order::Asc));
        assert_eq!(Order::parse("desc"), Ok(Order::Desc));
        for bad in ["", "ASC", "ascending", " asc"] {
            let message = Order::parse(bad).unwrap_err().to_string();
            assert!(message.contains("expected asc or desc"), "{message}");
        }
    }

    #[test]
    fn a_policy_says_itself_as_it_was_written() {
        assert_eq!(Policy::semver(">=1.0,  <2").unwrap().to_string(), "semver >=1.0,  <2");
        assert_eq!(Policy::numerical("asc").unwrap().to_string(), "numerical asc");
        assert_eq!(Policy::digest("latest").unwrap().to_string(), "digest latest");
    }

    #[test]
    fn a_digest_policy_follows_only_what_can_be_a_tag() {
        assert!(Policy::digest("a b").unwrap_err().to_string().contains("policy digest needs a tag"));
    }
}
