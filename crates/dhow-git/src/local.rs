//! A remote on this machine, read in process: quicker than starting git.

use std::path::Path;

use dhow_core::port::{BranchName, CommitId};
use gix::bstr::ByteSlice;
use gix::sec::Trust;

use crate::network::Found;

/// The branch's head in a bare repository of this machine. `None` when it cannot be read this way and git has to be
/// asked, which then also finds the words for what is wrong.
pub(crate) fn find(path: &Path, branch: Option<&BranchName>) -> Option<Found> {
    let options = gix::open::Options::isolated().with(Trust::Full).open_path_as_is(true);
    let repo = options.open(path).ok()?.to_thread_local();
    let branch = match branch {
        Some(branch) => branch.clone(),
        None => {
            let head = repo.head_name().ok()??;
            let name = head.as_bstr().to_str().ok()?.strip_prefix("refs/heads/")?;
            BranchName::new(name).ok()?
        }
    };
    let name = format!("refs/heads/{branch}");
    let reference = match repo.try_find_reference(name.as_str()).ok()? {
        Some(reference) if reference.name().as_bstr() == name.as_str() => reference,
        Some(_) => return None,
        None => return Some(Found::Nothing),
    };
    let commit = CommitId::new(reference.try_id()?.to_string()).ok()?;
    Some(Found::Head { branch, commit })
}
