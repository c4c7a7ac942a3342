//! `dhow.yaml` at the fleet's root.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use super::gate::{Approvals, UpdateMode, Window};
use super::model::{Environment, Person, RegistrySettings, Server};
use super::pattern::{Pattern, Slot};
use super::proxy::{self, ProxySettings};
use super::tree::Tree;
use super::{keys, path, secret, server, window};
use crate::diagnostic::{Diagnostic, Severity};
use crate::noun::{EnvironmentName, PersonName, ServerName, ServiceName, TargetType};
use crate::yaml::{self, Fields, Node, Reader};

/// Where the root file lies.
pub(crate) const FILE: &str = "dhow.yaml";

const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

/// What the root file says, with the names of environments as it spells them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Root {
    pub(crate) environments: Vec<Declared>,
    pub(crate) registries: BTreeMap<String, RegistrySettings>,
    pub(crate) servers: BTreeMap<ServerName, Server>,
    pub(crate) proxy: Option<ProxySettings>,
    /// Every deployment gets networks of its own, unless it says otherwise.
    pub(crate) isolation: bool,
    pub(crate) people: BTreeMap<PersonName, Person>,
    pub(crate) layout: Vec<Pattern>,
    pub(crate) listed: Vec<Listed>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// An environment, and the place of what it names, for errors that only the whole fleet shows.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    pub(crate) environment: Environment,
    pub(crate) at: Diagnostic,
    pub(crate) from_at: Option<Diagnostic>,
}

/// A deployment that `deployments:` names.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) folder: String,
    pub(crate) service: ServiceName,
    pub(crate) target: Option<TargetType>,
    pub(crate) environment: EnvironmentName,
}

impl Root {
    /// Reads the root file; without one, everything is its default.
    pub(crate) fn read(tree: &dyn Tree) -> Self {
        let mut root = Self::default();
        let bytes = match read_optional(tree, FILE) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return root,
            Err(problem) => {
                root.diagnostics.push(problem);
                return root;
            }
        };
        let parsed = yaml::parse(FILE, &bytes);
        root.diagnostics = parsed.problems;
        let mut reader = Reader::new(FILE, &parsed.text);
        if let Some(document) = single(&mut reader, &parsed.documents) {
            root.read_document(&mut reader, document);
        }
        root.diagnostics.extend(reader.finish());
        root
    }

    /// Whether it has an error.
    pub(crate) fn is_broken(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// The names of environments that it declares or mentions as its own.
    pub(crate) fn spelled(&self) -> BTreeSet<String> {
        self.environments.iter().map(|d| d.environment.name.to_string()).collect()
    }

    fn read_document(&mut self, reader: &mut Reader<'_>, document: &Node) {
        let fields = reader.fields(document, "dhow.yaml at the root", keys::ROOT);
        if let Some(node) = fields.get("people") {
            for (key, value) in reader.entries(node, "people") {
                if let Some(name) = reader.parse_text(&key.text, key.at, "people") {
                    self.people.insert(name, person(reader, value));
                }
            }
        }
        if let Some(node) = fields.get("environments") {
            for (key, value) in reader.entries(node, "environments") {
                if let Some(name) = reader.parse_text(&key.text, key.at, "environments") {
                    let at = reader.place(key.at);
                    let declared = self.environment(reader, name, at, value);
                    self.environments.push(declared);
                }
            }
        }
        if let Some(node) = fields.get("registries") {
            for (key, value) in reader.entries(node, "registries") {
                let settings = registry(reader, value);
                if format!("{}/x", key.text).parse::<crate::noun::Repository>().is_err() {
                    reader.error(key.at, format!("{:?} is no host of a registry", key.text));
                }
                self.registries.insert(key.text.to_ascii_lowercase(), settings);
            }
        }
        if let Some(node) = fields.get("servers") {
            self.servers = server::read_all(reader, node);
        }
        self.proxy = fields.get("proxy").and_then(|n| proxy::read(reader, n));
        let isolation = fields.get("isolation").and_then(|n| reader.boolean(n, "isolation"));
        self.isolation = isolation.unwrap_or_default();
        if let Some(node) = fields.get("notices") {
            reader.warn(
                node.at,
                "notices are not sent by this version",
                "remove the key, or leave it for later",
            );
        }
        for item in fields.get("layout").map(|n| reader.items(n, "layout")).unwrap_or_default() {
            self.layout.extend(pattern(reader, item));
        }
        for item in fields.get("deployments").map(|n| reader.items(n, "deployments")).unwrap_or_default() {
            self.listed.extend(listed(reader, item));
        }
    }

    fn environment(
        &self,
        reader: &mut Reader<'_>,
        name: EnvironmentName,
        at: Diagnostic,
        node: &Node,
    ) -> Declared {
        let fields = reader.fields(node, "an environment", keys::ENVIRONMENT);
        let mut environment = Environment::undeclared(name);
        let mut from_at = None;
        if let Some(node) = fields.get("from") {
            environment.from = reader.parse(node, "from");
            from_at = Some(reader.place(node.at));
        }
        if let Some(node) = fields.get("soak") {
            environment.soak = reader.duration(node, "soak", YEAR).unwrap_or_default();
            if environment.from.is_none() {
                reader.warn(node.at, "soak has no effect without from", "add from, or remove soak");
            }
        }
        if let Some(node) = fields.get("update") {
            environment.update = update(reader, node);
        }
        environment.approvals = fields.get("approvals").and_then(|n| self.approvals(reader, n));
        environment.window = fields.get("window").and_then(|n| read_window(reader, n));
        Declared { environment, at, from_at }
    }

    fn approvals(&self, reader: &mut Reader<'_>, node: &Node) -> Option<Approvals> {
        let fields = reader.fields(node, "approvals", keys::APPROVALS);
        let mut approvals = Approvals::any_one();
        if let Some(list) = fields.get("from") {
            for item in reader.items(list, "from") {
                let Some(person) = reader.parse::<PersonName>(item, "from") else { continue };
                if !self.people.is_empty() && !self.people.contains_key(&person) {
                    reader.warn(
                        item.at,
                        format!("{person} is not among people"),
                        "add the person under people",
                    );
                }
                if !approvals.from.insert(person.clone()) {
                    reader.warn(item.at, format!("{person} is named twice"), "one person has one vote");
                }
            }
        }
        if let Some(node) = fields.get("needed") {
            approvals.needed = reader.number(node, "needed", 1..=1000)?;
            let names = approvals.from.len();
            if names > 0 && approvals.needed as usize > names {
                let message = format!(
                    "{} approvals are needed, but only {names} people may give one",
                    approvals.needed
                );
                reader.error_help(node.at, message, "name more people in from, or lower needed");
            }
        }
        if let Some(node) = fields.get("author_may_approve") {
            approvals.author_may_approve = reader.boolean(node, "author_may_approve").unwrap_or(false);
        }
        self.warn_of_authors(reader, node, &approvals);
        Some(approvals)
    }

    /// Whose own commits nobody could approve, or they themselves could.
    fn warn_of_authors(&self, reader: &mut Reader<'_>, node: &Node, approvals: &Approvals) {
        let Approvals { needed, from, author_may_approve: false } = approvals else { return };
        let known = |person: &&PersonName| self.people.contains_key(*person);
        if (1..=*needed as usize).contains(&from.len()) && from.iter().any(|person| known(&person)) {
            reader.warn(
                node.at,
                "a commit by one who may approve can never be approved: nobody else is left to",
                "name one more in from, or write author_may_approve: true",
            );
        }
        let unseen = |person: &&PersonName| self.people.get(*person).is_some_and(|p| p.emails.is_empty());
        if let Some(person) = from.iter().find(unseen) {
            reader.warn(
                node.at,
                format!("{person} may approve and has no emails: {person}'s own commits cannot be told, and may be approved by {person}"),
                format!("people: {{ {person}: {{ emails: [ADDRESS OF THE COMMITS] }} }}"),
            );
        }
    }
}

/// Reads a file that need not be there. A folder or a link of its name is no file.
pub(crate) fn read_optional(tree: &dyn Tree, file: &str) -> Result<Option<Vec<u8>>, Diagnostic> {
    tree.read(file)
        .map_err(|error: io::Error| Diagnostic::error(file, format!("the file cannot be read: {error}")))
}

/// The one document of a file; an empty file has none.
pub(crate) fn single<'n>(reader: &mut Reader<'_>, documents: &'n [Node]) -> Option<&'n Node> {
    if let Some(second) = documents.get(1) {
        reader.error(second.at, "the file has more than one document; one is read");
    }
    documents.first()
}

fn update(reader: &mut Reader<'_>, node: &Node) -> UpdateMode {
    match node.as_str() {
        Some("commit") => UpdateMode::Commit,
        Some("approval") => UpdateMode::Approval,
        Some("pull_request") => {
            let message = "update: pull_request is not available in this version";
            reader.warn(node.at, message, "until then use update: approval");
            UpdateMode::PullRequest
        }
        _ => {
            reader.error(node.at, "update must be commit, pull_request or approval");
            UpdateMode::Commit
        }
    }
}

fn read_window(reader: &mut Reader<'_>, node: &Node) -> Option<Window> {
    reader.warn(
        node.at,
        "window is not kept by this version: changes come in at any time",
        "where that must not be, let people approve: approvals: { needed: 1 }",
    );
    let fields = reader.fields(node, "window", keys::WINDOW);
    let Some(open) = fields.get("open") else {
        reader.error_help(node.at, "window has no open", "write open: \"Mon-Fri 08:00-17:00\"");
        return None;
    };
    let text = reader.text(open, "open")?;
    if let Some(problem) = window::problem_of_open(text) {
        reader.error(open.at, problem);
    }
    let zone = fields.get("zone").and_then(|n| Some((n, reader.text(n, "zone")?)));
    if let Some((node, problem)) = zone.and_then(|(n, zone)| Some((n, window::problem_of_zone(zone)?))) {
        reader.error(node.at, problem);
    }
    Some(Window { open: text.to_owned(), zone: zone.map_or("UTC", |(_, zone)| zone).to_owned() })
}

fn person(reader: &mut Reader<'_>, node: &Node) -> Person {
    let fields = reader.fields(node, "a person", keys::PERSON);
    let emails = fields.get("emails").map(|n| reader.list(n, "emails")).unwrap_or_default();
    let forge = fields.get("forge").and_then(|n| reader.text(n, "forge")).map(str::to_owned);
    Person { emails, forge }
}

fn registry(reader: &mut Reader<'_>, node: &Node) -> RegistrySettings {
    let fields = reader.fields(node, "a registry", keys::REGISTRY);
    let credentials = fields.raw("credentials").and_then(|n| secret::read(reader, n, "credentials"));
    let ca = fields.get("ca").and_then(|n| within(reader, n, "", "ca"));
    let plain_http = fields.get("plain_http").and_then(|n| reader.boolean(n, "plain_http")).unwrap_or(false);
    let calls = fields.get("calls").and_then(|n| reader.number(n, "calls", 1..=100));
    RegistrySettings { credentials, ca, plain_http, calls }
}

/// A path that must stay within the fleet, relative to a folder.
pub(crate) fn within(reader: &mut Reader<'_>, node: &Node, folder: &str, what: &str) -> Option<String> {
    let text = reader.text(node, what)?;
    let found = path::resolve(folder, text);
    if found.is_none() {
        let message = format!("{what}: {text:?} leads out of the fleet");
        reader.error_help(node.at, message, "move the file into the fleet");
    }
    found
}

fn pattern(reader: &mut Reader<'_>, node: &Node) -> Option<Pattern> {
    if node.as_str().is_some() {
        let pattern = reader.parse_with(node, "layout", Pattern::read)?;
        return complete(reader, node, pattern);
    }
    let fields = reader.fields(node, "an entry of layout", keys::LAYOUT);
    let Some(path) = fields.get("path") else {
        reader.error(node.at, "an entry of layout needs a path");
        return None;
    };
    let mut pattern = reader.parse_with(path, "layout", Pattern::read)?;
    pattern.service = fields.get("service").and_then(|n| reader.parse(n, "service"));
    pattern.target = fields.get("type").and_then(|n| reader.parse(n, "type"));
    pattern.environment = fields.get("environment").and_then(|n| reader.parse(n, "environment"));
    for (key, slot, said) in [
        ("service", Slot::Service, pattern.service.is_some()),
        ("type", Slot::Type, pattern.target.is_some()),
        ("environment", Slot::Environment, pattern.environment.is_some()),
    ] {
        if said && pattern.has(slot) {
            reader.error(node.at, format!("{key} is said twice: beside the path and as {{{key}}} in it"));
        }
    }
    complete(reader, path, pattern)
}

/// A pattern must say which service a folder belongs to.
fn complete(reader: &mut Reader<'_>, node: &Node, pattern: Pattern) -> Option<Pattern> {
    if pattern.service.is_none() && !pattern.has(Slot::Service) {
        let help = "put {service} into the path, or service: beside it";
        reader.error_help(node.at, "the pattern does not say which service its folders belong to", help);
        return None;
    }
    Some(pattern)
}

fn listed(reader: &mut Reader<'_>, node: &Node) -> Option<Listed> {
    let fields: Fields<'_> = reader.fields(node, "an entry of deployments", keys::LISTED);
    for key in ["path", "service", "environment"] {
        if fields.get(key).is_none() {
            reader.error(node.at, format!("an entry of deployments needs {key}"));
        }
    }
    let folder = fields.get("path").and_then(|n| within(reader, n, "", "path"));
    let service = fields.get("service").and_then(|n| reader.parse(n, "service"));
    let target = fields.get("type").and_then(|n| reader.parse(n, "type"));
    let environment = fields.get("environment").and_then(|n| reader.parse(n, "environment"));
    Some(Listed { folder: folder?, service: service?, target, environment: environment? })
}
