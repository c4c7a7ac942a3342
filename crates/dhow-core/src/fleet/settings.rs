//! `dhow.yaml` and `sami.yaml` of a deployment.

use super::model::{DeploymentSettings, OobPath};
use super::root::{read_optional, single, within};
use super::tree::Tree;
use super::{checks, keys, path, route, site, strategy};
use crate::diagnostic::Diagnostic;
use crate::noun::{ServiceName, TargetType};
use crate::yaml::{self, Fields, Node, Reader};

/// What the settings files of one folder say.
#[derive(Debug, Default)]
pub(crate) struct FolderSettings {
    pub(crate) target: Option<TargetType>,
    pub(crate) settings: DeploymentSettings,
    /// Files that the settings name outside of the folder.
    pub(crate) dependencies: Vec<String>,
    /// Where files that they name were looked for: what appears there, or goes, changes what is meant.
    pub(crate) looked: Vec<String>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Places of what only the whole fleet can judge.
    pub(crate) servers_at: Vec<Diagnostic>,
    pub(crate) route_at: Option<Diagnostic>,
    pub(crate) site_at: Vec<(&'static str, Diagnostic)>,
    said: Vec<(String, &'static str)>,
}

impl FolderSettings {
    /// Reads `sami.yaml` or `sami.yml`, then `dhow.yaml`, of a folder; `names` are the folder's files.
    pub(crate) fn read(tree: &dyn Tree, folder: &str, names: &[&str], service: &ServiceName) -> Self {
        let mut read = Self::default();
        let sami: Vec<&str> =
            names.iter().copied().filter(|n| matches!(*n, "sami.yaml" | "sami.yml")).collect();
        if sami.len() > 1 {
            let file = path::join(folder, "sami.yml");
            read.diagnostics.push(Diagnostic::error(file, "there are both sami.yaml and sami.yml; keep one"));
        }
        if let Some(name) = sami.first() {
            read.file(tree, folder, &path::join(folder, name), Some(service));
        }
        // At the fleet's root the file is the fleet's.
        if names.contains(&"dhow.yaml") && !folder.is_empty() {
            read.file(tree, folder, &path::join(folder, "dhow.yaml"), None);
        }
        read
    }

    fn file(&mut self, tree: &dyn Tree, folder: &str, file: &str, sami: Option<&ServiceName>) {
        let bytes = match read_optional(tree, file) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(problem) => return self.diagnostics.push(problem),
        };
        let parsed = yaml::parse(file, &bytes);
        self.diagnostics.extend(parsed.problems);
        let mut reader = match sami {
            Some(_) => Reader::lenient(file, &parsed.text),
            None => Reader::new(file, &parsed.text),
        };
        if let Some(document) = single(&mut reader, &parsed.documents) {
            let known: Vec<&str> = match sami {
                Some(_) => keys::SAMI.iter().chain(keys::DEPLOYMENT).copied().collect(),
                None => keys::DEPLOYMENT.to_vec(),
            };
            let what = if sami.is_some() { "sami.yaml" } else { "dhow.yaml of a deployment" };
            let fields = reader.fields(document, what, &known);
            self.said_twice(&mut reader, fields, what);
            self.common(&mut reader, fields, folder);
            if let Some(service) = sami {
                self.sami(&mut reader, fields, tree, folder, service);
            }
        }
        self.diagnostics.extend(reader.finish());
    }

    fn said_twice(&mut self, reader: &mut Reader<'_>, fields: Fields<'_>, what: &'static str) {
        for key in fields.keys() {
            if let Some((_, first)) = self.said.iter().find(|(said, _)| *said == key.text) {
                let message = format!("{} is said in {first} too", key.text);
                reader.error_help(key.at, message, "say it in one of the two files");
            }
            self.said.push((key.text.clone(), what));
        }
    }

    fn common(&mut self, reader: &mut Reader<'_>, fields: Fields<'_>, folder: &str) {
        let settings = &mut self.settings;
        if let Some(node) = fields.get("type") {
            self.target = reader.parse(node, "type");
        }
        if let Some(node) = fields.get("project") {
            settings.project = project(reader, node);
        }
        if let Some(node) = fields.get("servers") {
            for item in reader.items(node, "servers") {
                let Some(server) = reader.parse(item, "servers") else { continue };
                if settings.servers.contains(&server) {
                    reader.error(item.at, format!("the server {server} is named twice"));
                } else {
                    settings.servers.push(server);
                    self.servers_at.push(reader.place(item.at));
                }
            }
        }
        if let Some(node) = fields.get("parallel") {
            settings.parallel = reader.number(node, "parallel", 1..=100);
        }
        if let Some(node) = fields.get("bundle") {
            settings.bundle = reader.parse(node, "bundle");
        }
        if let Some(node) = fields.get("route") {
            settings.route = route::read(reader, node);
            self.route_at = Some(reader.place(node.at));
        }
        if let Some(node) = fields.get("strategy") {
            settings.strategy = strategy::read(reader, node);
        }
        if let Some(node) = fields.get("isolation") {
            settings.isolated = reader.boolean(node, "isolation");
        }
        if let Some(node) = fields.get("checks") {
            settings.checks = checks::read(reader, node);
        }
        if let Some(node) = fields.get("rollback_on") {
            settings.rollback_on_degraded = node.as_str() == Some("degraded");
            let message = "rollback_on is not available in this version: lost health is shown, and nothing is rolled back";
            reader.warn(node.at, message, "look at `dhow status`; `dhow rollback` goes back by hand");
            if !settings.rollback_on_degraded {
                reader.error_help(node.at, "rollback_on must be degraded", "write rollback_on: degraded");
            }
        }
        for (key, place) in [("not_found", &mut settings.not_found), ("fallback", &mut settings.fallback)] {
            if let Some(node) = fields.get(key) {
                *place = page(reader, node, key);
            }
        }
        for item in fields.get("hosts").map(|n| reader.items(n, "hosts")).unwrap_or_default() {
            settings.hosts.extend(route::host(reader, item));
        }
        if let Some(node) = fields.get("directory") {
            settings.directory = site::directory(reader, node);
            self.site_at.push(("directory", reader.place(node.at)));
        }
        if let Some(node) = fields.get("front") {
            settings.front = site::front(reader, node);
            self.site_at.push(("front", reader.place(node.at)));
        }
        if let Some(node) = fields.get("moved_from") {
            settings.moved_from = reader.parse(node, "moved_from");
        }
        for item in fields.get("files").map(|n| reader.items(n, "files")).unwrap_or_default() {
            let Some(file) = within(reader, item, folder, "files") else { continue };
            if !path::is_within(&file, folder) {
                self.dependencies.push(file.clone());
            }
            self.settings.named_files.push(file);
        }
    }

    fn sami(
        &mut self,
        reader: &mut Reader<'_>,
        fields: Fields<'_>,
        tree: &dyn Tree,
        folder: &str,
        service: &ServiceName,
    ) {
        if let Some(node) = fields.get("version") {
            let version = node.as_str().unwrap_or("");
            if !matches!(version, "v0" | "v1beta" | "v1") {
                reader.warn(
                    node.at,
                    format!("version {version:?} is not known"),
                    "known are v0, v1beta and v1",
                );
            }
        }
        if let Some(node) = fields.get("service_name")
            && let Some(name) = reader.text(node, "service_name")
            && name != service.as_str()
        {
            let message = format!("service_name is {name:?}, but the folder says {service}");
            reader.warn(node.at, message, "the folder's name counts; make them equal");
        }
        if let Some(node) = fields.get("pr_deploy") {
            self.settings.pr_deploy = reader.boolean(node, "pr_deploy").unwrap_or(false);
        }
        for item in fields.get("oob").map(|n| reader.items(n, "oob")).unwrap_or_default() {
            let Some(oob) = oob(reader, item, tree, folder, &mut self.looked) else { continue };
            if !path::is_within(&oob.file, folder) {
                self.dependencies.push(oob.file.clone());
            }
            self.settings.oob.push(oob);
        }
    }
}

/// `{update-image: null, file, path}` or `{update-image: {file, path}}`.
fn oob(
    reader: &mut Reader<'_>,
    node: &Node,
    tree: &dyn Tree,
    folder: &str,
    looked: &mut Vec<String>,
) -> Option<OobPath> {
    let fields = reader.fields(node, "an entry of oob", keys::OOB);
    let Some(kind) = fields.raw("update-image") else {
        reader.error_help(
            node.at,
            "an entry of oob needs update-image",
            "write update-image: { file: ..., path: ... }",
        );
        return None;
    };
    let fields = match kind.is_null() {
        true => fields,
        false => reader.fields(kind, "update-image", keys::OOB_INNER),
    };
    let (Some(file), Some(scalar)) = (fields.get("file"), fields.get("path")) else {
        reader.error(node.at, "update-image needs file and path");
        return None;
    };
    let path = reader.text(scalar, "path")?.to_owned();
    let beside = within(reader, file, folder, "file")?;
    // The file stands beside sami.yaml, or is named from the fleet's root.
    let from_root = file.as_str().and_then(|text| path::resolve("", text));
    looked.extend(from_root.iter().cloned().chain([beside.clone()]));
    let exists = |path: &str| tree.content(path).ok().flatten().is_some();
    let file_path = match from_root {
        Some(from_root) if !exists(&beside) && exists(&from_root) => from_root,
        _ => beside,
    };
    if !exists(&file_path) {
        reader.warn(file.at, format!("there is no file {file_path}"), "correct file, or add it");
    }
    Some(OobPath { file: file_path, path })
}

fn project(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "project")?;
    let legal = text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c));
    if !legal {
        let help = "a project has 1 to 63 lower-case letters, digits, '-' and '_', and starts with a letter or digit";
        reader.error_help(node.at, format!("{text:?} is no name of a project"), help);
        return None;
    }
    Some(text.to_owned())
}

/// A page of a static site: a path within what is served.
fn page(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<String> {
    let text = reader.text(node, key)?;
    let found = path::resolve("", text.strip_prefix('/').unwrap_or(text)).filter(|p| !p.is_empty());
    if found.is_none() {
        reader.error(node.at, format!("{key}: {text:?} leads out of what is served"));
    }
    found
}
