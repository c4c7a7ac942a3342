//! Files elsewhere in the fleet that a deployment depends on, as far as its own files name them.

mod compose;
mod kustomize;

use std::collections::BTreeSet;

use super::path;
use super::root::read_optional;
use super::tree::{EntryKind, Tree};
use crate::diagnostic::Diagnostic;
use crate::noun::TargetType;
use crate::yaml::{self, Node, Parsed, Position};
use compose::compose;
use kustomize::kustomization;

/// How far files that name other files are followed.
const MAX_STEPS: usize = 16;

/// How many files of one shared folder are recorded.
const MAX_FILES: usize = 10_000;

/// What a deployment depends on outside of its folder.
#[derive(Debug, Default)]
pub(crate) struct Dependencies {
    /// Files, whether they exist or not.
    pub(crate) files: BTreeSet<String>,
    /// Folders: whatever changes in them may change the deployment.
    pub(crate) folders: BTreeSet<String>,
    /// What is wrong in the files that were followed.
    pub(crate) problems: Vec<Diagnostic>,
}

/// Follows what the files of a deployment name. `files` are those of its own folder.
pub(crate) fn follow(tree: &dyn Tree, folder: &str, target: TargetType, files: &[String]) -> Dependencies {
    use super::kind::{FileKind, file_kind};
    let mut walk = Walk { tree, folder, seen: BTreeSet::new(), found: Dependencies::default() };
    let top = files.iter().filter(|file| path::parent(file) == folder);
    match target {
        TargetType::Compose | TargetType::Swarm => {
            for file in
                top.filter(|f| matches!(file_kind(path::name(f)), FileKind::Compose | FileKind::Stack))
            {
                compose(&mut walk, file, 0);
            }
        }
        TargetType::K8s => {
            let top: Vec<&String> = top.collect();
            match top.iter().find(|f| file_kind(path::name(f)) == FileKind::Kustomization) {
                Some(_) => kustomization(&mut walk, folder, 0),
                None => {
                    for file in top.iter().filter(|f| file_kind(path::name(f)) != FileKind::Other) {
                        walk.check(file);
                    }
                }
            }
        }
        TargetType::StaticFile | TargetType::Cron => {}
    }
    walk.found
}

/// What one deployment's files were followed to.
struct Walk<'a> {
    tree: &'a dyn Tree,
    folder: &'a str,
    seen: BTreeSet<String>,
    found: Dependencies,
}

impl Walk<'_> {
    /// Reads a YAML file once and hands it to `with`. A file that is not there is recorded all the same, if it lies
    /// outside of the folder.
    fn read(&mut self, file: &str, with: impl FnOnce(&mut Self, &Parsed<'_>)) -> bool {
        if !self.seen.insert(file.to_owned()) {
            return true;
        }
        self.record(file);
        match read_optional(self.tree, file) {
            Ok(Some(bytes)) => {
                let mut parsed = yaml::parse(file, &bytes);
                self.found.problems.append(&mut parsed.problems);
                with(self, &parsed);
                true
            }
            Ok(None) => false,
            Err(problem) => {
                self.found.problems.push(problem);
                true
            }
        }
    }

    /// Checks that a file is YAML.
    fn check(&mut self, file: &str) {
        self.read(file, |_, _| ());
    }

    fn record(&mut self, file: &str) {
        if !path::is_within(file, self.folder) {
            self.found.files.insert(file.to_owned());
        }
    }

    /// The path that a file names, relative to its folder. Out of the fleet is an error.
    fn named(&mut self, file: &str, parsed: &Parsed<'_>, node: &Node) -> Option<String> {
        let text = node.as_str()?;
        if text.contains('$') || text.starts_with('~') {
            return None;
        }
        let found = path::resolve(path::parent(file), text);
        if found.is_none() {
            self.error(file, parsed, node.at, format!("{text:?} leads out of the fleet"));
        }
        found
    }

    fn error(&mut self, file: &str, parsed: &Parsed<'_>, at: Position, message: String) {
        let problem = Diagnostic::error(file, message).at(&parsed.text, at.line, at.column);
        self.found.problems.push(problem.help("a deployment may only use files of its fleet"));
    }

    /// Records a file, or a folder with all its files.
    fn whole(&mut self, path: &str) {
        if path::is_within(path, self.folder) || path == self.folder {
            return;
        }
        let mut folders = vec![path.to_owned()];
        let before = self.found.files.len();
        let mut any = false;
        while let Some(folder) = folders.pop() {
            for entry in self.tree.list(&folder).unwrap_or_default() {
                any = true;
                let below = path::join(&folder, &entry.name);
                match entry.kind {
                    EntryKind::Folder => folders.push(below),
                    EntryKind::File | EntryKind::Executable => self.record(&below),
                    EntryKind::Symlink | EntryKind::Submodule => {}
                }
            }
            if self.found.files.len() - before > MAX_FILES {
                let message = format!("{} has more than {MAX_FILES} files; it cannot be a dependency", path);
                self.found.problems.push(Diagnostic::error(self.folder, message));
                return;
            }
        }
        match any {
            true => {
                self.found.folders.insert(path.to_owned());
            }
            false => self.record(path),
        }
    }
}
