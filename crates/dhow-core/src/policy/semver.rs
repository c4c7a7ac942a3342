use std::fmt;

use ::semver::Version;
use serde::{Deserialize, Serialize};

use super::PolicyError;

mod parse;

/// A range of semantic versions, written and meant as in Flux, which reads it with Masterminds' semver 3.
///
/// - Comparators: `=` (or nothing), `!=`, `>`, `>=`, `<`, `<=`, `~`, `^`. Spaces or commas between them mean AND,
///   `||` means OR, `1.2 - 2.3.4` is `>=1.2 <=2.3.4`.
/// - `x`, `X`, `*` or a missing part leave that part open: `1.x`, `1` and `1.x.3` are all of 1; `>1.2` starts at
///   1.3.0, `<=1.2` ends before 1.3.0, `<1.2` before 1.2.0.
/// - `~1.2.3` is `>=1.2.3 <1.3.0`, `~1` is all of 1. `^1.2` is `>=1.2.0 <2.0.0`, `^0.2` is `>=0.2.0 <0.3.0`,
///   `^0.0.3` is that patch alone.
/// - A pre-release is accepted only where a comparator of the same AND group has one: `>=1.0.0-0`, `*-0`.
///
/// The `VersionReq` of the `semver` crate is another language: there a bare `1.2.3` is `^1.2.3`, there is no `||`,
/// no `!=`, no hyphen range and no AND by spaces, and pre-releases match only at the same three numbers.
/// So the range is our own; versions and their order are the crate's.
///
/// Where Masterminds' code and its documentation differ, `^*` is any version as documented. A comparison with
/// `*` alone that says nothing (`>*`, `<*`, `<=*`, `!=*`) is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SemverRange {
    text: String,
    alternatives: Vec<Alternative>,
}

/// Comparators that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alternative {
    comparators: Vec<Comparator>,
    /// Whether one of them names a pre-release.
    pre_releases: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparator {
    operator: Operator,
    precision: Precision,
    /// Parts left open are 0.
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Tilde,
    Caret,
}

/// How many parts of a comparator's version are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    Any,
    Major,
    Minor,
    Full,
}

/// The version that a tag is: three parts, a leading `v` allowed. `None` for all else.
pub(super) fn full_version(tag: &str) -> Option<Version> {
    Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

impl SemverRange {
    /// Reads a range. Fails with the part that cannot be read.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let alternatives = parse::alternatives(text)
            .map_err(|problem| PolicyError::Range { range: super::error::cut(text), problem })?;
        Ok(Self { text: text.to_owned(), alternatives })
    }

    /// The range as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the version lies in the range. Its build metadata plays no part.
    pub fn matches(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|alternative| {
            (version.pre.is_empty() || alternative.pre_releases)
                && alternative.comparators.iter().all(|comparator| comparator.matches(version))
        })
    }
}

impl Comparator {
    fn matches(&self, version: &Version) -> bool {
        let order = version.cmp_precedence(&self.version);
        let minor = |version: &Version| (version.major, version.minor);
        match self.operator {
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::Less => order.is_lt(),
            Operator::Equal if self.precision == Precision::Full => order.is_eq(),
            Operator::Equal | Operator::Tilde => order.is_ge() && self.within_tilde(version),
            Operator::Caret => order.is_ge() && self.within_caret(version),
            Operator::NotEqual => match self.precision {
                Precision::Major | Precision::Any => version.major != self.version.major,
                Precision::Minor => minor(version) != minor(&self.version) || version.pre != self.version.pre,
                Precision::Full => order.is_ne(),
            },
            Operator::Greater => match self.precision {
                Precision::Major | Precision::Any => version.major > self.version.major,
                Precision::Minor => minor(version) > minor(&self.version),
                Precision::Full => order.is_gt(),
            },
            Operator::LessOrEqual => match self.precision {
                Precision::Major | Precision::Any => version.major <= self.version.major,
                Precision::Minor => minor(version) <= minor(&self.version),
                Precision::Full => order.is_le(),
            },
        }
    }

    fn same_minor(&self, version: &Version) -> bool {
        version.major == self.version.major && version.minor == self.version.minor
    }

    /// `~0.0.0` is any version, as in Masterminds.
    fn within_tilde(&self, version: &Version) -> bool {
        let zero = (self.version.major, self.version.minor, self.version.patch) == (0, 0, 0);
        match self.precision {
            Precision::Any => true,
            Precision::Major => version.major == self.version.major,
            Precision::Minor => self.same_minor(version),
            Precision::Full => zero || self.same_minor(version),
        }
    }

    /// The leftmost part that is not 0 stays; of `0`, `0.0` and `0.0.0` the last given one.
    fn within_caret(&self, version: &Version) -> bool {
        let floor = &self.version;
        match self.precision {
            Precision::Any => true,
            _ if floor.major > 0 => version.major == floor.major,
            Precision::Major => version.major == floor.major,
            _ if floor.minor > 0 => self.same_minor(version),
            Precision::Minor => self.same_minor(version),
            Precision::Full => self.same_minor(version) && version.patch == floor.patch,
        }
    }
}

impl fmt::Display for SemverRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for SemverRange {
    type Err = PolicyError;
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for SemverRange {
    type Error = PolicyError;
    fn try_from(text: String) -> Result<Self, PolicyError> {
        Self::parse(&text)
    }
}

impl From<SemverRange> for String {
    fn from(range: SemverRange) -> String {
        range.text
    }
}

#[cfg(test)]
mod tests;
