//! Names: what is accepted is written as it is read. Documents of registries: read, and written again the same.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use dhow_core::noun::{
    ArtifactName, DeploymentId, Digest, EnvironmentName, ImageReference, Repository, ServiceName, Tag,
};
use dhow_registry::media::{Manifest, annotations_of, labels_of};

/// A text, or a document.
pub(super) fn body(data: &[u8]) {
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(data) {
        document(&manifest);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    for line in text.lines().take(100) {
        again::<ImageReference>(line);
        again::<Repository>(line);
        again::<Digest>(line);
        again::<DeploymentId>(line);
        again::<ServiceName>(line);
        again::<EnvironmentName>(line);
        again::<ArtifactName>(line);
        if let Ok(tag) = Tag::new(line) {
            assert_eq!(tag.as_str(), line);
        }
        if let Ok(reference) = line.parse::<ImageReference>() {
            let path = reference.repository.path();
            assert!(path.split('/').all(|name| !matches!(name, "" | "." | "..")), "{line:?}");
        }
        dhow_registry::fuzz::line(line);
    }
}

/// What is shown is read as the same.
fn again<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        let shown = read.to_string();
        let Ok(again) = shown.parse::<T>() else {
            panic!("{text:?} is shown as {shown:?}, which is not read")
        };
        assert_eq!(again, read, "{text:?} is shown as {shown:?}");
    }
}

fn document(manifest: &Manifest) {
    let written = serde_json::to_vec(manifest).expect("a manifest can be written");
    assert_eq!(serde_json::from_slice::<Manifest>(&written).ok().as_ref(), Some(manifest));
    let _ = (manifest.is_index(), manifest.kind(), manifest.children().count());
    let _ = manifest.blobs().filter(|blob| blob.is_foreign()).count();
    if let Some(annotations) = &manifest.annotations {
        let labels = labels_of(annotations);
        assert_eq!(labels_of(&annotations_of(&labels)), labels);
    }
}
