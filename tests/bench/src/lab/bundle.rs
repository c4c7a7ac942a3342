//! A site of one page, as an OCI artifact.

use anyhow::Result;
use bytes::Bytes;
use dhow_core::noun::Digest;
use dhow_registry::bundle::ARTIFACT_TYPE;
use dhow_registry::media::{Descriptor, EMPTY, OCI_MANIFEST, TAR_GZIP};
use flate2::Compression;
use flate2::write::GzEncoder;

/// An artifact and all that it is made of.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The manifest.
    pub manifest: Bytes,
    /// Its digest.
    pub digest: Digest,
    /// Configuration and archive.
    pub blobs: [(Digest, Bytes); 2],
}

impl Bundle {
    /// A site whose page says this.
    pub fn new(page: &str) -> Result<Self> {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(page.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, "index.html", page.as_bytes())?;
        let (config, layer) = (Bytes::from_static(b"{}"), Bytes::from(archive.into_inner()?.finish()?));
        let blobs = [config, layer].map(|blob| (Digest::of(&blob), blob));
        let [(config, _), (layer, bytes)] = &blobs;
        let manifest = Bytes::from(serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": ARTIFACT_TYPE,
            "config": Descriptor::new(EMPTY, *config, 2),
            "layers": [Descriptor::new(TAR_GZIP, *layer, bytes.len() as u64)],
        }))?);
        Ok(Self { digest: Digest::of(&manifest), manifest, blobs })
    }
}
