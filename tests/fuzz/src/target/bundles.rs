//! Bundles: whatever the archive, only plain files come out, all of them below the folder and within the limits.

use std::io::Write as _;
use std::path::Path;

use bytes::Bytes;
use dhow_core::noun::Digest;
use dhow_static::{Content, Limits, unpack::unpack};
use flate2::{Compression, write::GzEncoder};

use super::requests::runtime;

const LIMITS: Limits = Limits { total_bytes: 64 << 10, files: 50, path_bytes: 200, ratio: 200 };

/// A tar archive, which is packed here, or one that is packed already.
pub(super) fn body(data: &[u8]) {
    let packed = if data.starts_with(b"\x1f\x8b") { data.to_vec() } else { gzip(data) };
    let outer = scratch();
    let folder = outer.path().join("files");
    std::fs::create_dir(&folder).expect("a folder");
    let chunks: Vec<_> = packed.chunks(700).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    let content = Content::archive(futures::stream::iter(chunks));
    let listed = runtime().block_on(unpack(content, &folder, &LIMITS));
    let beside = std::fs::read_dir(outer.path()).expect("a folder").count();
    assert_eq!(beside, 1, "something came out beside the folder");
    let mut found = Vec::new();
    walk(&folder, &folder, &mut found);
    let Ok(listed) = listed else { return };
    let names: Vec<&String> = listed.keys().collect();
    assert_eq!(found.iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
    for (name, bytes) in &found {
        assert_eq!(
            (listed[name].size, listed[name].sha256),
            (bytes.len() as u64, Digest::of(bytes)),
            "{name}"
        );
    }
    assert!(found.len() <= LIMITS.files);
    assert!(found.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>() <= LIMITS.total_bytes);
}

/// A folder in memory, where there is one: an unpack is made durable.
pub(super) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder for temporary files")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")).collect();
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let (kind, path) = (entry.file_type().expect("a type"), entry.path());
        if kind.is_dir() {
            walk(root, &path, found);
        } else {
            assert!(kind.is_file(), "{} is no plain file", path.display());
            let name = path.strip_prefix(root).expect("below").to_str().expect("UTF-8").to_owned();
            found.push((name, std::fs::read(&path).expect("a file")));
        }
    }
    found.sort();
}
