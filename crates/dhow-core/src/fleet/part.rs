//! Everything that is read of one service: the unit of which the fleets of successive commits share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::alias::Aliases;
use super::dependency;
use super::kind;
use super::layout::{Candidate, Found, Origin};
use super::model::{Deployment, Service};
use super::networks;
use super::path;
use super::root::Root;
use super::service::ServiceFile;
use super::settings::FolderSettings;
use super::tree::{EntryKind, Tree};
use super::{site, sites};
use crate::diagnostic::{Diagnostic, Severity, nearest};
use crate::noun::{DeploymentId, EnvironmentName, ServerName, ServiceName, TargetType};

/// Deepest folder, and most files, of a deployment.
const MAX_FOLDERS: usize = 64;
const MAX_FILES: usize = 100_000;

/// One service as it was read.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) service: Option<Arc<Service>>,
    pub(crate) service_broken: bool,
    pub(crate) deployments: Vec<Arc<Deployment>>,
    pub(crate) broken: BTreeMap<DeploymentId, Vec<Diagnostic>>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Places of `after:` and of environments in the service's file.
    pub(crate) after: Vec<(ServiceName, Diagnostic)>,
    pub(crate) overrides: Vec<(EnvironmentName, Diagnostic)>,
    /// Environments as folders spell them.
    pub(crate) spelled: Vec<String>,
    /// Folders of deployments.
    pub(crate) folders: Vec<String>,
    /// Folders and files elsewhere: what changes there may change this service.
    pub(crate) watched: BTreeSet<String>,
}

/// What reading a service needs to know of the fleet.
pub(crate) struct Context<'a> {
    pub(crate) tree: &'a dyn Tree,
    pub(crate) root: &'a Root,
    pub(crate) aliases: &'a Aliases,
    /// Folders of deployments that lie inside of another deployment's folder.
    pub(crate) nested: &'a BTreeSet<String>,
}

impl Context<'_> {
    /// Reads one service.
    pub(crate) fn part(&self, name: &str, found: &Found) -> Part {
        let mut part = Part { diagnostics: found.problems.clone(), ..Part::default() };
        part.folders = found.candidates.iter().map(|c| c.folder.clone()).collect();
        part.spelled = found.candidates.iter().map(|c| c.spelled.clone()).collect();
        if name.is_empty() {
            return part;
        }
        let name = match ServiceName::new(name) {
            Ok(name) => name,
            Err(error) => {
                let place = found.candidates.first().map_or("services", |c| c.folder.as_str());
                part.diagnostics.push(Diagnostic::error(place, error.to_string()).help("rename the folder"));
                return part;
            }
        };
        let file = self.service_file(name.clone(), found);
        part.service_broken = found.broken || file.is_broken();
        part.diagnostics.extend(file.diagnostics);
        (part.after, part.overrides) = (file.after, file.overrides);
        for candidate in &found.candidates {
            self.candidate(&mut part, &file.service, candidate);
        }
        if part.broken.is_empty() && !part.deployments.is_empty() {
            let deployments = part.deployments.iter().map(AsRef::as_ref);
            part.diagnostics.extend(sites::findings(&file.service, &file.artifacts, deployments));
        }
        part.service = Some(Arc::new(file.service));
        part
    }

    fn service_file(&self, name: ServiceName, found: &Found) -> ServiceFile {
        let own: Vec<&String> = found
            .files
            .iter()
            .filter(|file| matches!(self.tree.read(file), Ok(Some(_)) | Err(_)))
            .filter(|file| !found.candidates.iter().any(|c| c.folder == path::parent(file)))
            .collect();
        let Some(first) = own.first() else { return ServiceFile::empty(name) };
        let mut file = ServiceFile::read(self.tree, first, name, self.aliases);
        if let Some(second) = own.get(1) {
            let message = format!("the service has another file, {first}");
            file.diagnostics.push(Diagnostic::error(second.as_str(), message).help("keep one of them"));
        }
        file
    }

    fn candidate(&self, part: &mut Part, service: &Service, candidate: &Candidate) {
        let environment = match self.aliases.resolve(&candidate.spelled) {
            Ok(environment) => environment,
            Err(error) => {
                let found = Diagnostic::error(candidate.folder.as_str(), error.to_string());
                return part.diagnostics.push(found.help("rename the folder"));
            }
        };
        let id =
            |target| DeploymentId { service: service.name.clone(), target, environment: environment.clone() };
        if let Some(fault) = &candidate.fault {
            part.diagnostics.push(fault.clone());
            if let Some(target) = candidate.hint {
                part.broken.insert(id(target), vec![fault.clone()]);
            }
            return;
        }
        let mut content = Content::default();
        content.gather(self, &candidate.folder);
        let names: Vec<&str> = content
            .files
            .iter()
            .filter(|f| path::parent(f) == candidate.folder)
            .map(|f| path::name(f))
            .collect();
        let settings = FolderSettings::read(self.tree, &candidate.folder, &names, &service.name);
        let types = types(&settings, &names, candidate);
        let said = names.iter().any(|name| kind::file_kind(name) == kind::FileKind::Settings);
        let runs = types.iter().any(|target| kind::runs(&names, *target));
        if candidate.origin == Origin::Pattern && !said && !runs {
            return;
        }
        if types.is_empty() {
            return part.diagnostics.extend(no_type(candidate));
        }
        let mut shared = content.problems;
        shared.extend(settings.diagnostics.iter().cloned());
        shared.extend(self.unknown_servers(&settings));
        part.diagnostics.extend(shared.iter().cloned());
        for target in &types {
            let (deployment, watched, own) =
                self.deployment(service, id(*target), candidate, &content.files, &settings, &types);
            let own: Vec<Diagnostic> = own.into_iter().chain(unroutable(*target, &settings)).collect();
            let all: Vec<Diagnostic> = shared.iter().chain(&own).cloned().collect();
            part.watched.extend(watched);
            part.diagnostics.extend(own);
            let errors: Vec<Diagnostic> = all.into_iter().filter(|d| d.severity == Severity::Error).collect();
            match errors.is_empty() {
                true => part.deployments.push(Arc::new(deployment)),
                false => part.broken.entry(deployment.id).or_default().extend(errors),
            }
        }
    }

    fn deployment(
        &self,
        service: &Service,
        id: DeploymentId,
        candidate: &Candidate,
        all: &[String],
        settings: &FolderSettings,
        types: &[TargetType],
    ) -> (Deployment, BTreeSet<String>, Vec<Diagnostic>) {
        let folder = &candidate.folder;
        let top = |file: &String| path::parent(file) == folder;
        let files: Vec<String> = all
            .iter()
            .filter(|f| !top(f) || kind::belongs(path::name(f), id.target, types))
            .cloned()
            .collect();
        let mut found = dependency::follow(self.tree, folder, id.target, &files);
        let names: Vec<&str> = files.iter().filter(|f| top(f)).map(|f| path::name(f)).collect();
        let nested_site = id.target == TargetType::StaticFile && files.len() > names.len();
        if !kind::runs(&names, id.target) && settings.settings.bundle.is_none() && !nested_site {
            let message = format!("{id} has nothing to run");
            found.problems.push(Diagnostic::warning(folder.as_str(), message).help(missing(id.target)));
        }
        found.files.extend(settings.dependencies.iter().cloned());
        let mut watched = found.folders;
        watched.extend(found.files.iter().chain(&settings.looked).cloned());
        let (said, mut settings) = (settings, settings.settings.clone());
        if settings.servers.is_empty() {
            settings.servers = self.servers_of(&id.environment);
        }
        if settings.checks.is_empty() {
            settings.checks.clone_from(&service.checks);
        }
        let isolated = settings.isolated.unwrap_or(self.root.isolation);
        if isolated && id.target == TargetType::Compose {
            let of_compose =
                |file: &&String| top(file) && kind::file_kind(path::name(file)) == kind::FileKind::Compose;
            let compose: Vec<String> = files.iter().filter(of_compose).cloned().collect();
            found.problems.extend(networks::findings(self.tree, &compose));
        }
        let mut deployment = Deployment {
            id,
            folder: folder.clone(),
            spelled_environment: candidate.spelled.clone(),
            files,
            dependencies: found.files.into_iter().collect(),
            settings,
            sites: Vec::new(),
        };
        found.problems.extend(site::findings(&deployment, said));
        deployment.sites = sites::find(self.tree, &deployment, service);
        (deployment, watched, found.problems)
    }

    fn servers_of(&self, environment: &EnvironmentName) -> Vec<ServerName> {
        let runs = |names: &[EnvironmentName]| names.iter().any(|e| self.aliases.meant(e) == *environment);
        let servers = self.root.servers.iter();
        servers.filter(|(_, server)| runs(&server.environments)).map(|(name, _)| name.clone()).collect()
    }

    fn unknown_servers(&self, settings: &FolderSettings) -> Vec<Diagnostic> {
        let named = settings.settings.servers.iter().zip(&settings.servers_at);
        named
            .filter(|(name, _)| !self.root.servers.contains_key(*name))
            .map(|(name, at)| {
                let known = self.root.servers.keys().map(ServerName::as_str);
                let message = format!("the fleet has no server {name}");
                let found = Diagnostic { message, ..at.clone() };
                match nearest(name.as_str(), known) {
                    Some(near) => found.help(format!("did you mean {near:?}?")),
                    None => found.help("declare it under servers in dhow.yaml at the fleet's root"),
                }
            })
            .collect()
    }
}

/// What only a proxy does is not left out in silence where there is none: a password above all.
fn unroutable(target: TargetType, settings: &FolderSettings) -> Option<Diagnostic> {
    if matches!(target, TargetType::Compose | TargetType::Swarm) {
        return None;
    }
    let key = settings.settings.route.as_ref()?.needs_proxy()?;
    let message = format!("route.{key} has no effect on the type {target}");
    let found = Diagnostic { message, ..settings.route_at.clone()? };
    Some(found.help("remove it; a proxy stands in front of the types compose and swarm only"))
}

fn types(settings: &FolderSettings, names: &[&str], candidate: &Candidate) -> Vec<TargetType> {
    if let Some(target) = settings.target {
        return vec![target];
    }
    let detected = kind::detect(names, candidate.hint);
    match (detected.is_empty(), settings.settings.bundle.is_some()) {
        (true, true) => vec![TargetType::StaticFile],
        _ => detected,
    }
}

fn no_type(candidate: &Candidate) -> Option<Diagnostic> {
    let known = TargetType::ALL.map(TargetType::as_str);
    match &candidate.origin {
        Origin::Pattern => None,
        Origin::Listed => Some(
            Diagnostic::error(candidate.folder.as_str(), "the folder does not show its type")
                .help("add type: to its entry under deployments in dhow.yaml"),
        ),
        Origin::Standard(name) => {
            let message = format!("{name:?} is no deployment type; nothing in this folder is deployed");
            let found = Diagnostic::warning(candidate.folder.as_str(), message);
            Some(match nearest(name, known) {
                Some(near) => found.help(format!("did you mean {near:?}?")),
                None => found.help(format!("the types are {}", known.join(", "))),
            })
        }
    }
}

fn missing(target: TargetType) -> &'static str {
    match target {
        TargetType::Compose => "add a compose.yaml",
        TargetType::Swarm => "add a file whose name ends with -stack.yaml",
        TargetType::K8s => "add a kustomization.yaml or manifests",
        TargetType::StaticFile => "add the files to serve, or bundle: to its dhow.yaml",
        TargetType::Cron => "add a file named crontab",
    }
}

/// The files of a folder, at any depth.
#[derive(Default)]
struct Content {
    files: Vec<String>,
    problems: Vec<Diagnostic>,
}

impl Content {
    fn gather(&mut self, context: &Context<'_>, folder: &str) {
        let mut folders = vec![(folder.to_owned(), 0)];
        while let Some((inner, depth)) = folders.pop() {
            let entries = match context.tree.list(&inner) {
                Ok(entries) => entries,
                Err(error) => {
                    let message = format!("the folder cannot be read: {error}");
                    self.problems.push(Diagnostic::error(inner, message));
                    continue;
                }
            };
            for entry in entries {
                let below = path::join(&inner, &entry.name);
                match entry.kind {
                    EntryKind::Folder if context.nested.contains(&below) => {}
                    EntryKind::Folder if folder.is_empty() && below == "services" => {}
                    EntryKind::Folder => folders.push((below, depth + 1)),
                    EntryKind::File | EntryKind::Executable => self.files.push(below),
                    EntryKind::Symlink => self.problems.push(link(context.tree, folder, &below)),
                    EntryKind::Submodule => {
                        let message = "this is a submodule; nothing in it is deployed";
                        self.problems.push(
                            Diagnostic::warning(below, message).help("put the files into the fleet itself"),
                        );
                    }
                }
            }
            if depth > MAX_FOLDERS || self.files.len() > MAX_FILES {
                let message = format!("the folder has more than {MAX_FOLDERS} levels or {MAX_FILES} files");
                self.problems.push(Diagnostic::error(folder, message));
                break;
            }
        }
        self.files.sort();
    }
}

fn link(tree: &dyn Tree, folder: &str, file: &str) -> Diagnostic {
    let target = tree.link(file).ok().flatten();
    let inside = target
        .as_deref()
        .and_then(|target| path::resolve(path::parent(file), target))
        .is_some_and(|target| path::is_within(&target, folder));
    match (inside, target) {
        (true, _) => Diagnostic::warning(file, "this is a symbolic link; it is not followed")
            .help("put a copy of the file there"),
        (false, Some(target)) => {
            let message = format!("this symbolic link leads out of the deployment's folder, to {target:?}");
            Diagnostic::error(file, message).help("put a copy of the file there")
        }
        (false, None) => {
            Diagnostic::error(file, "this symbolic link may lead out of the deployment's folder")
                .help("put a copy of the file there")
        }
    }
}
