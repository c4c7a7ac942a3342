//! What a release consists of, and how it wants to be served.

use std::collections::BTreeMap;

use dhow_core::noun::Digest;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The version of the manifest's own form. A reader refuses a higher one.
pub const SCHEMA: u32 = 1;

/// One file of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its length in bytes.
    pub size: u64,
    /// The digest of its content.
    pub sha256: Digest,
}

/// The list of a release's files. It lies beside the files, where no request reaches it; the web server
/// opens nothing that it does not name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this form: [`SCHEMA`].
    pub schema: u32,
    /// The files by path. Paths are relative, clean, and use `/`.
    pub files: BTreeMap<String, FileEntry>,
    /// How the release wants to be served.
    #[serde(default)]
    pub options: ServeOptions,
}

/// How a release wants to be served. The default suits a plain site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeOptions {
    /// The page that answers a path that does not exist, with status 404. Without it, `404.html` where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_found: Option<String>,
    /// The page that answers paths of a single-page application, with status 200: for requests that accept
    /// HTML and whose last segment has no dot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// The `Cache-Control` headers.
    #[serde(default)]
    pub cache: CachePolicy,
}

/// The values of `Cache-Control`, by kind of file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CachePolicy {
    /// For HTML pages.
    pub html: String,
    /// For files whose name holds a hash of their content, such as `app.3f2a9c1b.js`.
    pub hashed: String,
    /// For everything else.
    pub other: String,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            html: "no-cache".into(),
            hashed: "public, max-age=31536000, immutable".into(),
            other: "max-age=0, must-revalidate".into(),
        }
    }
}

/// Options that do not fit the files, or that no header can hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidOptions {
    /// A page that the release does not have.
    #[error("`{option}` names {path:?}, and the release has no such file; add the file or change the option")]
    MissingPage {
        /// Which option: `not_found` or `fallback`.
        option: &'static str,
        /// The page it names.
        path: String,
    },
    /// A value that no header can hold.
    #[error(
        "`cache.{option}` is {value:?}, which no HTTP header can hold; use visible ASCII characters only"
    )]
    Header {
        /// Which option: `html`, `hashed` or `other`.
        option: &'static str,
        /// Its value.
        value: String,
    },
}

/// How one list of files differs from another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Files that only the new one has.
    pub added: Vec<String>,
    /// Files with other content.
    pub changed: Vec<String>,
    /// Files that only the old one has.
    pub removed: Vec<String>,
}

impl Manifest {
    /// A manifest of these files. Refuses options that name pages which are not among them.
    pub fn new(files: BTreeMap<String, FileEntry>, options: ServeOptions) -> Result<Self, InvalidOptions> {
        let manifest = Self { schema: SCHEMA, files, options };
        manifest.check_options()?;
        Ok(manifest)
    }

    fn check_options(&self) -> Result<(), InvalidOptions> {
        let pages = [("not_found", &self.options.not_found), ("fallback", &self.options.fallback)];
        for (option, page) in pages {
            if let Some(path) = page.as_ref().filter(|path| !self.files.contains_key(*path)) {
                return Err(InvalidOptions::MissingPage { option, path: path.clone() });
            }
        }
        let cache = &self.options.cache;
        for (option, value) in [("html", &cache.html), ("hashed", &cache.hashed), ("other", &cache.other)] {
            if !value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
                return Err(InvalidOptions::Header { option, value: value.clone() });
            }
        }
        Ok(())
    }

    /// The bytes of all files together.
    pub fn total_bytes(&self) -> u64 {
        self.files.values().map(|file| file.size).sum()
    }

    /// One digest for the paths and contents of all files, whatever archive they came in. Options do not count.
    pub fn content_digest(&self) -> Digest {
        let mut lines = String::new();
        for (path, file) in &self.files {
            // No path holds a line break, so two lists never give the same text.
            lines.push_str(&format!("{} {} {path}\n", file.sha256, file.size));
        }
        Digest::of(lines.as_bytes())
    }

    /// What turns `old` into this release; without an `old` one, all files are added.
    pub fn changes_from(&self, old: Option<&Manifest>) -> Changes {
        let mut changes = Changes::default();
        for (path, file) in &self.files {
            match old.and_then(|old| old.files.get(path)) {
                None => changes.added.push(path.clone()),
                Some(before) if before.sha256 != file.sha256 => changes.changed.push(path.clone()),
                Some(_) => {}
            }
        }
        if let Some(old) = old {
            changes.removed = old.files.keys().filter(|p| !self.files.contains_key(*p)).cloned().collect();
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(files: &[(&str, &str)]) -> Manifest {
        let files = files.iter().map(|(path, text)| {
            let entry = FileEntry { size: text.len() as u64, sha256: Digest::of(text.as_bytes()) };
            ((*path).to_owned(), entry)
        });
        Manifest::new(files.collect(), ServeOptions::default()).unwrap()
    }

    #[test]
    fn changes_name_added_changed_and_removed_files() {
        let old = manifest(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let new = manifest(&[("b", "2"), ("c", "1"), ("d", "1")]);
        let changes = new.changes_from(Some(&old));
        assert_eq!(changes.added, ["d"]);
        assert_eq!(changes.changed, ["b"]);
        assert_eq!(changes.removed, ["a"]);
    }

    #[test]
    fn an_option_that_names_a_missing_page_is_refused() {
        let options = ServeOptions { fallback: Some("app.html".into()), ..ServeOptions::default() };
        let error = Manifest::new(BTreeMap::new(), options).unwrap_err().to_string();
        assert!(error.contains("`fallback` names \"app.html\""), "{error}");
    }

    #[test]
    fn a_cache_header_with_a_line_break_is_refused() {
        let cache = CachePolicy { html: "a\r\nSet-Cookie: x".into(), ..CachePolicy::default() };
        let options = ServeOptions { cache, ..ServeOptions::default() };
        assert!(Manifest::new(BTreeMap::new(), options).is_err());
    }

    #[test]
    fn a_manifest_survives_its_json() {
        let old = manifest(&[("a/b.html", "1")]);
        let json = serde_json::to_string(&old).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), old);
    }
}
