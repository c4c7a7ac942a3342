//! `dhow.yaml` of a service.

use std::collections::BTreeMap;

use super::alias::Aliases;
use super::model::{Artifact, ArtifactKind, Service};
use super::root::{read_optional, single};
use super::tree::Tree;
use super::{checks, keys};
use crate::diagnostic::{Diagnostic, Severity};
use crate::noun::{ArtifactName, EnvironmentName, ServiceName};
use crate::policy::{Policy, PolicyError, Rule};
use crate::yaml::{self, Fields, Node, Reader};

/// A service's file, and the places of what only the whole fleet can judge.
#[derive(Debug)]
pub(crate) struct ServiceFile {
    pub(crate) service: Service,
    pub(crate) after: Vec<(ServiceName, Diagnostic)>,
    pub(crate) overrides: Vec<(EnvironmentName, Diagnostic)>,
    /// Where artifacts are declared.
    pub(crate) artifacts: Vec<(ArtifactName, Diagnostic)>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl ServiceFile {
    /// A service that no file says anything of.
    pub(crate) fn empty(name: ServiceName) -> Self {
        let service = Service {
            name,
            owners: Vec::new(),
            artifacts: BTreeMap::new(),
            overrides: BTreeMap::new(),
            after: Vec::new(),
            checks: Vec::new(),
        };
        let (after, overrides, artifacts) = (Vec::new(), Vec::new(), Vec::new());
        Self { service, after, overrides, artifacts, diagnostics: Vec::new() }
    }

    /// Reads the file. Where there is none the service is empty.
    pub(crate) fn read(tree: &dyn Tree, file: &str, name: ServiceName, aliases: &Aliases) -> Self {
        let mut read = Self::empty(name);
        let bytes = match read_optional(tree, file) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return read,
            Err(problem) => {
                read.diagnostics.push(problem);
                return read;
            }
        };
        let parsed = yaml::parse(file, &bytes);
        read.diagnostics = parsed.problems;
        let mut reader = Reader::new(file, &parsed.text);
        if let Some(document) = single(&mut reader, &parsed.documents) {
            read.read_document(&mut reader, document, aliases);
        }
        read.diagnostics.extend(reader.finish());
        read
    }

    /// Whether it has an error.
    pub(crate) fn is_broken(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    fn read_document(&mut self, reader: &mut Reader<'_>, document: &Node, aliases: &Aliases) {
        let fields = reader.fields(document, "dhow.yaml of a service", keys::SERVICE);
        let service = &mut self.service;
        service.owners = fields.get("owners").map(|n| reader.list(n, "owners")).unwrap_or_default();
        service.checks = fields.get("checks").map(|n| checks::read(reader, n)).unwrap_or_default();
        for item in fields.get("after").map(|n| reader.items(n, "after")).unwrap_or_default() {
            let Some(name) = reader.parse::<ServiceName>(item, "after") else { continue };
            if !service.after.contains(&name) {
                service.after.push(name.clone());
                self.after.push((name, reader.place(item.at)));
            }
        }
        if let Some(node) = fields.get("artifacts") {
            for (key, value) in reader.entries(node, "artifacts") {
                let name = reader.parse_text::<ArtifactName>(&key.text, key.at, "artifacts");
                if let Some(artifact) = name.and_then(|name| artifact(reader, name, value)) {
                    self.artifacts.push((artifact.name.clone(), reader.place(key.at)));
                    service.artifacts.insert(artifact.name.clone(), Box::new(artifact));
                }
            }
        }
        if let Some(node) = fields.get("environments") {
            for (key, value) in reader.entries(node, "environments") {
                let name = reader.parse_text::<EnvironmentName>(&key.text, key.at, "environments");
                let Some(name) = name.map(|name| aliases.meant(&name)) else { continue };
                self.overrides.push((name.clone(), reader.place(key.at)));
                let rules = overrides(reader, value, service);
                service.overrides.entry(name).or_default().extend(rules);
            }
        }
    }
}

fn artifact(reader: &mut Reader<'_>, name: ArtifactName, node: &Node) -> Option<Artifact> {
    let fields = reader.fields(node, "an artifact", keys::ARTIFACT);
    let (kind, place) = match (fields.get("image"), fields.get("bundle")) {
        (Some(image), None) => (ArtifactKind::Image, image),
        (None, Some(bundle)) => (ArtifactKind::Bundle, bundle),
        _ => {
            let help = "write image: or bundle: with the repository, without a tag";
            reader.error_help(
                node.at,
                format!("artifact {name} needs exactly one of image and bundle"),
                help,
            );
            return None;
        }
    };
    let repository = reader.parse(place, "the repository");
    let rule = rule(reader, fields);
    Some(Artifact { name, kind, repository: repository?, rule })
}

fn overrides(reader: &mut Reader<'_>, node: &Node, service: &Service) -> BTreeMap<ArtifactName, Rule> {
    let mut rules = BTreeMap::new();
    let fields = reader.fields(node, "an environment of a service", keys::SERVICE_ENVIRONMENT);
    let Some(artifacts) = fields.get("artifacts") else { return rules };
    for (key, value) in reader.entries(artifacts, "artifacts") {
        let Some(name) = reader.parse_text::<ArtifactName>(&key.text, key.at, "artifacts") else { continue };
        if !service.artifacts.contains_key(&name) {
            let known: Vec<&str> = service.artifacts.keys().map(ArtifactName::as_str).collect();
            let help = match crate::diagnostic::nearest(name.as_str(), known.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "declare it under artifacts of this file".into(),
            };
            reader.error_help(key.at, format!("the service has no artifact {name}"), help);
            continue;
        }
        let fields = reader.fields(value, "an artifact in an environment", keys::OVERRIDE);
        rules.extend(rule(reader, fields).map(|rule| (name, rule)));
    }
    rules
}

/// `policy`, `filter` and `extract` of an artifact.
fn rule(reader: &mut Reader<'_>, fields: Fields<'_>) -> Option<Rule> {
    let filter = fields.get("filter").and_then(|n| reader.text(n, "filter"));
    let extract = fields.get("extract").and_then(|n| reader.text(n, "extract"));
    let Some(node) = fields.get("policy") else {
        if let Some(lone) = fields.get("filter").or_else(|| fields.get("extract")) {
            reader.error_help(lone.at, "filter and extract need a policy", "add policy: { semver: \"*\" }");
        }
        return None;
    };
    let inner = reader.fields(node, "policy", keys::POLICY);
    let said: Vec<&str> = keys::POLICY.iter().copied().filter(|key| inner.get(key).is_some()).collect();
    let [kind] = said[..] else {
        let help = "write policy: { semver: \"^1\" }";
        reader.error_help(
            node.at,
            "a policy is exactly one of semver, alphabetical, numerical and digest",
            help,
        );
        return None;
    };
    let value = inner.get(kind)?;
    let make: fn(&str) -> Result<Policy, PolicyError> = match kind {
        "semver" => Policy::semver,
        "alphabetical" => Policy::alphabetical,
        "numerical" => Policy::numerical,
        _ => Policy::digest,
    };
    let policy = reader.parse_with(value, kind, make)?;
    match Rule::new(policy, filter, extract) {
        Ok(rule) => Some(rule),
        Err(error) => {
            let at = fields.get("filter").or_else(|| fields.get("extract")).map_or(node.at, |n| n.at);
            reader.error(at, error.to_string());
            None
        }
    }
}
