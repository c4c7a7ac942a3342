//! New commits: the parent's tree with some files changed, everything else as it was.

use std::collections::BTreeMap;
use std::ffi::OsString;

use dhow_core::port::{CommitDraft, CommitId, FileChange, FleetRepoError};
use gix::objs::Commit;
use gix::objs::tree::EntryKind;
use gix::{ObjectId, Repository};

use crate::config::{Identity, is_plain_path};
use crate::mirror::{commit_id, damaged, object_id};

/// How commits are written.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub(crate) author: Identity,
    pub(crate) folder: String,
    /// Variables for the program that signs.
    pub(crate) environment: Vec<(OsString, OsString)>,
}

impl Writer {
    /// Writes a commit's objects. The parent's other files keep their bytes and modes.
    pub(crate) fn write(&self, repo: &Repository, draft: &CommitDraft) -> Result<CommitId, FleetRepoError> {
        let parent = object_id(&draft.parent)?;
        let tree = repo
            .find_commit(parent)
            .and_then(|commit| commit.tree_id())
            .map_err(|e| damaged(format!("commit {parent}"), e))?;
        let tree = self.edited(repo, tree.detach(), &draft.changes)?;
        self.commit(repo, tree, vec![parent], &draft.message)
    }

    /// Writes a commit of a tree, signed where git is configured to sign.
    pub(crate) fn commit(
        &self,
        repo: &Repository,
        tree: ObjectId,
        parents: Vec<ObjectId>,
        message: &str,
    ) -> Result<CommitId, FleetRepoError> {
        let mut commit = new_commit(&self.author, tree, parents, message)?;
        let unsigned = |e: gix::Error| {
            FleetRepoError::Refused(format!(
                "the commit cannot be signed, though git is configured to sign (commit.gpgSign): {e:#}; check \
                 user.signingKey and gpg.format, and that the key needs no passphrase"
            ))
        };
        if let Some(mut options) = repo.commit_signing_options_if_enabled().map_err(unsigned)? {
            options.environment.extend(self.environment.iter().cloned());
            commit = commit.sign(options).map_err(unsigned)?;
        }
        commit_id(repo.write_object(&commit).map_err(|e| damaged("writing a commit", e))?)
    }

    fn edited(
        &self,
        repo: &Repository,
        tree: ObjectId,
        changes: &[FileChange],
    ) -> Result<ObjectId, FleetRepoError> {
        let root = repo.find_tree(tree).map_err(|e| damaged(format!("folder {tree}"), e))?;
        let mut editor = repo.edit_tree(tree).map_err(|e| damaged(format!("folder {tree}"), e))?;
        for (path, content) in self.by_path(changes)? {
            let place = place_of(&root, &path)?;
            let failed = |e: gix::Error| damaged(format!("writing {path}"), e);
            match (content, place) {
                (None, None) => {}
                (None, Some(_)) => {
                    editor.remove_leaf(path.as_str()).map_err(failed)?;
                }
                (Some(content), kind) => {
                    let blob = repo.write_blob(content).map_err(failed)?;
                    editor.upsert(path.as_str(), kind.unwrap_or(EntryKind::Blob), blob).map_err(failed)?;
                }
            }
        }
        Ok(editor.write().map_err(|e| damaged("writing a folder", e))?.detach())
    }

    /// The changes by path from the branch's root, the last of each path.
    fn by_path<'a>(
        &self,
        changes: &'a [FileChange],
    ) -> Result<BTreeMap<String, Option<&'a [u8]>>, FleetRepoError> {
        let mut by_path = BTreeMap::new();
        for change in changes {
            if !is_plain_path(&change.path) {
                let what = format!("{:?} is no path inside the fleet; nothing was written", change.path);
                return Err(FleetRepoError::Refused(what));
            }
            let path = match self.folder.as_str() {
                "" => change.path.clone(),
                folder => format!("{folder}/{}", change.path),
            };
            by_path.insert(path, change.content.as_deref());
        }
        for path in by_path.keys().filter(|path| by_path[*path].is_some()) {
            if let Some(above) =
                folders_above(path).find(|above| by_path.get(*above).is_some_and(Option::is_some))
            {
                let what =
                    format!("{above} cannot be both a file and the folder of {path}; nothing was written");
                return Err(FleetRepoError::Refused(what));
            }
        }
        Ok(by_path)
    }
}

/// A commit of now, not yet written.
pub(crate) fn new_commit(
    author: &Identity,
    tree: ObjectId,
    parents: Vec<ObjectId>,
    message: &str,
) -> Result<Commit, FleetRepoError> {
    if message.contains('\0') {
        return Err(FleetRepoError::Refused("a commit's message must not contain a zero byte".into()));
    }
    let signature = gix::actor::Signature {
        name: author.name.as_str().into(),
        email: author.email.as_str().into(),
        time: gix::date::Time::now_utc(),
    };
    Ok(Commit {
        tree,
        parents: parents.into(),
        author: signature.clone(),
        committer: signature,
        encoding: None,
        message: format!("{}\n", message.trim_end()).into(),
        extra_headers: Vec::new(),
    })
}

/// What is at a path: a file's kind, or nothing. Links, folders and other repositories are not written over.
fn place_of(root: &gix::Tree<'_>, path: &str) -> Result<Option<EntryKind>, FleetRepoError> {
    for above in folders_above(path) {
        match kind_at(root, above)? {
            None => return Ok(None),
            Some(EntryKind::Tree) => {}
            Some(_) => return refuse(path, &format!("{above} is no folder")),
        }
    }
    match kind_at(root, path)? {
        Some(EntryKind::Tree) => refuse(path, "it is a folder"),
        Some(EntryKind::Link) => refuse(path, "it is a symbolic link, and those are not followed"),
        Some(EntryKind::Commit) => refuse(path, "it is another repository"),
        kind => Ok(kind),
    }
}

fn kind_at(root: &gix::Tree<'_>, path: &str) -> Result<Option<EntryKind>, FleetRepoError> {
    let entry = root.lookup_entry(path.split('/').map(str::as_bytes)).map_err(|e| damaged(path, e))?;
    Ok(entry.map(|e| e.mode().kind()))
}

fn folders_above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

fn refuse<T>(path: &str, why: &str) -> Result<T, FleetRepoError> {
    Err(FleetRepoError::Refused(format!("{path} cannot be written: {why}; nothing was written")))
}
