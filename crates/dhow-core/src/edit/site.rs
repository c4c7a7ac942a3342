use std::fmt;
use std::ops::Range;

use crate::noun::{Digest, Repository, Tag};

/// By what a site was found, and so what it belongs to. Sites of one key in one file hold one version together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SiteKey {
    /// The repository that stands in an `image:`, a `bundle:`, a kustomize `images:` entry or an `.env` value.
    Repository(Repository),
    /// The policy that a Flux marker names.
    Marker {
        /// The policy's namespace.
        namespace: String,
        /// The policy's name.
        name: String,
    },
    /// A path that the request named.
    Oob {
        /// The path, as the request wrote it.
        path: String,
    },
}

impl fmt::Display for SiteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(repository) => write!(f, "{repository}"),
            Self::Marker { namespace, name } => write!(f, "{namespace}:{name}"),
            Self::Oob { path } => f.write_str(path),
        }
    }
}

/// Which part of a version a Flux marker stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MarkerField {
    /// `ns:name`: the whole reference.
    Whole,
    /// `ns:name:tag`.
    Tag,
    /// `ns:name:name`: the repository.
    Name,
    /// `ns:name:digest`.
    Digest,
}

/// How a version is written at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// The value of an `image:` key.
    Image,
    /// The value of `bundle:` in a `dhow.yaml`.
    Bundle,
    /// An entry of kustomize's `images:`, with `newTag`, `digest` or both.
    KustomizeImage,
    /// A scalar with a Flux marker behind it.
    Marker(MarkerField),
    /// A scalar that an `oob` path names: a whole reference, a tag or a digest, whichever stands there.
    Oob,
    /// A value in an `.env` file.
    Env,
}

/// A place in a file where a version stands, as [`find`](super::find) found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The file, as it was named to `find`.
    pub file: String,
    /// How the version is written.
    pub form: Form,
    /// What the site belongs to.
    pub key: SiteKey,
    /// The repository that stands there, or in a scalar beside it that belongs to the same marker or entry.
    pub repository: Option<Repository>,
    /// The tag that stands there now, or beside it.
    pub tag: Option<Tag>,
    /// The digest that stands there now, or beside it.
    pub digest: Option<Digest>,
    /// The line of the first scalar, from 1.
    pub line: usize,
    /// The column of the first scalar in characters, from 1.
    pub column: usize,
    /// The scalars that are written, together.
    pub(super) parts: Vec<Part>,
}

impl Site {
    /// Whether a tag can be written here. Where it cannot, the digest alone stands in the file.
    pub fn holds_tag(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.role, Role::Whole | Role::Tag))
    }

    /// Whether a digest can be written here. Where it cannot, the tag alone stands in the file.
    pub fn holds_digest(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.role, Role::Whole | Role::Digest))
    }
}

/// What a scalar holds of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Whole,
    Name,
    Tag,
    Digest,
}

/// How a scalar is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quote {
    Plain,
    Single,
    Double,
}

/// One scalar of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub role: Role,
    /// Its bytes in the text, quotes included.
    pub span: Range<usize>,
    /// Its number in the text's tree, or among the entries of an `.env` file.
    pub node: usize,
    pub quote: Quote,
    /// Its value, without quotes.
    pub value: String,
    pub line: usize,
}
