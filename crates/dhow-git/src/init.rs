use std::collections::BTreeMap;
use std::path::Path;

use dhow_core::port::{CommitId, FleetRepoError};
use gix::ObjectId;
use gix::objs::tree::EntryKind;
use gix::refs::transaction::PreviousValue;

use crate::config::{Identity, is_plain_path};
use crate::mirror::{commit_id, init};
use crate::write::new_commit;

/// Creates a bare repository with these files as the first, unsigned commit of its branch `main`. The work blocks.
///
/// A folder that is there and not empty is refused. A crash leaves a repository without a commit at worst.
pub fn init_bare(
    path: &Path,
    files: &BTreeMap<String, Vec<u8>>,
    author: &Identity,
) -> Result<CommitId, FleetRepoError> {
    let failed = |why: &dyn std::fmt::Display| {
        FleetRepoError::Refused(format!("a repository cannot be created at {}: {why}", path.display()))
    };
    author.check()?;
    if let Some(bad) = files.keys().find(|path| !is_plain_path(path)) {
        return Err(failed(&format!("{bad:?} is no path inside a repository")));
    }
    if std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(failed(&"the folder is not empty"));
    }
    std::fs::create_dir_all(path).map_err(|e| failed(&e))?;
    let repo = init(path).map_err(|e| failed(&e))?.to_thread_local();
    let mut editor = repo.edit_tree(ObjectId::empty_tree(repo.object_hash())).map_err(|e| failed(&e))?;
    for (path, bytes) in files {
        let blob = repo.write_blob(bytes).map_err(|e| failed(&e))?;
        editor.upsert(path.as_str(), EntryKind::Blob, blob).map_err(|e| failed(&e))?;
    }
    let tree = editor.write().map_err(|e| failed(&e))?.detach();
    let commit = new_commit(author, tree, Vec::new(), "The fleet begins")?;
    let id = repo.write_object(&commit).map_err(|e| failed(&e))?.detach();
    repo.reference("refs/heads/main", id, PreviousValue::MustNotExist, "dhow").map_err(|e| failed(&e))?;
    commit_id(id)
}
