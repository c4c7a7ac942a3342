//! Whether the containers of a service are the wanted ones, and why not.

use std::collections::{BTreeMap, BTreeSet};

use super::api::{Facts, ImageFacts};
use super::body::{Body, ContainerSeen, Manifest, ServiceSeen};
use super::model::{self, Model, Wanted};
use super::shared;
use crate::engine::image::short_image;

/// What services are judged by.
pub(super) struct Judge<'a> {
    pub body: &'a Body,
    pub facts: &'a [Facts],
    pub images: &'a BTreeMap<String, ImageFacts>,
    pub wanted: &'a BTreeMap<String, Wanted>,
    pub hashes: &'a BTreeMap<String, String>,
    /// What the current release says of itself.
    pub before: Option<Manifest>,
}

impl Judge<'_> {
    /// The services of which a container may be as wanted: only of these the hash matters.
    pub(super) fn hashes_needed(&self) -> BTreeSet<String> {
        let may = self.facts.iter().filter(|facts| self.image_fits(&facts.service, facts));
        may.map(|facts| facts.service.clone()).collect()
    }

    /// A service, and what runs of it.
    pub(super) fn service(&self, model: &Model, name: &str, service: &serde_json::Value) -> ServiceSeen {
        let hash = self.hashes.get(name).cloned().unwrap_or_default();
        let waited_for = model::waited_for(model, name);
        let one_shot = waited_for || model::may_end(service);
        let parts = model::parts(service);
        let mut reasons = Vec::new();
        let mut containers = Vec::new();
        for facts in self.facts.iter().filter(|facts| facts.service == name) {
            let image = self.image_fits(name, facts);
            let matches = image && facts.config_hash == hash;
            if !image {
                reasons.push(self.image_reason(name, facts));
            } else if !matches {
                reasons.extend(self.reasons(name, &parts));
            }
            let ended_well = one_shot && facts.exited && facts.exit_code == Some(0);
            containers.push(ContainerSeen {
                id: facts.id.clone(),
                name: facts.name.clone(),
                matches,
                up: facts.running || ended_well,
            });
        }
        reasons.sort();
        reasons.dedup();
        let text = |key: &str| service.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
        ServiceSeen {
            hash,
            replicas: model::replicas(service),
            image: self.wanted.get(name).map(|wanted| wanted.image.clone()).unwrap_or_default(),
            parts,
            containers,
            reasons,
            exclusive: model::exclusive(service).or_else(|| shared::shares(model, name)),
            one_shot,
            waited_for,
            platform: text("platform"),
            build: service.get("build").is_some(),
        }
    }

    fn image_fits(&self, name: &str, facts: &Facts) -> bool {
        let Some(wanted) = self.wanted.get(name) else { return true };
        match &wanted.pin {
            Some(pin) => self.images.get(&facts.image_id).is_some_and(|image| model::is_build(image, pin)),
            None => self.images.get(&wanted.image).is_none_or(|image| image.id == facts.image_id),
        }
    }

    fn image_reason(&self, name: &str, facts: &Facts) -> String {
        let from = short_image(&facts.image);
        match self.wanted.get(name).map(|wanted| (&wanted.pin, &wanted.image)) {
            Some((Some(pin), _)) => {
                let tag = pin.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
                format!("image {from} becomes {}{tag} ({})", pin.repository.path(), pin.digest.short())
            }
            Some((None, image)) => format!("image {from} becomes {}", short_image(image)),
            None => "its image".to_owned(),
        }
    }

    fn reasons(&self, name: &str, parts: &BTreeMap<String, String>) -> Vec<String> {
        let Some(before) = self.before.as_ref().and_then(|manifest| manifest.parts.get(name)) else {
            return vec!["its configuration is not the one that it was started with".to_owned()];
        };
        let keys: BTreeSet<&String> = before.keys().chain(parts.keys()).collect();
        let mut changed: Vec<String> =
            keys.into_iter().filter(|key| before.get(*key) != parts.get(*key)).cloned().collect();
        if changed.is_empty() {
            changed.push("it was changed by hand".to_owned());
        }
        changed
    }
}
