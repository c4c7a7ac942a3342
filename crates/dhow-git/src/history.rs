//! How commits stand to each other, and what they say.

use dhow_core::port::{CommitInfo, FleetRepoError, Relation};
use gix::bstr::ByteSlice;
use gix::revision::walk::Sorting;
use gix::traverse::commit::simple::CommitTimeOrder;
use gix::{ObjectId, Repository};

use crate::diff;
use crate::mirror::{commit_id, damaged, folder_of};

/// Memory for commits that are met more than once.
const CACHE: usize = 4 * 1024 * 1024;

/// How `older` stands to `newer`.
pub(crate) fn relation(
    repo: &mut Repository,
    older: ObjectId,
    newer: ObjectId,
) -> Result<Relation, FleetRepoError> {
    repo.find_commit(newer).map_err(|e| damaged(format!("commit {newer}"), e))?;
    if older == newer {
        return Ok(Relation::Same);
    }
    if !repo.has_object(older) || repo.find_commit(older).is_err() {
        return Ok(Relation::Diverged);
    }
    repo.object_cache_size_if_unset(CACHE);
    let base = repo.merge_base(older, newer).map_err(|e| damaged("history", e))?;
    Ok(if base.is_some_and(|base| base == older) { Relation::Ahead } else { Relation::Diverged })
}

/// The newest commits of `to` that `from` has not.
pub(crate) fn log(
    repo: &mut Repository,
    from: Option<ObjectId>,
    to: ObjectId,
    limit: usize,
    folder: &str,
) -> Result<Vec<CommitInfo>, FleetRepoError> {
    repo.object_cache_size_if_unset(CACHE);
    let mut walk = repo.rev_walk([to]).sorting(Sorting::ByCommitTime(CommitTimeOrder::NewestFirst));
    if let Some(from) = from.filter(|id| repo.has_object(*id)) {
        walk = walk.with_hidden([from]);
    }
    let commits = walk.all().map_err(|e| damaged(format!("history of {to}"), e))?;
    let mut infos = Vec::new();
    for commit in commits.take(limit) {
        let id = commit.map_err(|e| damaged(format!("history of {to}"), e))?.id;
        infos.push(info(repo, id, folder)?);
    }
    Ok(infos)
}

fn info(repo: &Repository, id: ObjectId, folder: &str) -> Result<CommitInfo, FleetRepoError> {
    let broken = |e: gix::Error| damaged(format!("commit {id}"), e);
    let commit = repo.find_commit(id).map_err(broken)?;
    let author = commit.author().map_err(broken)?;
    let parents: Vec<ObjectId> = commit.parent_ids().map(gix::Id::detach).collect();
    let before = parents.first().copied();
    let before = before.map(|parent| folder_of(repo, parent, folder)).transpose()?.flatten();
    let after = folder_of(repo, id, folder)?;
    Ok(CommitInfo {
        id: commit_id(id)?,
        author_name: author.name.to_str_lossy().into_owned(),
        author_email: author.email.to_str_lossy().into_owned(),
        message: commit.message_raw().map_err(broken)?.to_str_lossy().into_owned(),
        parents: parents.into_iter().map(commit_id).collect::<Result<_, _>>()?,
        paths: diff::changed(repo, before, after)?,
    })
}
