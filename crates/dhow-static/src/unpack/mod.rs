//! From an archive or a list of files to a folder, with everything refused that could leave the folder, fill
//! the disk, or mean two things.
//!
//! Guarantees: only regular files are created, all of them below the given folder, with mode 0644 (folders 0755);
//! every file is in the returned list with its digest. After [`unpack`] returned, content and names are durable.
//!
//! A crash or an error in between leaves a partial folder. Whoever calls names the folder so that nobody takes it
//! for a whole one, and removes it.

mod archive;
mod content;
mod error;
mod path;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;

pub use content::Content;
pub(crate) use content::{BlockingContent, run_with_content};
pub use error::{Refusal, UnpackError};
use writer::Writer;

use crate::manifest::FileEntry;

/// How much one release may hold. There is no limit of time here: whoever gives the stream limits its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of all files together. Default 2 GiB.
    pub total_bytes: u64,
    /// The number of files. Default 100,000.
    pub files: usize,
    /// The bytes of one path. Default 1,024.
    pub path_bytes: usize,
    /// An archive may grow to this many times its packed size. Default 200. What is below 16 MiB unpacked
    /// is not measured: small archives of repetitive text are no attack.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total_bytes: 2 << 30, files: 100_000, path_bytes: 1024, ratio: 200 }
    }
}

/// Writes the content below `dir`, which must exist and be empty, and makes it durable.
///
/// # Errors
/// The first entry that is refused ends it; `dir` then holds a part.
pub async fn unpack(
    content: Content,
    dir: &Path,
    limits: &Limits,
) -> Result<BTreeMap<String, FileEntry>, UnpackError> {
    let (dir, limits) = (dir.to_owned(), limits.clone());
    run_with_content(content, move |content| unpack_blocking(content, &dir, &limits))
        .await
        .unwrap_or_else(|error| Err(UnpackError::Worker(error.to_string())))
}

pub(crate) fn unpack_blocking(
    content: BlockingContent,
    dir: &Path,
    limits: &Limits,
) -> Result<BTreeMap<String, FileEntry>, UnpackError> {
    let mut writer = Writer::new(dir, limits);
    match content {
        BlockingContent::Archive(stream) => archive::read(stream, &mut writer, limits)?,
        BlockingContent::Files(files) => {
            for (name, bytes) in files {
                let path = path::clean(&name, limits.path_bytes)
                    .map_err(|refusal| UnpackError::Entry { name, refusal })?;
                writer.file(&path, &mut &bytes[..])?;
            }
        }
    }
    writer.finish()
}
