//! Manifests: fetched, checked, and the digest that a tag names.

use bytes::Bytes;
use dhow_core::noun::{Digest, ImageReference, Pin, Repository, Tag};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, StatusCode};

use super::error::{Error, ErrorKind};
use super::send::{is_html, read_limited};
use super::{Access, BlobStream, Client, Target};
use crate::media::{Descriptor, MANIFEST_TYPES, Manifest, TAR, TAR_GZIP, is_manifest};

/// Largest manifest that is read, in bytes.
const MAX_MANIFEST: usize = 4 << 20;

/// A manifest as it came; its bytes have the digest.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The digest of the bytes.
    pub digest: Digest,
    /// What the registry, or else the document, says it is.
    pub media_type: String,
    /// The document.
    pub bytes: Bytes,
    /// The document, read.
    pub manifest: Manifest,
}

fn digest_header(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

fn accept() -> (&'static str, String) {
    ("accept", MANIFEST_TYPES.join(", "))
}

impl Client {
    /// The digest that a tag names now; the index's where there is one. One `HEAD` where the registry can do that.
    ///
    /// # Errors
    /// `NotFound` where there is no such tag; any other [`ErrorKind`].
    pub async fn digest_of(&self, repository: &Repository, tag: &Tag) -> Result<Digest, Error> {
        let target = self.on(repository, Access::Pull, format!("digest of {}:{tag}", repository.path()))?;
        let mut ask = target.ask(Method::HEAD, &format!("manifests/{tag}"))?;
        ask.headers.push(accept());
        match self.send(&ask).await {
            Ok(answer) if is_html(&answer.response) => {
                return Err(target.error(ErrorKind::NotARegistry("an HTML page".into())));
            }
            Ok(answer) => {
                if let Some(digest) = digest_header(answer.response.headers()) {
                    return Ok(digest);
                }
            }
            Err(Error { kind: ErrorKind::Refused { status: 400 | 405 | 501, .. }, .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(self.get_manifest(&target, tag.as_str(), None).await?.digest)
    }

    /// The manifest that a reference names: by its digest where it has one, else by its tag, else by `latest`.
    ///
    /// # Errors
    /// `NotFound`, `WrongDigest`, `TooLarge` above 4 MiB, `NotARegistry`; any other [`ErrorKind`].
    pub async fn manifest(&self, reference: &ImageReference) -> Result<Fetched, Error> {
        let repository = &reference.repository;
        let name = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.to_string(),
            (None, None) => "latest".into(),
        };
        let target = self.on(repository, Access::Pull, format!("manifest {}:{name}", repository.path()))?;
        self.get_manifest(&target, &name, reference.digest).await
    }

    async fn get_manifest(
        &self,
        target: &Target<'_>,
        name: &str,
        expected: Option<Digest>,
    ) -> Result<Fetched, Error> {
        let mut ask = target.ask(Method::GET, &format!("manifests/{name}"))?;
        ask.headers.push(accept());
        let reading = async {
            let answer = self.send(&ask).await?;
            let response = answer.response;
            if is_html(&response) {
                return Err(target.error(ErrorKind::NotARegistry("an HTML page".into())));
            }
            let announced = digest_header(response.headers());
            let header = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let header = header.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
            let bytes = read_limited(response, MAX_MANIFEST).await.map_err(|kind| target.error(kind))?;
            Ok((announced, header, bytes))
        };
        let (announced, header, bytes) = reading.await?;
        let digest = Digest::of(&bytes);
        if let Some(expected) = expected.or(announced).filter(|expected| *expected != digest) {
            return Err(target.error(ErrorKind::WrongDigest { expected, came: digest }));
        }
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| {
            target.error(ErrorKind::Invalid(format!(
                "this is no manifest that we can read: {error}; push it as an OCI image"
            )))
        })?;
        let media_type =
            if is_manifest(&header) { header } else { manifest.media_type.clone().unwrap_or(header) };
        Ok(Fetched { digest, media_type, bytes, manifest })
    }

    /// The single layer of a bundle, a tar archive, and its bytes. The stream checks size and digest.
    ///
    /// # Errors
    /// `Invalid` where the pin is an index, or has another number or kind of layers; any other [`ErrorKind`].
    pub async fn fetch_bundle(&self, pin: &Pin) -> Result<(Descriptor, BlobStream), Error> {
        let fetched = self.manifest(&pin.reference()).await?;
        let asked = format!("bundle {}@{}", pin.repository.path(), pin.digest);
        let target = self.on(&pin.repository, Access::Pull, asked)?;
        let invalid = |problem: &str| Err(target.error(ErrorKind::Invalid(problem.into())));
        if fetched.manifest.is_index() {
            return invalid("this is an index of images, not a bundle of files; push it with `dhow publish`");
        }
        let layers = fetched.manifest.layers.unwrap_or_default();
        let [layer] = &layers[..] else {
            return invalid(
                "a bundle has exactly one layer; this is another kind of artifact. Push it with `dhow publish`",
            );
        };
        if !matches!(layer.media_type.as_str(), TAR_GZIP | TAR) {
            return invalid("its layer is no tar archive; push it with `dhow publish`");
        }
        let stream = self.blob(&pin.repository, layer).await?;
        Ok((layer.clone(), stream))
    }

    /// Writes a manifest under a tag, or under its digest alone. What it names must be there already.
    ///
    /// # Errors
    /// `Refused`, `Unauthorized`; `WrongDigest` where the registry says it stored something else.
    pub async fn push_manifest(
        &self,
        repository: &Repository,
        tag: Option<&Tag>,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Digest, Error> {
        let digest = Digest::of(&bytes);
        let name = tag.map_or_else(|| digest.to_string(), ToString::to_string);
        let target = self.on(repository, Access::Push, format!("push of {}:{name}", repository.path()))?;
        let mut ask = target.ask(Method::PUT, &format!("manifests/{name}"))?;
        ask.headers.push(("content-type", media_type.to_owned()));
        ask.body = Some(bytes);
        let answer = self.send(&ask).await?;
        if answer.response.status() != StatusCode::CREATED {
            return Err(
                target.error(ErrorKind::NotARegistry(format!("{} to a push", answer.response.status())))
            );
        }
        match digest_header(answer.response.headers()).filter(|came| *came != digest) {
            Some(came) => Err(target.error(ErrorKind::WrongDigest { expected: digest, came })),
            None => Ok(digest),
        }
    }
}
