//! A fleet: whatever is in it, it is read, and what is read step by step is what is read at once.

use dhow_core::fleet::{self, Fleet, MemoryTree};

use crate::text;

/// Each part is a file, its path on the first line. The last one comes in the next commit.
pub(super) fn body(data: &[u8]) {
    let mut files = Vec::new();
    for part in text::parts(data).into_iter().take(50) {
        let end = part.iter().position(|b| *b == b'\n').unwrap_or(part.len());
        let Ok(path) = std::str::from_utf8(&part[..end]) else { continue };
        if path.is_empty() || path.split('/').any(|name| matches!(name, "" | "." | "..")) {
            continue;
        }
        files.push((path.to_owned(), part.get(end + 1..).unwrap_or_default().to_vec()));
    }
    let whole = MemoryTree::new(files.clone());
    let Some((last, _)) = files.pop() else { return };
    let before = fleet::load(&MemoryTree::new(files));
    let after = fleet::reload(&before, &whole, std::slice::from_ref(&last));
    let fresh = fleet::load(&whole);
    assert_eq!(shown(&after), shown(&fresh), "reading {last:?} again gave another fleet");
    for deployment in fresh.deployments.values() {
        let reads: Vec<String> = deployment.files.iter().chain(&deployment.dependencies).cloned().collect();
        let hash = || fleet::desired_hash(&whole, deployment, &reads, &Default::default()).ok();
        assert_eq!(hash(), hash());
    }
}

fn shown(fleet: &Fleet) -> String {
    let faults = (fleet.broken_root, &fleet.broken, &fleet.broken_services, &fleet.diagnostics);
    let rest = (&fleet.people, &fleet.servers, &fleet.registries);
    format!(
        "{:#?}",
        (&fleet.environments, &fleet.services, &fleet.deployments, &fleet.templates, faults, rest)
    )
}
