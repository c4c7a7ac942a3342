//! The files of the checkout.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders of the tree that begin with a dot; all others that do are tools' and editors'.
const DOTTED: [&str; 3] = [".cargo", ".ci", ".github"];

/// The root of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask stands in the workspace")
}

/// All files of the tree, without what is built and without links.
pub fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs = vec![root().to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a folder of the tree can be read") {
            let entry = entry.expect("an entry of the tree can be read");
            let kind = entry.file_type().expect("an entry has a type");
            if kind.is_file() {
                files.push(entry.path());
            } else if kind.is_dir() && is_ours(&entry.path()) {
                dirs.push(entry.path());
            }
        }
    }
    files.sort();
    files
}

/// The path as messages show it: from the root of the checkout.
pub fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

fn is_ours(dir: &Path) -> bool {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    // Cargo marks each folder that it builds into, whatever the folder's name.
    let built = name == "target" || dir.join("CACHEDIR.TAG").exists();
    !built && (!name.starts_with('.') || DOTTED.contains(&&*name))
}
