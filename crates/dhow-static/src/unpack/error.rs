use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why one entry of an archive is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It starts with `/`.
    #[error("its path is absolute; pack paths relative to the site's folder")]
    AbsolutePath,
    /// It has a `..` in it.
    #[error("its path leads out of the site's folder by `..`")]
    ParentFolder,
    /// No path is left after `.` and `/` were taken away, and it is no folder.
    #[error("it has no name")]
    NoName,
    /// Not UTF-8.
    #[error("its name is not UTF-8")]
    NotUtf8,
    /// A control character or a backslash.
    #[error("its name has {0:?} in it, which no address can ask for")]
    Character(char),
    /// Longer than the limit.
    #[error("its path is longer than {limit} bytes")]
    PathTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// One part longer than 255 bytes, which no file system stores.
    #[error("one part of its path is longer than 255 bytes")]
    NameTooLong,
    /// A symbolic link.
    #[error("it is a symbolic link; pack the file that it points to")]
    Symlink,
    /// A hard link.
    #[error("it is a hard link; pack the file itself (GNU tar: --hard-dereference)")]
    HardLink,
    /// A device, a pipe or a socket.
    #[error("it is a device or a pipe; only files and folders can be served")]
    Device,
    /// Something else.
    #[error("it is of the unusual kind {0:?}; only files and folders can be served")]
    Kind(char),
    /// The same path came before.
    #[error("the archive has it twice")]
    Duplicate,
    /// A path is both a file and a folder.
    #[error("another entry needs this path to be a folder, or is a file within it")]
    FileAndFolder,
    /// An extended header that is too big or that changes the file's size.
    #[error("its extended header is damaged, or too big")]
    Header,
}

/// Why content could not be unpacked.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// An entry is refused.
    #[error("the entry {name:?} is refused: {refusal}")]
    Entry {
        /// The entry's name as it stands in the archive, cut to 200 characters where it is longer.
        name: String,
        /// What is wrong with it.
        refusal: Refusal,
    },
    /// More files than the limit.
    #[error("the release has more than {limit} files")]
    TooManyFiles {
        /// The limit.
        limit: usize,
    },
    /// More bytes than the limit.
    #[error("the release is bigger than {limit} bytes when unpacked (reached at {name:?})")]
    TooBig {
        /// The limit in bytes.
        limit: u64,
        /// The entry at which the limit was reached.
        name: String,
    },
    /// It grows more than a harmless archive does.
    #[error(
        "the archive unpacks to more than {limit} times its size, as a decompression bomb does; nothing of it was used"
    )]
    Bomb {
        /// The limit.
        limit: u64,
    },
    /// There are no files.
    #[error("the release has no files; serving nothing is refused")]
    Empty,
    /// Not a gzipped tar archive, or a damaged one.
    #[error("the archive is damaged, or no tar.gz: {0}")]
    Damaged(#[source] io::Error),
    /// Where the bytes come from failed.
    #[error("the archive could not be read to its end: {0}")]
    Source(#[source] io::Error),
    /// The one who fed the bytes went away.
    #[error("unpacking was cancelled before the archive's end")]
    Cancelled,
    /// The disk failed.
    #[error("could not write {}: {source}; see that the disk has room and that the folder belongs to this user", path.display())]
    Disk {
        /// What was written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The thread that unpacks died.
    #[error("the thread that unpacks ended early: {0}")]
    Worker(String),
}

impl UnpackError {
    /// Whether it says that the content is not what it should be.
    pub(super) fn blames_content(&self) -> bool {
        match self {
            Self::Entry { .. }
            | Self::TooManyFiles { .. }
            | Self::TooBig { .. }
            | Self::Bomb { .. }
            | Self::Empty
            | Self::Damaged(_) => true,
            Self::Source(_) | Self::Cancelled | Self::Disk { .. } | Self::Worker(_) => false,
        }
    }

    pub(super) fn entry(name: &[u8], refusal: Refusal) -> Self {
        Self::Entry { name: String::from_utf8_lossy(name).chars().take(200).collect(), refusal }
    }
}
