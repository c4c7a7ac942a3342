//! The files in which two trees differ. Folders that are equal are not entered.

use std::collections::BTreeMap;

use dhow_core::port::FleetRepoError;
use gix::bstr::ByteSlice;
use gix::objs::tree::EntryMode;
use gix::{ObjectId, Repository};

use crate::mirror::damaged;

type Entries = BTreeMap<Vec<u8>, (EntryMode, ObjectId)>;

/// Paths that differ between two trees, sorted. A tree that is not there counts as empty.
pub(crate) fn changed(
    repo: &Repository,
    old: Option<ObjectId>,
    new: Option<ObjectId>,
) -> Result<Vec<String>, FleetRepoError> {
    let mut paths = Vec::new();
    let mut open = vec![(String::new(), old, new)];
    while let Some((folder, old, new)) = open.pop() {
        if old == new {
            continue;
        }
        let (old, new) = (entries(repo, old)?, entries(repo, new)?);
        let mut names: Vec<&Vec<u8>> =
            old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))).collect();
        names.sort_unstable();
        for name in names {
            let (before, after) = (old.get(name), new.get(name));
            if before == after {
                continue;
            }
            let path = format!("{folder}{}", name.to_str_lossy());
            let (folder_before, folder_after) = (folder_in(before), folder_in(after));
            if folder_before.is_some() || folder_after.is_some() {
                open.push((format!("{path}/"), folder_before, folder_after));
            }
            if file_in(before) != file_in(after) {
                paths.push(path);
            }
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn entries(repo: &Repository, tree: Option<ObjectId>) -> Result<Entries, FleetRepoError> {
    let Some(id) = tree else { return Ok(Entries::new()) };
    let tree = repo.find_tree(id).map_err(|e| damaged(format!("folder {id}"), e))?;
    let decoded = tree.decode().map_err(|e| damaged(format!("folder {id}"), e))?;
    Ok(decoded.entries.iter().map(|e| (e.filename.to_vec(), (e.mode, e.oid.to_owned()))).collect())
}

fn folder_in(entry: Option<&(EntryMode, ObjectId)>) -> Option<ObjectId> {
    entry.filter(|(mode, _)| mode.is_tree()).map(|(_, id)| *id)
}

fn file_in(entry: Option<&(EntryMode, ObjectId)>) -> Option<&(EntryMode, ObjectId)> {
    entry.filter(|(mode, _)| !mode.is_tree())
}
