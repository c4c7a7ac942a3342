//! Paths within a fleet: `/` between names, no `.`, no `..`, no slash at either end.

/// Joins a folder and what is relative to it. `None` where the result leaves the fleet or is absolute.
pub(crate) fn resolve(folder: &str, relative: &str) -> Option<String> {
    if relative.starts_with('/') || relative.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The folder of a path; empty at the root.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The last name of a path.
pub(crate) fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

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
    fn a_path_never_leaves_the_fleet() {
        assert_eq!(resolve("a/b", "../../c"), Some("c".into()));
        assert_eq!(resolve("a/b", "../../../c"), None);
        assert_eq!(resolve("a/b", "."), Some("a/b".into()));
        assert_eq!(resolve("a", "/etc/passwd"), None);
    }

    #[test]
    fn below_a_folder_is_not_beside_it() {
        assert_eq!(below("/r/files/a", "/r/files"), Some("a"));
        assert_eq!(below("/r/files", "/r/files"), Some(""));
        assert_eq!(below("/r/filesystem", "/r/files"), None);
    }
}
