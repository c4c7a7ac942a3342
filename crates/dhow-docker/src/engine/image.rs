//! Images: which one a service wants, and whether the engine has that build.

use std::collections::BTreeMap;

use dhow_core::noun::{ArtifactName, Digest, ImageReference, Pin};
use serde_json::Value;

use super::api::ImageFacts;
use crate::files::variables::unescaped;

/// An image that a service wants.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// By digest where it is pinned.
    pub image: String,
    pub pin: Option<Pin>,
}

/// What a service is to run: its image, at the digest of the pin of its repository.
pub(crate) fn wanted(service: &Value, pins: &BTreeMap<ArtifactName, Pin>) -> Option<Wanted> {
    let text = unescaped(service.get("image")?.as_str()?);
    let Ok(written) = text.parse::<ImageReference>() else { return Some(Wanted { image: text, pin: None }) };
    let fits =
        |pin: &&Pin| (written.digest == Some(pin.digest), written.tag.is_some() && written.tag == pin.tag);
    let pin = pins.values().filter(|pin| pin.repository == written.repository).max_by_key(fits).cloned();
    let image = pin.as_ref().map_or(text, |pin| format!("{}@{}", pin.repository, pin.digest));
    Some(Wanted { image, pin })
}

/// Whether an image that the engine has is this build.
pub(crate) fn is_build(image: &ImageFacts, pin: &Pin) -> bool {
    let id = image.id.parse::<Digest>().ok();
    let named = image.digests.iter().filter_map(|text| text.parse::<ImageReference>().ok());
    id == Some(pin.digest) || named.into_iter().any(|known| known.digest == Some(pin.digest))
}

/// `shop/web:1.0`, or with the first digits of a digest.
pub(crate) fn short_image(image: &str) -> String {
    match image.parse::<ImageReference>() {
        Ok(reference) => {
            let tag = reference.tag.map(|tag| format!(":{tag}")).unwrap_or_default();
            let digest = reference.digest.map(|digest| format!(" ({})", digest.short())).unwrap_or_default();
            format!("{}{tag}{digest}", reference.repository.path())
        }
        Err(_) => image.chars().take(19).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_image_is_wanted_at_the_digest_of_its_pin() {
        let digest = Digest::of(b"x");
        let pin = Pin { repository: "shop".parse().unwrap(), tag: None, digest };
        let pins = BTreeMap::from([("web".parse().unwrap(), pin)]);
        let found = wanted(&json!({"image": "shop:1"}), &pins).unwrap();
        assert_eq!(found.image, format!("docker.io/library/shop@{digest}"));
        assert_eq!(wanted(&json!({"image": "db:1"}), &pins).unwrap().image, "db:1");
    }
}
