//! What only the whole fleet shows: identities and engine names that meet, environments and services that do not
//! exist, circles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::alias::{self, Aliases, PULL_REQUEST};
use super::model::{Deployment, Environment, Fleet, Server};
use super::networks::{self, Settled};
use super::part::Part;
use super::root::{FILE, Root};
use super::sites;
use crate::diagnostic::{Diagnostic, Severity, nearest};
use crate::noun::{DeploymentId, EnvironmentName, ServiceName, TargetType};

/// Puts the parts together. What was settled before, and is as it was, stays the very same.
pub(super) fn assemble(
    root: &Root,
    aliases: &Aliases,
    parts: &BTreeMap<String, Arc<Part>>,
    before: &Settled,
) -> (Fleet, Settled) {
    let mut fleet = Fleet {
        people: root.people.clone(),
        registries: root.registries.clone(),
        proxy: root.proxy.clone(),
        diagnostics: root.diagnostics.clone(),
        broken_root: root.is_broken(),
        ..Fleet::default()
    };
    fleet.servers =
        root.servers.iter().map(|(name, server)| (name.clone(), meant(server, aliases))).collect();
    let mut all: Vec<&Arc<Deployment>> = Vec::new();
    for part in parts.values() {
        fleet.diagnostics.extend(part.diagnostics.iter().cloned());
        fleet.broken.extend(part.broken.iter().map(|(id, found)| (id.clone(), found.clone())));
        all.extend(&part.deployments);
        if let Some(service) = &part.service {
            if part.service_broken {
                fleet.broken_services.insert(service.name.clone());
            }
            fleet.services.insert(service.name.clone(), Arc::clone(service));
        }
    }
    let used: BTreeSet<String> = parts.values().flat_map(|p| p.spelled.iter().cloned()).collect();
    for names in alias::doubtful(&root.spelled(), &used) {
        let message = format!("the fleet uses {}: they are different environments", names.join(" and "));
        let found = Diagnostic::warning(FILE, message);
        fleet.diagnostics.push(found.help("keep one of the names if they are meant to be one environment"));
    }
    identities(&mut fleet, &all);
    engine_names(&mut fleet);
    let settled = networks::settle(&mut fleet, root.isolation, before);
    environments(&mut fleet, root, aliases);
    services(&mut fleet, parts);
    let frozen = |id: &DeploymentId| fleet.broken_services.contains(&id.service);
    let freeze: Vec<DeploymentId> = fleet.deployments.keys().filter(|id| frozen(id)).cloned().collect();
    for id in freeze {
        fleet.deployments.remove(&id);
        let message = format!("the file of the service {} is broken", id.service);
        fleet.broken.entry(id).or_default().push(Diagnostic::error("", message));
    }
    let (shared_files, found) = sites::shared(&fleet);
    fleet.shared_files = shared_files;
    fleet.diagnostics.extend(found);
    let found = sites::unbound(&fleet);
    fleet.diagnostics.extend(found);
    let order = |d: &Diagnostic| (d.file.clone(), d.line, d.column);
    fleet.diagnostics.sort_by_cached_key(order);
    fleet.diagnostics.dedup();
    (fleet, settled)
}

fn meant(server: &Server, aliases: &Aliases) -> Server {
    let environments = server.environments.iter().map(|name| aliases.meant(name)).collect();
    Server { environments, ..server.clone() }
}

fn break_deployment(fleet: &mut Fleet, id: &DeploymentId, found: Diagnostic) {
    fleet.deployments.remove(id);
    fleet.templates.remove(id);
    fleet.diagnostics.push(found.clone());
    fleet.broken.entry(id.clone()).or_default().push(found);
}

/// Two folders of one identity are both unusable: which one is meant, only a person knows.
fn identities(fleet: &mut Fleet, all: &[&Arc<Deployment>]) {
    let mut by_id: BTreeMap<&DeploymentId, Vec<&Arc<Deployment>>> = BTreeMap::new();
    for deployment in all {
        by_id.entry(&deployment.id).or_default().push(deployment);
    }
    for (id, deployments) in by_id {
        if let [one] = deployments[..] {
            if fleet.broken.contains_key(id) {
                continue;
            }
            let place = match id.environment.as_str() {
                PULL_REQUEST => &mut fleet.templates,
                _ => &mut fleet.deployments,
            };
            place.insert(id.clone(), Arc::clone(one));
            continue;
        }
        let folders: Vec<&str> = deployments.iter().map(|d| d.folder.as_str()).collect();
        for folder in &folders {
            let message = format!("the folders {} are all the deployment {id}", folders.join(" and "));
            let found = Diagnostic::error(*folder, message).help("rename or remove all but one");
            break_deployment(fleet, id, found);
        }
    }
}

/// The names that a deployment has at its engine, with their kind.
fn names(deployment: &Deployment) -> Vec<(&'static str, String)> {
    match deployment.id.target {
        TargetType::Compose => routed("project", deployment),
        TargetType::Swarm => routed("stack", deployment),
        TargetType::StaticFile => {
            let own = format!("{}.{}.localhost", deployment.id.service, deployment.id.environment);
            let route = deployment.settings.route.iter().map(|route| route.host.clone());
            let hosts = deployment.settings.hosts.iter().cloned().chain(route).chain([own]);
            let unique: BTreeSet<String> = hosts.map(|host| host.to_ascii_lowercase()).collect();
            let directory = deployment.settings.directory.iter().cloned();
            unique
                .into_iter()
                .map(|host| ("host", host))
                .chain(directory.map(|it| ("directory", it)))
                .collect()
        }
        TargetType::K8s | TargetType::Cron => Vec::new(),
    }
}

/// The engine's name of it, and where its proxy leads to it.
fn routed(kind: &'static str, deployment: &Deployment) -> Vec<(&'static str, String)> {
    let mut names = vec![(kind, deployment.project())];
    if let Some(route) = &deployment.settings.route {
        names.push(("route", format!("{}{}", route.host, route.path.as_deref().unwrap_or("/"))));
        names.extend(route.redirect_from.iter().map(|host| ("route", format!("{host}/"))));
    }
    names
}

fn engine_names(fleet: &mut Fleet) {
    let mut taken: BTreeMap<(&str, String, Option<String>), Vec<DeploymentId>> = BTreeMap::new();
    let mut nameless = Vec::new();
    for (id, deployment) in &fleet.deployments {
        for (kind, name) in names(deployment) {
            if name.is_empty() {
                nameless.push(id.clone());
            }
            let servers = &deployment.settings.servers;
            let mut places: Vec<Option<String>> = servers.iter().map(|s| Some(s.to_string())).collect();
            if places.is_empty() {
                places.push(None);
            }
            for place in places {
                taken.entry((kind, name.clone(), place)).or_default().push(id.clone());
            }
        }
    }
    let mut told = BTreeSet::new();
    for ((kind, name, place), ids) in taken {
        if ids.len() < 2 {
            continue;
        }
        let list: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let place = place.map_or("on this machine".to_owned(), |server| format!("on {server}"));
        for id in &ids {
            if !told.insert((kind, name.clone(), id.clone())) {
                continue;
            }
            let folder = fleet.deployments.get(id).map(|d| d.folder.clone()).unwrap_or_default();
            let message = format!("the {kind} {name:?} {place} belongs to {}", list.join(" and "));
            let help = match kind {
                "host" | "route" => "give each its own host",
                "directory" => "give each its own directory",
                _ => "set project: in one of their dhow.yaml files",
            };
            let found = Diagnostic::error(folder, message).help(help);
            fleet.diagnostics.push(found.clone());
            fleet.broken.entry(id.clone()).or_default().push(found);
        }
    }
    for id in nameless {
        let found =
            Diagnostic::error(id.to_string(), "no character of its name may stand in a project's name");
        break_deployment(fleet, &id, found.help("set project: in its dhow.yaml"));
    }
    let broken = &fleet.broken;
    fleet.deployments.retain(|id, _| !broken.contains_key(id));
}

fn environments(fleet: &mut Fleet, root: &Root, aliases: &Aliases) {
    let used = fleet.deployments.keys().chain(fleet.broken.keys()).map(|id| id.environment.clone());
    let mut environments: BTreeMap<EnvironmentName, Arc<Environment>> = used
        .filter(|name| name.as_str() != PULL_REQUEST)
        .map(|name| (name.clone(), Arc::new(Environment::undeclared(name))))
        .collect();
    for declared in &root.environments {
        let mut environment = declared.environment.clone();
        environment.name = aliases.meant(&environment.name);
        environment.from = environment.from.map(|from| aliases.meant(&from));
        environments.insert(environment.name.clone(), Arc::new(environment));
    }
    for declared in &root.environments {
        let name = aliases.meant(&declared.environment.name);
        let Some(from) = declared.environment.from.as_ref().map(|from| aliases.meant(from)) else { continue };
        let at = declared.from_at.as_ref().unwrap_or(&declared.at).clone();
        if !environments.contains_key(&from) {
            let near = nearest(from.as_str(), environments.keys().map(EnvironmentName::as_str));
            let help = match near {
                Some(near) => format!("did you mean {near:?}?"),
                None => "declare it under environments".into(),
            };
            let message = format!("there is no environment {from}");
            fleet.diagnostics.push(Diagnostic { message, ..at }.help(help));
            fleet.broken_root = true;
            continue;
        }
        let next = |name: &EnvironmentName| environments.get(name).and_then(|e| e.from.clone());
        if in_circle(&name, |name| next(name).into_iter().collect()) {
            let message = format!("{name} is promoted from itself, by way of {from}");
            fleet
                .diagnostics
                .push(Diagnostic { message, ..at }.help("break the circle: one environment has no from"));
            fleet.broken_root = true;
        }
    }
    fleet.environments = environments;
}

/// Whether following `next` from `start` comes back to it.
fn in_circle<T: Ord + Clone>(start: &T, next: impl Fn(&T) -> Vec<T>) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = next(start);
    while let Some(item) = open.pop() {
        if item == *start {
            return true;
        }
        if seen.insert(item.clone()) {
            open.extend(next(&item));
        }
    }
    false
}

fn services(fleet: &mut Fleet, parts: &BTreeMap<String, Arc<Part>>) {
    let mut found = Vec::new();
    for part in parts.values() {
        let Some(service) = &part.service else { continue };
        for (after, at) in &part.after {
            let message = match fleet.services.contains_key(after) {
                false => format!("there is no service {after}"),
                true => {
                    let next = |name: &ServiceName| {
                        fleet.services.get(name).map(|s| s.after.clone()).unwrap_or_default()
                    };
                    if !leads_to(after, &service.name, next) {
                        continue;
                    }
                    format!("{} waits for itself, by way of {after}", service.name)
                }
            };
            let near = nearest(after.as_str(), fleet.services.keys().map(ServiceName::as_str));
            let help = match near {
                Some(near) if near != after.as_str() => format!("did you mean {near:?}?"),
                _ => "remove it from after".into(),
            };
            found.push((service.name.clone(), Diagnostic { message, ..at.clone() }.help(help)));
        }
        for (environment, at) in &part.overrides {
            if !fleet.environments.contains_key(environment) {
                let message = format!("no environment {environment} is declared or has a deployment");
                let warning = Diagnostic { message, severity: Severity::Warning, ..at.clone() };
                let near =
                    nearest(environment.as_str(), fleet.environments.keys().map(EnvironmentName::as_str));
                fleet.diagnostics.push(match near {
                    Some(near) => warning.help(format!("did you mean {near:?}?")),
                    None => warning.help("declare it, or remove it here"),
                });
            }
        }
    }
    for (service, diagnostic) in found {
        fleet.diagnostics.push(diagnostic);
        fleet.broken_services.insert(service);
    }
}

fn leads_to(from: &ServiceName, to: &ServiceName, next: impl Fn(&ServiceName) -> Vec<ServiceName>) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
    while let Some(item) = open.pop() {
        if item == *to {
            return true;
        }
        if seen.insert(item.clone()) {
            open.extend(next(&item));
        }
    }
    false
}
