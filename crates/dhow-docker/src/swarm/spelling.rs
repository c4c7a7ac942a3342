//! The generated stack file: images by digest, configs and secrets named by their content, mounts of the fleet from
//! folders named by theirs. It is the only file that is deployed; the user's own are as they were.

use std::collections::{BTreeMap, BTreeSet};

use dhow_core::noun::{ArtifactName, Pin};
use serde_json::{Value, json};

use super::api::Thing;
use super::body::Body;
use super::model::{Model, hash, list, text};
use crate::engine::image::{Wanted, wanted};
use crate::files::path;
use crate::files::variables::escaped;

/// Says what a service was made of.
pub(super) const LABEL: &str = "dev.dhow.config";
/// The longest name of a config or secret.
const LONGEST: usize = 64;

/// What is known when files are spelled.
pub(super) struct Known<'a> {
    pub body: &'a Body,
    /// The folder of the deployment's own at the place.
    pub root: &'a str,
    /// The folder that the files were sent to for this look.
    pub base: &'a str,
    pub pins: &'a BTreeMap<ArtifactName, Pin>,
    /// Configs that the stack has.
    pub configs: &'a [Thing],
    /// Data folders that were found before, by path in the fleet.
    pub data: &'a BTreeMap<String, String>,
    /// What running services mount, by service and place in it.
    pub mounts: &'a BTreeMap<(String, String), String>,
}

/// The file, and what it is made of.
pub(super) struct Spelled {
    pub file: String,
    /// As it is deployed, but for the label that names it.
    pub model: Model,
    /// Hash of each service.
    pub hashes: BTreeMap<String, String>,
    /// What each service is to run.
    pub wanted: BTreeMap<String, Wanted>,
    /// Folders of content that are used.
    pub content: BTreeSet<String>,
    pub data: BTreeMap<String, String>,
}

/// Spells all of it.
pub(super) fn spell(known: &Known<'_>, model: &Model) -> Spelled {
    let mut speller = Speller { known, data: known.data.clone(), content: BTreeSet::new() };
    let mut whole = model.clone();
    let names = ["configs", "secrets"].map(|section| speller.things(&mut whole, section));
    let (mut hashes, mut wanted) = (BTreeMap::new(), BTreeMap::new());
    for (name, service) in whole.0.get_mut("services").and_then(Value::as_object_mut).into_iter().flatten() {
        if let Some(image) = self::wanted(service, known.pins) {
            service["image"] = written(&image).into();
            wanted.insert(name.clone(), image);
        }
        speller.volumes(name, service);
        if let Some(service) = service.as_object_mut() {
            // Docker has read them: their lines are in `environment`.
            service.remove("env_file");
        }
        hashes.insert(name.clone(), of_service(service, &names));
    }
    if text(&whole.0, "version").is_some_and(|version| version_of(version) < (3, 5)) {
        // Names of configs came with 3.5; what is newer takes what is older.
        whole.0["version"] = "3.5".into();
    }
    let mut file = whole.0.clone();
    for (name, service) in file.get_mut("services").and_then(Value::as_object_mut).into_iter().flatten() {
        let hash = hashes.get(name).cloned().unwrap_or_default();
        mark(service, &hash);
    }
    escape(&mut file);
    let file = serde_json::to_string_pretty(&file).unwrap_or_default() + "\n";
    Spelled { file, model: whole, hashes, wanted, content: speller.content, data: speller.data }
}

/// `repository:tag@digest`, where it is pinned.
fn written(image: &Wanted) -> String {
    match &image.pin {
        Some(pin) => {
            let tag = pin.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
            format!("{}{tag}@{}", pin.repository, pin.digest)
        }
        None => image.image.clone(),
    }
}

/// The service, and the names of what it takes of configs and secrets, which hold their content's hash.
fn of_service(service: &Value, names: &[BTreeMap<String, String>; 2]) -> String {
    let mut all = vec![service.clone()];
    for (section, names) in ["configs", "secrets"].into_iter().zip(names) {
        let used = list(service, section).filter_map(|entry| names.get(text(entry, "source")?));
        all.extend(used.map(|name| Value::from(name.clone())));
    }
    hash(&Value::from(all))
}

fn mark(service: &mut Value, hash: &str) {
    let Some(service) = service.as_object_mut() else { return };
    let deploy = service.entry("deploy").or_insert_with(|| json!({}));
    if !deploy.is_object() {
        *deploy = json!({});
    }
    if !deploy.get("labels").is_some_and(Value::is_object) {
        deploy["labels"] = json!({});
    }
    deploy["labels"][LABEL] = hash.into();
}

/// Docker reads variables in its own output again.
fn escape(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('$') => *text = escaped(text),
        Value::Array(items) => items.iter_mut().for_each(escape),
        Value::Object(entries) => entries.values_mut().for_each(escape),
        _ => {}
    }
}

fn version_of(text: &str) -> (u32, u32) {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    (major.parse().unwrap_or(3), minor.parse().unwrap_or(0))
}

struct Speller<'a> {
    known: &'a Known<'a>,
    data: BTreeMap<String, String>,
    content: BTreeSet<String>,
}

impl Speller<'_> {
    /// Names the configs or secrets that are made of files; their names by what services call them.
    fn things(&mut self, whole: &mut Model, section: &str) -> BTreeMap<String, String> {
        let mut names = BTreeMap::new();
        let entries = whole.0.get_mut(section).and_then(Value::as_object_mut);
        for (key, entry) in entries.into_iter().flatten() {
            let Some(fleet) = text(entry, "file").and_then(|file| path::below(file, self.known.base)) else {
                continue;
            };
            let Some(content) = self.known.body.content.get(fleet) else { continue };
            let base =
                text(entry, "name").map_or_else(|| format!("{}_{key}", self.known.body.stack), str::to_owned);
            let of_file = content.files.first().map(|file| file.digest.as_str());
            // A config that was made by hand from the same content stays as it is, and what uses it too.
            let kept = section == "configs"
                && self.known.configs.iter().any(|thing| {
                    thing.name == base && thing.digest.map(|digest| digest.hex()).as_deref() == of_file
                });
            let name = if kept { base } else { named(&base, &content.hash) };
            self.content.insert(content.hash.clone());
            entry["file"] = format!("{}/content/{}/{}", self.known.root, content.hash, content.name).into();
            entry["name"] = name.clone().into();
            names.insert(key.clone(), name);
        }
        names
    }

    /// The bind mounts of a service that start in the sent files get the sources that last.
    fn volumes(&mut self, name: &str, service: &mut Value) {
        for volume in service.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
            let (Some("bind"), Some(source)) = (text(volume, "type"), text(volume, "source")) else {
                continue;
            };
            let Some(fleet) = path::below(source, self.known.base).map(str::to_owned) else { continue };
            let target = text(volume, "target").unwrap_or_default().to_owned();
            volume["source"] = self.source(name, &target, &fleet).into();
        }
    }

    fn source(&mut self, name: &str, target: &str, fleet: &str) -> String {
        let known = self.known;
        if let Some(content) = known.body.content.get(fleet) {
            self.content.insert(content.hash.clone());
            return format!("{}/content/{}/{}", known.root, content.hash, content.name);
        }
        if let Some(folder) = self.data.get(fleet) {
            return folder.clone();
        }
        let within = path::below(fleet, &known.body.folder).map(str::to_owned);
        let within = within.unwrap_or_else(|| format!(".fleet/{fleet}"));
        // What a running service has there is its data, wherever it lies.
        let adopted = known
            .mounts
            .get(&(name.to_owned(), target.to_owned()))
            .filter(|source| path::below(source, known.root).is_none());
        let folder = adopted.cloned().unwrap_or_else(|| path::join(&format!("{}/data", known.root), &within));
        self.data.insert(fleet.to_owned(), folder.clone());
        folder
    }
}

/// A name that changes with the content.
fn named(base: &str, content: &str) -> String {
    let hash: String = content.chars().take(12).collect();
    let base: String = base.chars().take(LONGEST - hash.len() - 1).collect();
    format!("{base}_{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::content::{Content, ContentFile};

    fn body() -> Body {
        let file =
            ContentFile { path: String::new(), from: "s/a".into(), executable: false, digest: "d".into() };
        let content = Content { hash: "0123456789abcdef".into(), name: "a".into(), files: vec![file] };
        Body {
            stack: "stage_shop".into(),
            folder: "s".into(),
            route: None,
            stack_files: Vec::new(),
            inputs: BTreeMap::new(),
            content: BTreeMap::from([("s/a".to_owned(), content)]),
        }
    }

    fn spelled(model: Value) -> Spelled {
        let (body, none) = (body(), BTreeMap::new());
        let known = Known {
            body: &body,
            root: "/r",
            base: "/seen/files",
            pins: &BTreeMap::new(),
            configs: &[],
            data: &none,
            mounts: &BTreeMap::new(),
        };
        spell(&known, &Model(model))
    }

    #[test]
    fn configs_are_named_by_their_content_and_dollars_stay() {
        let spelled =
            spelled(json!({"version": "3.3", "services": {"web": {"image": "x", "environment": {"A": "a$b"},
            "env_file": ["e"], "configs": [{"source": "c"}], "volumes": [
                {"type": "bind", "source": "/seen/files/s/a", "target": "/a"},
                {"type": "bind", "source": "/seen/files/s/data", "target": "/d"}]}},
            "configs": {"c": {"file": "/seen/files/s/a"}}}));
        let file: Value = serde_json::from_str(&spelled.file).unwrap();
        assert_eq!(file["configs"]["c"]["name"], "stage_shop_c_0123456789ab");
        assert_eq!(file["configs"]["c"]["file"], "/r/content/0123456789abcdef/a");
        let web = &file["services"]["web"];
        assert_eq!(web["environment"]["A"], "a$$b");
        assert_eq!(web["volumes"][0]["source"], "/r/content/0123456789abcdef/a");
        assert_eq!(web["volumes"][1]["source"], "/r/data/data");
        assert_eq!(web["deploy"]["labels"][LABEL], spelled.hashes["web"]);
        assert_eq!((&file["version"], web.get("env_file")), (&json!("3.5"), None));
    }

    #[test]
    fn a_long_name_leaves_room_for_the_hash() {
        let name = named(&"x".repeat(80), "0123456789abcdef");
        assert_eq!(name.len(), LONGEST);
        assert!(name.ends_with("_0123456789ab"));
    }
}
