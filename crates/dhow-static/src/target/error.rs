//! One place where failures become the three kinds that the engine acts on.

use std::io;
use std::path::Path;

use dhow_core::port::{SourceError, TargetError};

use crate::releases::ReleaseError;
use crate::unpack::UnpackError;

/// What a release's failure means. `root` is where the releases lie: its disk is named when it is full.
pub(super) fn release_error(error: ReleaseError, root: &Path) -> TargetError {
    match error {
        ReleaseError::Unpack(error) => unpack_error(error, root),
        ReleaseError::Options(error) => TargetError::Failed(error.to_string()),
        ReleaseError::Disk { action, path, source } => blocked_by_disk(action, &path, &source, root),
        ReleaseError::Worker(_) => TargetError::Passing(error.to_string()),
        ReleaseError::NotPrepared { .. }
        | ReleaseError::Manifest { .. }
        | ReleaseError::ForeignCurrent { .. } => TargetError::Blocked(error.to_string()),
    }
}

fn unpack_error(error: UnpackError, root: &Path) -> TargetError {
    match error {
        UnpackError::Disk { path, source } => blocked_by_disk("write", &path, &source, root),
        UnpackError::Source(error) => match error.downcast::<SourceError>() {
            Ok(error) => source_error(error),
            Err(error) => TargetError::Passing(UnpackError::Source(error).to_string()),
        },
        UnpackError::Cancelled | UnpackError::Worker(_) => TargetError::Passing(error.to_string()),
        UnpackError::Entry { .. }
        | UnpackError::TooManyFiles { .. }
        | UnpackError::TooBig { .. }
        | UnpackError::Bomb { .. }
        | UnpackError::Empty
        | UnpackError::Damaged(_) => TargetError::Failed(error.to_string()),
    }
}

fn source_error(error: SourceError) -> TargetError {
    let message = format!("the bundle could not be read: {error}");
    match error {
        SourceError::Unavailable { .. } => TargetError::Passing(message),
        SourceError::NotFound(_) | SourceError::Invalid(_) => TargetError::Failed(message),
        SourceError::Denied(_) => TargetError::Blocked(message),
    }
}

/// A disk that fails is never the version's fault.
pub(super) fn blocked_by_disk(action: &str, path: &Path, error: &io::Error, root: &Path) -> TargetError {
    let failed = format!("could not {action} {}: {error}", path.display());
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    TargetError::Blocked(match full {
        true => format!(
            "{failed}; the disk of {} has {} left: make room there, and it goes on by itself within a minute",
            root.display(),
            free(root)
        ),
        false => format!(
            "{failed}; see that the folder {} belongs to the user that dhow runs as, and that the disk is sound",
            root.display()
        ),
    })
}

fn free(folder: &Path) -> String {
    match rustix::fs::statvfs(folder) {
        Ok(disk) => format!("{} MiB", disk.f_bavail.saturating_mul(disk.f_frsize) >> 20),
        Err(error) => format!("an unknown amount ({error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_blocks_and_says_where_and_how_much_is_free() {
        let full = UnpackError::Disk { path: "/tmp/a".into(), source: io::ErrorKind::StorageFull.into() };
        let error = release_error(full.into(), Path::new("/tmp"));
        let TargetError::Blocked(message) = error else { panic!("{error:?}") };
        assert!(message.contains("the disk of /tmp has") && message.contains("MiB left"), "{message}");
    }

    #[test]
    fn what_a_registry_says_decides_who_must_act() {
        let of = |error: SourceError| {
            release_error(UnpackError::Source(io::Error::other(error)).into(), Path::new("/"))
        };
        let down = SourceError::Unavailable { message: "down".into(), retry_after: None };
        assert!(matches!(of(down), TargetError::Passing(_)));
        assert!(matches!(of(SourceError::NotFound("x".into())), TargetError::Failed(_)));
        assert!(matches!(of(SourceError::Invalid("x".into())), TargetError::Failed(_)));
        assert!(matches!(of(SourceError::Denied("x".into())), TargetError::Blocked(_)));
        let reset = UnpackError::Source(io::ErrorKind::ConnectionReset.into());
        assert!(matches!(release_error(reset.into(), Path::new("/")), TargetError::Passing(_)));
    }

    #[test]
    fn a_refused_archive_is_the_versions_fault() {
        assert!(matches!(release_error(UnpackError::Empty.into(), Path::new("/")), TargetError::Failed(_)));
    }
}
