//! A static site on servers: its folder there, and the web server in front of it.

use std::net::SocketAddr;

use super::check::Probe;
use super::model::Deployment;
use super::settings::FolderSettings;
use crate::diagnostic::Diagnostic;
use crate::noun::TargetType;
use crate::yaml::{Node, Reader};

/// Longest path of a folder.
const MAX_DIRECTORY: usize = 512;

/// An absolute path of a server that is a folder of its own.
pub(super) fn directory(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "directory")?;
    let text = text.strip_suffix('/').unwrap_or(text);
    let parts: Vec<&str> = text.split('/').skip(1).collect();
    let legal = text.starts_with('/')
        && text.len() <= MAX_DIRECTORY
        && parts.len() > 1
        && parts.iter().all(|part| !part.is_empty() && *part != "." && *part != "..")
        && !text.chars().any(char::is_control);
    if !legal {
        let help = "write an absolute path with at least two names, such as directory: /srv/www/shop";
        reader.error_help(node.at, format!("{text:?} is no folder for a site"), help);
        return None;
    }
    Some(text.to_owned())
}

/// An address that is not a name: who answers there must not depend on what a name leads to.
pub(super) fn front(reader: &mut Reader<'_>, node: &Node) -> Option<SocketAddr> {
    let text = reader.text(node, "front")?;
    let found = text.parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
    if found.is_none() {
        let help = "write address and port as the server itself sees them, such as front: 127.0.0.1:80";
        reader.error_help(node.at, format!("{text:?} is no address with a port"), help);
    }
    found
}

/// Keys that have no effect, and checks that would have nowhere to connect to.
pub(super) fn findings(deployment: &Deployment, settings: &FolderSettings) -> Vec<Diagnostic> {
    let (id, said) = (&deployment.id, &deployment.settings);
    if id.target != TargetType::StaticFile || said.servers.is_empty() {
        let (why, help) = match id.target {
            TargetType::StaticFile => {
                ("on this machine, where Dhow serves the site", "remove it, or name servers")
            }
            _ => ("on this type", "remove it; it is for the type static_file"),
        };
        let told = settings.site_at.iter().map(|(key, at)| {
            Diagnostic { message: format!("{key} has no effect {why}"), ..at.clone() }.help(help)
        });
        return told.collect();
    }
    let connects = |probe: &Probe| matches!(probe, Probe::Http { .. } | Probe::Tcp { .. });
    if said.front.is_none() && said.checks.iter().any(|check| connects(&check.probe)) {
        let message = format!("the checks of {id} have nowhere to connect to on its servers");
        let help = "say where the web server there answers, such as front: 127.0.0.1:80 in the deployment's dhow.yaml; \
                    or give it checks of its own that connect to nothing. Without checks the files there are compared";
        return vec![Diagnostic::error(deployment.folder.as_str(), message).help(help)];
    }
    Vec::new()
}
