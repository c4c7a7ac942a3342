use std::collections::BTreeSet;

use dhow_core::diagnostic::Diagnostic;
use dhow_core::port::{RenderInput, Rendered, TargetError};

use super::body::{Body, value};
use super::content::{contents, fleet_files};
use super::walk::Walk;
use super::which::compose_files;

/// What the deployment is to run. Reads the fleet only: what Compose makes of its files is asked at the place.
pub(super) fn render(input: &RenderInput) -> Result<Rendered, TargetError> {
    let deployment = &input.deployment;
    let files = compose_files(deployment);
    if files.is_empty() {
        let told = Diagnostic::error(deployment.folder.clone(), "there is no Compose file in this folder")
            .help("add a compose.yaml, or name the files in its dhow.yaml: `files: [site.yaml]`");
        return Err(TargetError::Failed(told.to_string()));
    }
    let found = Walk::all(input.tree.as_ref(), &deployment.folder, &files)?;
    let content = contents(input.tree.as_ref(), &deployment.folder, &found.mounted)?;
    let fleet_files = fleet_files(&content);
    let reads: BTreeSet<String> = found.inputs.keys().chain(&fleet_files).cloned().collect();
    let settings = &deployment.settings;
    let data = found.mounted.iter().filter(|path| !content.contains_key(*path));
    let notes = data.map(|path| {
        format!(
            "{path} is not in the fleet: it is a folder of data that every release shares and nothing removes"
        )
    });
    let notes = notes.collect();
    let body = Body {
        project: deployment.project(),
        folder: deployment.folder.clone(),
        route: settings.route.clone(),
        compose_files: files,
        inputs: found.inputs,
        content,
        strategy: settings.strategy,
        isolation: settings.isolation,
        moved_from: settings.moved_from.clone(),
    };
    Ok(Rendered {
        deployment: deployment.id.clone(),
        places: deployment.places(),
        pins: input.pins.clone(),
        reads: reads.into_iter().collect(),
        fleet_files: fleet_files.into_iter().collect(),
        body: value(&body),
        notes,
    })
}
