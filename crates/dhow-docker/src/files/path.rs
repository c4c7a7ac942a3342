//! Paths within a fleet, and the same below a folder of a place.

pub(crate) use dhow_core::fleet::path::{name, parent, resolve};

/// The path of something in a folder.
pub(crate) fn join(folder: &str, name: &str) -> String {
    match (folder.is_empty(), name.is_empty()) {
        (true, _) => name.to_owned(),
        (_, true) => folder.to_owned(),
        _ => format!("{}/{name}", folder.trim_end_matches('/')),
    }
}

/// The path below a folder; empty for the folder itself; `None` where it lies elsewhere.
pub(crate) fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    if folder.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(folder.trim_end_matches('/'))?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_a_folder_is_not_beside_it() {
        assert_eq!(below("/r/files/a", "/r/files"), Some("a"));
        assert_eq!(below("/r/files", "/r/files"), Some(""));
        assert_eq!(below("/r/filesystem", "/r/files"), None);
    }
}
