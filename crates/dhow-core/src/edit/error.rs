use thiserror::Error;

use crate::noun::Repository;

/// Why a version could not be written. The text is untouched then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EditError {
    /// The text is not the one in which the site was found.
    #[error("{file}:{line}: the file changed since it was read; read it again and repeat the update")]
    Stale {
        /// The file.
        file: String,
        /// The line where the site stood.
        line: usize,
    },
    /// The site was found by its repository, and the version is of another one.
    #[error(
        "{file}:{line}: holds {found}, so a version of {wanted} cannot be written there; change the file by hand"
    )]
    OtherRepository {
        /// The file.
        file: String,
        /// The site's line.
        line: usize,
        /// What stands there.
        found: Box<Repository>,
        /// What was to be written.
        wanted: Box<Repository>,
    },
    /// Only a tag can stand there, and the version has none.
    #[error("{file}:{line}: only a tag can stand there, and the version has none; name one as REPO:TAG")]
    NeedsTag {
        /// The file.
        file: String,
        /// The scalar's line.
        line: usize,
    },
    /// A digest stands there, and the version has none: it would go on naming the old build.
    #[error("{file}:{line}: a digest stands there, and the new version has none; give it as REPO:TAG@DIGEST")]
    NeedsDigest {
        /// The file.
        file: String,
        /// The scalar's line.
        line: usize,
    },
    /// Two edits want one scalar to be two things.
    #[error(
        "{file}:{line}: one value is to become {first:?} and {second:?} at once; give each its own value in the file"
    )]
    Conflict {
        /// The file.
        file: String,
        /// The scalar's line.
        line: usize,
        /// What one edit writes.
        first: String,
        /// What the other writes.
        second: String,
    },
    /// The new text, parsed again, differs in more than was wanted.
    #[error(
        "{file}: writing the version would change more than its own value ({problem}); nothing was written, change the file by hand"
    )]
    Unproved {
        /// The file.
        file: String,
        /// The first difference.
        problem: String,
    },
}
