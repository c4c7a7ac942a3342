//! The seeds: small inputs that reach far, and every input that once broke something.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The folder of a target's seeds.
#[must_use]
pub fn folder(target: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).join("fuzz/seeds").join(target)
}

/// A target's seeds, by the names of their files.
///
/// # Errors
/// The folder cannot be read.
pub fn read(target: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut seeds = Vec::new();
    for entry in fs::read_dir(folder(target))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        seeds.push((name, fs::read(&path)?));
    }
    seeds.sort();
    Ok(seeds)
}
