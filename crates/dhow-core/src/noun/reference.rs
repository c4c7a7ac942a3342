use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Digest;

/// Text that is no image reference, with what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is no image reference: {problem}")]
pub struct InvalidReference {
    /// The text as given, cut to 200 characters.
    pub text: String,
    /// What is wrong, as a sentence without its subject.
    pub problem: String,
}

fn invalid(text: &str, problem: impl Into<String>) -> InvalidReference {
    InvalidReference { text: text.chars().take(200).collect(), problem: problem.into() }
}

/// A repository in a registry, in its full form: `docker.io/library/nginx`, `127.0.0.1:5000/shop/web`.
///
/// Docker Hub's short names are the same repository as their full form (distribution reference grammar,
/// "familiar names"): `nginx` equals `docker.io/library/nginx`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository {
    registry: String,
    path: String,
}

impl Repository {
    /// The registry's host and port: `docker.io`, `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path within the registry: `library/nginx`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

impl std::str::FromStr for Repository {
    type Err = InvalidReference;
    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let (first, rest) = text.split_once('/').unwrap_or((text, ""));
        let host = first.to_ascii_lowercase();
        let is_host = !rest.is_empty() && (host.contains(['.', ':']) || host == "localhost");
        let (registry, path) = if is_host { (host.as_str(), rest) } else { ("docker.io", text) };
        let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
        check_registry(registry).map_err(|p| invalid(text, p))?;
        check_path(path).map_err(|p| invalid(text, p))?;
        let path = if registry == "docker.io" && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if path.len() > 255 {
            return Err(invalid(text, "the repository is longer than 255 characters"));
        }
        Ok(Self { registry: registry.to_owned(), path })
    }
}

fn check_registry(registry: &str) -> Result<(), String> {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(format!("{registry:?} has no valid port"));
    }
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let legal = match bracketed {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.split('.').all(|label| {
                    !label.is_empty()
                        && !label.starts_with('-')
                        && !label.ends_with('-')
                        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                })
        }
    };
    if legal { Ok(()) } else { Err(format!("{registry:?} is no registry's host name")) }
}

/// `path-component ['/' path-component]*` of the distribution specification.
fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("the repository is empty".into());
    }
    for part in path.split('/') {
        let mut separators = 0;
        let mut separator = ' ';
        let ends_well = part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !ends_well {
            return Err(format!("{part:?} must start and end with a lower-case letter or a digit"));
        }
        for c in part.chars() {
            match c {
                'a'..='z' | '0'..='9' => separators = 0,
                '.' | '_' | '-' => {
                    if separators > 0 && (c != separator || c == '.' || (c == '_' && separators > 1)) {
                        return Err(format!("{part:?} has separators in a row"));
                    }
                    separator = c;
                    separators += 1;
                }
                _ => {
                    return Err(format!(
                        "{part:?} has {c:?}; only lower-case letters, digits, '.', '_' and '-' may stand in it"
                    ));
                }
            }
        }
    }
    Ok(())
}

impl TryFrom<String> for Repository {
    type Error = InvalidReference;
    fn try_from(text: String) -> Result<Self, InvalidReference> {
        text.parse()
    }
}

impl From<Repository> for String {
    fn from(repository: Repository) -> String {
        repository.to_string()
    }
}

/// A tag: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}` (distribution specification).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

impl Tag {
    /// Checks a tag.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidReference> {
        let text = text.into();
        let first = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if !first || !rest || text.len() > 128 {
            return Err(invalid(
                &text,
                "a tag has 1 to 128 letters, digits, '_', '.' and '-', and starts with none of '.' and '-'",
            ));
        }
        Ok(Self(text))
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Tag {
    type Err = InvalidReference;
    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        Self::new(text)
    }
}

impl TryFrom<String> for Tag {
    type Error = InvalidReference;
    fn try_from(text: String) -> Result<Self, InvalidReference> {
        Self::new(text)
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> String {
        tag.0
    }
}

/// `repo[:tag][@digest]`, as it stands in an `image:` or a `bundle:`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageReference {
    /// The repository, in its full form.
    pub repository: Repository,
    /// The tag, where one is written.
    pub tag: Option<Tag>,
    /// The digest, where one is written.
    pub digest: Option<Digest>,
}

impl std::str::FromStr for ImageReference {
    type Err = InvalidReference;
    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|e| invalid(text, format!("{e}")))?)),
            None => (text, None),
        };
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(Tag::new(tag)?)),
            _ => (rest, None),
        };
        Ok(Self { repository: repository.parse()?, tag, digest })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for ImageReference {
    type Error = InvalidReference;
    fn try_from(text: String) -> Result<Self, InvalidReference> {
        text.parse()
    }
}

impl From<ImageReference> for String {
    fn from(reference: ImageReference) -> String {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_of_docker_hub_are_their_full_form() {
        for (short, full) in [
            ("nginx", "docker.io/library/nginx"),
            ("acme/shop", "docker.io/acme/shop"),
            ("index.docker.io/library/nginx", "docker.io/library/nginx"),
            ("Docker.io/nginx", "docker.io/library/nginx"),
            ("Index.Docker.io/nginx", "docker.io/library/nginx"),
            ("LOCALHOST/nginx", "localhost/nginx"),
            ("localhost/x", "localhost/x"),
            ("127.0.0.1:5000/shop/web", "127.0.0.1:5000/shop/web"),
        ] {
            assert_eq!(short.parse::<Repository>().unwrap().to_string(), full);
        }
    }

    #[test]
    fn a_port_is_not_a_tag() {
        let reference: ImageReference = "localhost:5000/web".parse().unwrap();
        assert_eq!(reference.tag, None);
        let reference: ImageReference = "localhost:5000/web:1.0".parse().unwrap();
        assert_eq!(reference.tag.unwrap().as_str(), "1.0");
    }

    #[test]
    fn a_reference_survives_its_text() {
        let text = format!("ghcr.io/acme/web:v1@{}", Digest::of(b"x"));
        assert_eq!(text.parse::<ImageReference>().unwrap().to_string(), text);
    }

    #[test]
    fn illegal_references_are_refused() {
        for bad in
            ["", "a b", "../x", "a//b", "UPPER/x", "x:", "x:-a", "x@sha256:0", "a/../b", "-x", "ghcr.io/a;b"]
        {
            assert!(bad.parse::<ImageReference>().is_err(), "{bad:?} was accepted");
        }
        assert!(Tag::new("a".repeat(128)).is_ok());
        assert!(Tag::new("a".repeat(129)).is_err());
    }
}
