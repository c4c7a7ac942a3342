//! The files with pinned images named without a version: what Compose makes of them is the same for all versions, so it is
//! asked once and not at each update.

use std::collections::{BTreeMap, BTreeSet};

use dhow_core::noun::{ArtifactName, ImageReference, Pin};

use super::body::Body;
use super::model::Model;

/// A body whose files name no version of pinned images, and the images that they name instead, each as often as it stands.
/// `None`: no file names one in a line of its own.
pub(super) fn plain(body: &Body, pins: &BTreeMap<ArtifactName, Pin>) -> Option<(Body, Vec<String>)> {
    let pinned: BTreeSet<String> = pins.values().map(|pin| pin.repository.to_string()).collect();
    let mut named = Vec::new();
    let mut inputs = BTreeMap::new();
    for (path, text) in &body.inputs {
        let is_yaml = path.ends_with(".yaml") || path.ends_with(".yml");
        let text = if is_yaml { without(text, &pinned, &mut named) } else { text.clone() };
        inputs.insert(path.clone(), text);
    }
    named.sort();
    (!named.is_empty()).then(|| (Body { inputs, ..body.clone() }, named))
}

/// Whether exactly the images that were named are those of services: if one of them stands anywhere else, as a label or
/// twice by an anchor, the model would not be the one of the real files.
pub(super) fn fits(model: &Model, named: &[String]) -> bool {
    let image = |service: &serde_json::Value| {
        service.get("image").and_then(|image| image.as_str()).map(str::to_owned)
    };
    let mut found: Vec<String> = model
        .services()
        .filter_map(|(_, service)| image(service))
        .filter(|image| named.contains(image))
        .collect();
    found.sort();
    found == named
}

fn without(text: &str, pinned: &BTreeSet<String>, named: &mut Vec<String>) -> String {
    let mut all = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match image(line, pinned) {
            Some((before, repository, after)) => {
                named.push(repository.clone());
                all.extend([before, &repository, after]);
            }
            None => all.push_str(line),
        }
    }
    all
}

/// A line that names a pinned image and nothing else: what is before the image, its repository, and what is behind.
fn image<'a>(line: &'a str, pinned: &BTreeSet<String>) -> Option<(&'a str, String, &'a str)> {
    let value = line.trim_start().strip_prefix("image:")?.strip_prefix(' ')?.trim_start();
    let value = value.trim_start_matches(['"', '\'']);
    let start = line.len() - value.len();
    let end = value.find(|c: char| c.is_whitespace() || "\"'".contains(c)).unwrap_or(value.len());
    let (written, after) = value.split_at(end);
    let repository = written.parse::<ImageReference>().ok()?.repository.to_string();
    pinned.contains(&repository).then(|| (&line[..start], repository, after))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_version_of_a_pinned_image_is_left_out() {
        let pinned = BTreeSet::from(["ghcr.io/acme/web".to_owned()]);
        let mut named = Vec::new();
        let text = "services:\n  web:\n    image: \"ghcr.io/acme/web:1.0\"  # {\"$imagepolicy\": \"a:b\"}\n  db:\n    image: db:1\n  \
                    x:\n    image: ghcr.io/acme/web:${TAG}\n    command: ghcr.io/acme/web:1.0\n";
        let plain = without(text, &pinned, &mut named);
        assert_eq!(plain, text.replacen("web:1.0\"", "web\"", 1));
        assert_eq!(named, ["ghcr.io/acme/web"]);
    }

    #[test]
    fn an_image_that_stands_elsewhere_too_is_no_version_of_a_service() {
        let named = ["a/web".to_owned()];
        assert!(fits(
            &Model(json!({"services": {"web": {"image": "a/web"}, "db": {"image": "db"}}})),
            &named
        ));
        assert!(!fits(
            &Model(json!({"services": {"web": {"image": "b", "labels": {"image": "a/web"}}}})),
            &named
        ));
        let anchored = Model(json!({"services": {"web": {"image": "a/web"}, "two": {"image": "a/web"}}}));
        assert!(!fits(&anchored, &named));
    }
}
