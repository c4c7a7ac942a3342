//! Which resource a path under `/v2/` names.

use dhow_core::noun::{Digest, Repository, Tag};
use uuid::Uuid;

use super::refusal::Refusal;

/// A repository's path, checked against the specification's grammar: it cannot leave its folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RepositoryPath(String);

impl RepositoryPath {
    pub fn new(text: &str) -> Result<Self, Refusal> {
        let whole: Repository =
            format!("localhost/{text}").parse().map_err(|_| Refusal::name_invalid(text))?;
        Ok(Self(whole.path().to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a manifest is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    Tag(Tag),
    Digest(Digest),
}

impl Reference {
    fn new(text: &str) -> Result<Self, Refusal> {
        if text.contains(':') {
            return digest(text).map(Self::Digest);
        }
        Tag::new(text).map(Self::Tag).map_err(|_| Refusal::manifest_unknown(text))
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// A resource of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resource {
    Tags,
    Manifest(Reference),
    Blob(Digest),
    Uploads,
    Upload(Uuid),
    Referrers(Digest),
}

pub(crate) fn digest(text: &str) -> Result<Digest, Refusal> {
    text.parse()
        .map_err(|_| Refusal::digest_invalid(format!("{text:?} is no digest; only sha256 is taken here")))
}

/// Reads what stands after `/v2/`, percent-decoded.
pub(crate) fn parse(rest: &str) -> Result<(RepositoryPath, Resource), Refusal> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if let Some(name) = rest.strip_suffix("/tags/list") {
        return Ok((RepositoryPath::new(name)?, Resource::Tags));
    }
    if let Some(name) = rest.strip_suffix("/blobs/uploads") {
        return Ok((RepositoryPath::new(name)?, Resource::Uploads));
    }
    let unknown = || Refusal::name_invalid(rest);
    let (before, last) = rest.rsplit_once('/').ok_or_else(unknown)?;
    if let Some(name) = before.strip_suffix("/blobs/uploads") {
        let id = last.parse().map_err(|_| Refusal::upload_unknown())?;
        return Ok((RepositoryPath::new(name)?, Resource::Upload(id)));
    }
    let (name, kind) = before.rsplit_once('/').ok_or_else(unknown)?;
    let name = RepositoryPath::new(name)?;
    let resource = match kind {
        "manifests" => Resource::Manifest(Reference::new(last)?),
        "blobs" => Resource::Blob(digest(last)?),
        "referrers" => Resource::Referrers(digest(last)?),
        _ => return Err(unknown()),
    };
    Ok((name, resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_their_resources() {
        let hex = "a".repeat(64);
        let name =
            |text: &str| parse(text).map(|(name, resource)| (name.as_str().to_owned(), resource)).unwrap();
        assert_eq!(name("a/b/tags/list"), ("a/b".into(), Resource::Tags));
        assert_eq!(name("a/blobs/uploads/"), ("a".into(), Resource::Uploads));
        assert!(matches!(name(&format!("a/b/blobs/sha256:{hex}")).1, Resource::Blob(_)));
        assert!(matches!(name("a/b/manifests/v1").1, Resource::Manifest(Reference::Tag(_))));
        assert!(matches!(
            name(&format!("a/b/manifests/sha256:{hex}")).1,
            Resource::Manifest(Reference::Digest(_))
        ));
        assert!(matches!(name(&format!("a/referrers/sha256:{hex}")).1, Resource::Referrers(_)));
    }

    #[test]
    fn a_name_that_leaves_its_folder_is_refused() {
        for bad in [
            "../x/tags/list",
            "a/../b/tags/list",
            "A/tags/list",
            "_tags/tags/list",
            "a//b/tags/list",
            "x",
            "",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
