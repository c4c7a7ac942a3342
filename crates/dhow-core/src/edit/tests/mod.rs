//! What the module promises, by form; then by chance.

mod finding;
mod limits;
mod random;
mod writing;

use super::*;
use crate::noun::{Digest, ImageReference, Pin};

fn digest() -> Digest {
    Digest::of(b"new")
}

fn pin(text: &str) -> Pin {
    let reference: ImageReference = text.parse().unwrap();
    Pin { repository: reference.repository, tag: reference.tag, digest: digest() }
}

fn find_in(file: &str, text: &str) -> Found {
    find(file, text, &FindRequest::default())
}

fn oob(file: &str, text: &str, path: &str) -> Found {
    find(file, text, &FindRequest { oob: vec![path.to_owned()], ..FindRequest::default() })
}

fn env(text: &str, request: FindRequest) -> Found {
    find("app.env", text, &FindRequest { env_file: true, ..request })
}

/// Sets every site of the text to one version; `NEW` in the result stands for its digest.
fn set_all(text: &str, found: &Found, version: &str) -> String {
    assert_eq!(found.problems, [], "{text}");
    assert!(!found.sites.is_empty(), "nothing found in {text}");
    set(text, &found.sites, &pin(version)).unwrap().replace(&digest().to_string(), "NEW")
}

/// As [`set_all`], for what is found in a plain YAML file.
fn updated(text: &str, version: &str) -> String {
    set_all(text, &find_in("compose.yaml", text), version)
}
