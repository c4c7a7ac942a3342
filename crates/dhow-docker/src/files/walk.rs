//! Follows what Compose files name: `include`, `extends`, `env_file`, `configs`, `secrets`, bind mounts.

use std::collections::{BTreeMap, BTreeSet};

use dhow_core::diagnostic::Diagnostic;
use dhow_core::fleet::Tree;
use dhow_core::port::TargetError;
use dhow_core::yaml::{self, Node, Parsed};

use super::path;
use super::variables::Variables;

/// How far files that name other files are followed.
const MAX_STEPS: usize = 16;
/// What Compose reads goes through memory and is stored with the release.
const MAX_INPUTS: usize = 2 << 20;

/// What Compose files name.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// What Compose itself reads, by path in the fleet.
    pub inputs: BTreeMap<String, String>,
    /// What containers mount: paths in the fleet, whether there is something or not.
    pub mounted: BTreeSet<String>,
}

/// Follows some Compose files.
pub(crate) struct Walk<'a> {
    tree: &'a dyn Tree,
    variables: Variables,
    found: Found,
}

impl<'a> Walk<'a> {
    /// `folder` is where relative paths of the first files start.
    ///
    /// # Errors
    /// A file that is named and is not there, leads out of the fleet, or cannot be read.
    pub(crate) fn all(tree: &'a dyn Tree, folder: &str, files: &[String]) -> Result<Found, TargetError> {
        let mut walk = Self { tree, variables: Variables::default(), found: Found::default() };
        let env = path::join(folder, ".env");
        if let Some(text) = walk.text(&env)? {
            walk.variables = Variables::of(&text);
            walk.input(env, text)?;
        }
        for file in files {
            walk.compose(file, folder, 0)?;
        }
        Ok(walk.found)
    }

    fn compose(&mut self, file: &str, folder: &str, steps: usize) -> Result<(), TargetError> {
        if self.found.inputs.contains_key(file) {
            return Ok(());
        }
        if steps > MAX_STEPS {
            return Err(failed(Diagnostic::error(
                file,
                format!("files name others more than {MAX_STEPS} times"),
            )));
        }
        let Some(text) = self.text(file)? else {
            return Err(failed(
                Diagnostic::error(file, "is named and is not in the fleet").help("add the file"),
            ));
        };
        let parsed = yaml::parse(file, text.as_bytes());
        if let Some(problem) =
            parsed.problems.iter().find(|p| p.severity == dhow_core::diagnostic::Severity::Error)
        {
            return Err(failed(problem.clone()));
        }
        self.input(file.to_owned(), text.clone())?;
        let at = Place { file, folder, parsed: &parsed, steps };
        for document in &parsed.documents {
            for (_, service) in document.get("services").map(Node::entries).unwrap_or_default() {
                self.service(&at, service)?;
            }
            for item in document.get("include").map(Node::items).unwrap_or_default() {
                self.include(&at, item)?;
            }
            for section in ["configs", "secrets"] {
                for (_, value) in document.get(section).map(Node::entries).unwrap_or_default() {
                    if let Some(node) = value.get("file") {
                        self.mounted(&at, node, node.as_str().unwrap_or_default())?;
                    }
                }
            }
        }
        Ok(())
    }

    fn service(&mut self, at: &Place<'_>, service: &Node) -> Result<(), TargetError> {
        if let Some(node) = service.get("label_file") {
            // Compose hashes its path, which is another in each release: containers would never be left alone.
            let told = at.error(node, "label_file is not supported".to_owned());
            return Err(told.help_failed("write its lines under `labels:`"));
        }
        for node in one_or_many(service.get("env_file")) {
            let optional = node.get("required").and_then(Node::as_str) == Some("false");
            self.environment(at, node.get("path").unwrap_or(node), optional)?;
        }
        if let Some(node) = service.get("extends").and_then(|extends| extends.get("file"))
            && let Some(file) = self.named(at, node, node.as_str().unwrap_or_default())?
        {
            let folder = path::parent(&file).to_owned();
            self.compose(&file, &folder, at.steps + 1)?;
        }
        for volume in service.get("volumes").map(Node::items).unwrap_or_default() {
            let short = volume.as_str().map(|text| self.variables.fill(text));
            if let Some(text) = short {
                let source = text.split(':').next().unwrap_or_default();
                if source.starts_with('.') {
                    self.mounted(at, volume, source)?;
                }
            } else if volume.get("type").and_then(Node::as_str) == Some("bind")
                && let Some(source) = volume.get("source")
            {
                self.mounted(at, source, source.as_str().unwrap_or_default())?;
            }
        }
        Ok(())
    }

    fn include(&mut self, at: &Place<'_>, item: &Node) -> Result<(), TargetError> {
        let own = item.get("project_directory").and_then(Node::as_str).map(|text| self.variables.fill(text));
        let paths = if item.as_str().is_some() { vec![item] } else { one_or_many(item.get("path")) };
        let mut folder = own.and_then(|text| path::resolve(at.folder, &text));
        for node in paths {
            let Some(file) = self.named(at, node, node.as_str().unwrap_or_default())? else { continue };
            let folder = folder.get_or_insert_with(|| path::parent(&file).to_owned()).clone();
            let env = path::join(&folder, ".env");
            if let Some(text) = self.text(&env)? {
                self.input(env, text)?;
            }
            self.compose(&file, &folder, at.steps + 1)?;
        }
        for node in one_or_many(item.get("env_file")) {
            self.environment(at, node, false)?;
        }
        Ok(())
    }

    fn environment(&mut self, at: &Place<'_>, node: &Node, optional: bool) -> Result<(), TargetError> {
        let Some(file) = self.named(at, node, node.as_str().unwrap_or_default())? else { return Ok(()) };
        match self.text(&file)? {
            Some(text) => self.input(file, text),
            None if optional => Ok(()),
            None => Err(at.error(node, format!("{file} is not in the fleet")).help_failed("add the file")),
        }
    }

    fn mounted(&mut self, at: &Place<'_>, node: &Node, text: &str) -> Result<(), TargetError> {
        if let Some(found) = self.named(at, node, text)? {
            self.found.mounted.insert(found);
        }
        Ok(())
    }

    /// The path in the fleet that a text names; `None` where it lies on the server.
    fn named(&mut self, at: &Place<'_>, node: &Node, text: &str) -> Result<Option<String>, TargetError> {
        let text = self.variables.fill(text);
        if text.is_empty() || text.starts_with(['/', '~']) {
            return Ok(None);
        }
        if text.contains('$') {
            let told = at.error(node, format!("{text:?} has a variable that .env does not set"));
            return Err(told.help_failed("set it in .env beside the file, or write the path"));
        }
        match path::resolve(at.folder, &text) {
            Some(found) => Ok(Some(found)),
            None => {
                let told = at.error(node, format!("{text:?} leads out of the fleet"));
                Err(told.help_failed("a deployment may only use files of its fleet"))
            }
        }
    }

    fn input(&mut self, file: String, text: String) -> Result<(), TargetError> {
        self.found.inputs.insert(file.clone(), text);
        let total: usize = self.found.inputs.values().map(String::len).sum();
        if total > MAX_INPUTS {
            let told =
                format!("the files that Compose reads are bigger than {} MiB together", MAX_INPUTS >> 20);
            return Err(failed(Diagnostic::error(file, told)));
        }
        Ok(())
    }

    fn text(&self, file: &str) -> Result<Option<String>, TargetError> {
        let bytes = self.tree.read(file).map_err(|error| {
            TargetError::Passing(format!("{file} could not be read from the fleet: {error}"))
        })?;
        bytes
            .map(|bytes| {
                String::from_utf8(bytes).map_err(|_| failed(Diagnostic::error(file, "is no UTF-8 text")))
            })
            .transpose()
    }
}

/// Where something was named.
struct Place<'a> {
    file: &'a str,
    /// Where its relative paths start.
    folder: &'a str,
    parsed: &'a Parsed<'a>,
    steps: usize,
}

impl Place<'_> {
    fn error(&self, node: &Node, message: String) -> Diagnostic {
        Diagnostic::error(self.file, message).at(&self.parsed.text, node.at.line, node.at.column)
    }
}

trait HelpFailed {
    fn help_failed(self, help: &str) -> TargetError;
}

impl HelpFailed for Diagnostic {
    fn help_failed(self, help: &str) -> TargetError {
        failed(self.help(help))
    }
}

fn failed(problem: Diagnostic) -> TargetError {
    TargetError::Failed(problem.to_string())
}

fn one_or_many(node: Option<&Node>) -> Vec<&Node> {
    match node {
        None => Vec::new(),
        Some(node) if !node.items().is_empty() => node.items().iter().collect(),
        Some(node) => vec![node],
    }
}
