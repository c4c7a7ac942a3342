//! The generated override file. What a container runs already is spelled as that container has it, so that Compose does
//! not recreate it for another spelling of the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::api::{Facts, ImageFacts};
use super::body::Body;
use super::isolate;
use super::model::{Model, Wanted, escaped, is_build, unescaped};
use super::path;
use super::site::Site;

/// The label that makes Compose recreate a container whose mounted secret or config has other content.
const FILE_LABEL: &str = "dev.dhow.file.";

/// What is known when files are spelled.
pub(super) struct Known<'a> {
    pub body: &'a Body,
    pub site: &'a Site,
    /// The folder that the files were sent to for this look.
    pub base: &'a str,
    pub containers: &'a [Facts],
    /// By name, digest and id.
    pub images: &'a BTreeMap<String, ImageFacts>,
    pub wanted: &'a BTreeMap<String, Wanted>,
    /// Data folders that were found before, by path in the fleet.
    pub data: &'a BTreeMap<String, String>,
    /// Paths in the fleet and foreign paths at the place that hold the same.
    pub same: &'a BTreeSet<(String, String)>,
}

/// The override, and the model with it.
pub(super) struct Spelled {
    pub override_file: String,
    pub model: Model,
    pub data: BTreeMap<String, String>,
    /// Folders of content that are used.
    pub content: BTreeSet<String>,
}

/// The foreign paths that containers mount where the files want content of the fleet: (path in the fleet, path there).
pub(super) fn foreign(known: &Known<'_>, model: &Model) -> BTreeSet<(String, String)> {
    let mut pairs = BTreeSet::new();
    for (name, service) in model.services() {
        for (target, wanted) in mounted(service, model) {
            let Some(fleet) = known.fleet_path(&wanted) else { continue };
            if known.body.content.contains_key(&fleet) {
                let sources = known.sources(name, &target);
                pairs.extend(sources.filter(|s| !known.is_ours(s)).map(|s| (fleet.clone(), s.to_owned())));
            }
        }
    }
    pairs
}

/// Spells all of it.
pub(super) fn spell(known: &Known<'_>, model: &Model) -> Spelled {
    let mut whole = model.clone();
    let mut spelled = Speller { known, data: known.data.clone(), content: BTreeSet::new() };
    let mut over = Map::new();
    let files = spelled.files(&mut whole, &mut over);
    let mut services = Map::new();
    for (name, service) in whole.0.get_mut("services").and_then(Value::as_object_mut).into_iter().flatten() {
        let mut own = Map::new();
        if let Some(wanted) = known.wanted.get(name).filter(|wanted| wanted.pin.is_some()) {
            own.insert("image".into(), escaped(&known.image(name, wanted)).into());
        }
        let volumes = spelled.volumes(name, service);
        if !volumes.is_empty() {
            own.insert("volumes".into(), volumes.into());
        }
        let labels = known.labels(name, service, &files);
        if !labels.is_empty() {
            own.insert("labels".into(), labels.into());
        }
        let networks = networks(isolate::joined(known.body, model, name), service);
        if !networks.is_empty() {
            own.insert("networks".into(), networks.into());
        }
        if let Some(service) = service.as_object_mut() {
            service.remove("profiles");
            merge(service, &own);
        }
        if !own.is_empty() {
            services.insert(name.clone(), own.into());
        }
    }
    over.insert("services".into(), services.into());
    let declared = isolate::declared(known.body);
    if !declared.is_empty() {
        if let Some(whole) = whole.0.as_object_mut() {
            let all = whole.entry("networks").or_insert_with(|| json!({}));
            all.as_object_mut().into_iter().for_each(|all| all.extend(declared.clone()));
        }
        over.insert("networks".into(), declared.into());
    }
    let text = serde_json::to_string_pretty(&Value::Object(over)).unwrap_or_default();
    Spelled { override_file: text + "\n", model: whole, data: spelled.data, content: spelled.content }
}

/// The networks of a service that gets more; none where it gets none. What it has must be said again only where that is
/// the default, which Compose leaves out as soon as another one is named.
fn networks(more: Vec<String>, service: &Value) -> Map<String, Value> {
    if more.is_empty() {
        return Map::new();
    }
    let named = service.get("networks").and_then(Value::as_object);
    let default = named.is_none_or(|named| named.contains_key("default"));
    let mut all: Map<String, Value> = more.into_iter().map(|name| (name, Value::Null)).collect();
    if default {
        all.insert("default".into(), Value::Null);
    }
    all
}

struct Speller<'a> {
    known: &'a Known<'a>,
    data: BTreeMap<String, String>,
    content: BTreeSet<String>,
}

impl Speller<'_> {
    /// Secrets and configs: name to hash of the content, `(secrets, name)`.
    fn files(
        &mut self,
        whole: &mut Model,
        over: &mut Map<String, Value>,
    ) -> BTreeMap<(String, String), Mounted> {
        let mut files = BTreeMap::new();
        for section in ["secrets", "configs"] {
            let mut own = Map::new();
            let entries = whole.0.get_mut(section).and_then(Value::as_object_mut);
            for (name, entry) in entries.into_iter().flatten() {
                let Some(fleet) =
                    entry.get("file").and_then(Value::as_str).and_then(|f| self.known.fleet_path(f))
                else {
                    continue;
                };
                let Some(content) = self.known.body.content.get(&fleet) else { continue };
                let ours = self.known.site.content(&content.hash, &content.name);
                let adopted = self.known.same.iter().find(|(path, source)| {
                    *path == fleet
                        && self.known.containers.iter().any(|c| c.mounts.values().any(|m| m == source))
                });
                let file = adopted.map_or(ours, |(_, source)| source.clone());
                if adopted.is_none() {
                    self.content.insert(content.hash.clone());
                }
                entry["file"] = escaped(&file).into();
                own.insert(name.clone(), json!({ "file": escaped(&file) }));
                let mounted = Mounted { hash: content.hash.clone(), file };
                files.insert((section.to_owned(), name.clone()), mounted);
            }
            if !own.is_empty() {
                over.insert(section.to_owned(), own.into());
            }
        }
        files
    }

    /// The bind mounts of a service that start in the sent files, with the sources that they get.
    fn volumes(&mut self, name: &str, service: &Value) -> Vec<Value> {
        let mut volumes = Vec::new();
        for volume in service.get("volumes").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| volume.get(key).and_then(Value::as_str);
            let (Some("bind"), Some(source), Some(target)) = (text("type"), text("source"), text("target"))
            else {
                continue;
            };
            let Some(fleet) = self.known.fleet_path(source) else { continue };
            let spelled = self.source(name, &unescaped(target), &fleet);
            let mut volume = volume.clone();
            volume["source"] = escaped(&spelled).into();
            volumes.push(volume);
        }
        volumes
    }

    fn source(&mut self, name: &str, target: &str, fleet: &str) -> String {
        let known = self.known;
        if let Some(content) = known.body.content.get(fleet) {
            let kept = known
                .sources(name, target)
                .find(|s| known.same.contains(&(fleet.to_owned(), (*s).to_owned())));
            if let Some(kept) = kept {
                return kept.to_owned();
            }
            self.content.insert(content.hash.clone());
            return known.site.content(&content.hash, &content.name);
        }
        if let Some(folder) = self.data.get(fleet) {
            return folder.clone();
        }
        let adopted = known.containers.iter().find_map(|container| {
            let source = container.mounts.get(target).filter(|_| container.service == name)?;
            let started_in = container.labels.get("com.docker.compose.project.working_dir")?;
            let relative = path::below(fleet, &known.body.folder)?;
            (path::join(started_in, relative) == *source && !known.is_ours(source)).then(|| source.clone())
        });
        let within = path::below(fleet, &known.body.folder).map(str::to_owned);
        let within = within.unwrap_or_else(|| format!(".fleet/{fleet}"));
        let folder = adopted.unwrap_or_else(|| path::join(&format!("{}/data", known.site.root), &within));
        self.data.insert(fleet.to_owned(), folder.clone());
        folder
    }
}

/// A secret or config, and where it is mounted from.
struct Mounted {
    hash: String,
    file: String,
}

impl Known<'_> {
    /// The path in the fleet of what lies among the sent files.
    fn fleet_path(&self, source: &str) -> Option<String> {
        path::below(&unescaped(source), self.base).map(str::to_owned)
    }

    fn is_ours(&self, source: &str) -> bool {
        path::below(source, &self.site.root).is_some()
    }

    /// From where the containers of a service mount something.
    fn sources<'b>(&'b self, service: &'b str, target: &'b str) -> impl Iterator<Item = &'b str> {
        let of = self.containers.iter().filter(move |container| container.service == service);
        of.filter_map(move |container| container.mounts.get(target).map(String::as_str))
    }

    /// The image as a container of the service names it, where that is the wanted build; else by digest.
    fn image(&self, service: &str, wanted: &Wanted) -> String {
        let fits = |container: &&Facts| {
            let runs = self.images.get(&container.image_id);
            container.service == service
                && runs.zip(wanted.pin.as_ref()).is_some_and(|(image, pin)| is_build(image, pin))
                && self.images.get(&container.image).is_some_and(|named| named.id == container.image_id)
        };
        let kept = self.containers.iter().find(fits).map(|container| container.image.clone());
        kept.unwrap_or_else(|| wanted.image.clone())
    }

    /// A label for each secret and config of a service; none where a container without it mounts what is wanted.
    fn labels(
        &self,
        name: &str,
        service: &Value,
        files: &BTreeMap<(String, String), Mounted>,
    ) -> Map<String, Value> {
        let mut labels = Map::new();
        for section in ["secrets", "configs"] {
            for entry in service.get(section).and_then(Value::as_array).into_iter().flatten() {
                let Some(source) = entry.get("source").and_then(Value::as_str) else { continue };
                let Some(file) = files.get(&(section.to_owned(), source.to_owned())) else { continue };
                let label = format!("{FILE_LABEL}{source}");
                let unmarked = self.containers.iter().any(|container| {
                    container.service == name
                        && !container.labels.contains_key(&label)
                        && container.mounts.values().any(|mount| *mount == file.file)
                });
                if !unmarked {
                    labels.insert(label, file.hash.clone().into());
                }
            }
        }
        labels
    }
}

/// What a service mounts from files: where, and from where.
fn mounted(service: &Value, model: &Model) -> Vec<(String, String)> {
    let list = |key: &str| service.get(key).and_then(Value::as_array).into_iter().flatten();
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(unescaped);
    let mut found: Vec<(String, String)> =
        list("volumes").filter_map(|v| Some((text(v, "target")?, text(v, "source")?))).collect();
    for (section, folder) in [("secrets", "/run/secrets/"), ("configs", "/")] {
        for entry in list(section) {
            let Some(source) = text(entry, "source") else { continue };
            let file = model.section(section).and_then(|s| s.get(&source)).and_then(|e| text(e, "file"));
            let target = text(entry, "target").unwrap_or_else(|| source.clone());
            let target = if target.starts_with('/') { target } else { format!("{folder}{target}") };
            found.extend(file.map(|file| (target, file)));
        }
    }
    found
}

/// As Compose merges the override: volumes by target, labels by name, the rest as a whole.
fn merge(service: &mut Map<String, Value>, own: &Map<String, Value>) {
    for (key, value) in own {
        match (key.as_str(), value) {
            ("volumes", Value::Array(spelled)) => {
                for volume in service.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
                    if let Some(new) = spelled.iter().find(|new| new.get("target") == volume.get("target")) {
                        *volume = new.clone();
                    }
                }
            }
            ("networks", Value::Object(new)) => {
                let networks = service.entry("networks").or_insert_with(|| json!({}));
                for (name, network) in new {
                    if let Some(networks) = networks.as_object_mut() {
                        networks.entry(name.clone()).or_insert_with(|| network.clone());
                    }
                }
            }
            ("labels", Value::Object(new)) => {
                let labels = service.entry("labels").or_insert_with(|| json!({}));
                if let Some(labels) = labels.as_object_mut() {
                    labels.extend(new.clone());
                }
            }
            _ => drop(service.insert(key.clone(), value.clone())),
        }
    }
}
