use std::collections::BTreeSet;

use dhow_core::diagnostic::Diagnostic;
use dhow_core::port::{RenderInput, Rendered, TargetError};

use super::body::Body;
use super::notes;
use crate::files::content::{contents, fleet_files};
use crate::files::walk::Walk;
use crate::files::which::stack_files;
use crate::stored::value;

/// What the deployment is to run. Reads the fleet only: what Docker makes of its files is asked at the place.
pub(super) fn render(input: &RenderInput) -> Result<Rendered, TargetError> {
    let deployment = &input.deployment;
    let files = stack_files(deployment);
    if files.is_empty() {
        let told = Diagnostic::error(deployment.folder.clone(), "there is no stack file in this folder")
            .help("add a NAME-stack.yaml, or name the files in its dhow.yaml: `files: [site.yaml]`");
        return Err(TargetError::Failed(told.to_string()));
    }
    let found = Walk::all(input.tree.as_ref(), &deployment.folder, &files)?;
    let content = contents(input.tree.as_ref(), &deployment.folder, &found.mounted)?;
    let fleet_files = fleet_files(&content);
    let reads: BTreeSet<String> = found.inputs.keys().chain(&fleet_files).cloned().collect();
    let settings = &deployment.settings;
    let mut notes = notes::all(&files, &found.inputs, &found.mounted, &content);
    if input.deployment.settings.route.is_some() {
        notes.push(
            "no proxy is told of a stack's `route`: its host, service and port are used by checks; publish a port for \
             visitors, or put the stack's own proxy before it"
                .to_owned(),
        );
    }
    let body = Body {
        stack: deployment.project(),
        folder: deployment.folder.clone(),
        route: settings.route.clone(),
        stack_files: files,
        inputs: found.inputs,
        content,
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
