use std::io;
use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use dhow_core::noun::Digest;
use dhow_static::unpack::unpack;
use dhow_static::{Content, Limits, Refusal, UnpackError};
use tar::EntryType;
use tempfile::TempDir;

use crate::fixture::{Entry, archive, file, files, gzip, stream};

async fn try_unpack(content: Content, limits: &Limits) -> Result<TempDir, UnpackError> {
    let dir = TempDir::new().unwrap();
    unpack(content, dir.path(), limits).await.map(|_| dir)
}

async fn refusal(entries: &[Entry<'_>]) -> Refusal {
    match try_unpack(stream(archive(entries)), &Limits::default()).await {
        Err(UnpackError::Entry { refusal, .. }) => refusal,
        other => panic!("expected a refused entry, got {other:?}"),
    }
}

#[tokio::test]
async fn an_archive_becomes_its_files_with_digests_and_plain_modes() {
    let dir = TempDir::new().unwrap();
    let packed = archive(&[
        Entry { name: b"./", kind: EntryType::Directory, content: b"" },
        file("./index.html", "hello"),
        file("a/b/c.txt", "deep"),
        file("empty", ""),
    ]);
    let found = unpack(stream(packed), dir.path(), &Limits::default()).await.unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a/b/c.txt", "empty", "index.html"]);
    assert_eq!(found["index.html"].sha256, Digest::of(b"hello"));
    assert_eq!(found["a/b/c.txt"].size, 4);
    assert_eq!(std::fs::read(dir.path().join("a/b/c.txt")).unwrap(), b"deep");
    let mode = |path: &str| std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("index.html"), mode("a/b")), (0o644, 0o755));
}

#[tokio::test]
async fn names_longer_than_a_tar_header_are_kept() {
    let long = format!("{}/x.txt", "folder/".repeat(40));
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    builder.append_data(&mut header, &long, &b"ok"[..]).unwrap();
    builder.append_pax_extensions([("path", "pax/é.txt".as_bytes()), ("size", b"3")]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path("short").unwrap();
    header.set_size(3);
    header.set_cksum();
    builder.append(&header, &b"pax"[..]).unwrap();
    let packed = gzip(&builder.into_inner().unwrap());
    let dir = try_unpack(stream(packed), &Limits::default()).await.unwrap();
    assert_eq!(std::fs::read(dir.path().join(&long)).unwrap(), b"ok");
    assert_eq!(std::fs::read(dir.path().join("pax/é.txt")).unwrap(), b"pax");
}

#[tokio::test]
async fn a_long_name_cannot_smuggle_a_path_out_of_the_folder() {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("path", &b"../../evil"[..])]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path("harmless").unwrap();
    header.set_size(0);
    header.set_cksum();
    builder.append(&header, &b""[..]).unwrap();
    let result = try_unpack(stream(gzip(&builder.into_inner().unwrap())), &Limits::default()).await;
    assert!(matches!(result, Err(UnpackError::Entry { refusal: Refusal::ParentFolder, .. })), "{result:?}");
}

#[tokio::test]
async fn entries_that_could_leave_the_folder_are_refused_by_name() {
    assert_eq!(refusal(&[file("/etc/passwd", "x")]).await, Refusal::AbsolutePath);
    assert_eq!(refusal(&[file("a/../../x", "x")]).await, Refusal::ParentFolder);
    assert_eq!(refusal(&[file("a\\..\\x", "x")]).await, Refusal::Character('\\'));
    let of_kind = |kind| [Entry { name: b"x", kind, content: b"" }];
    assert_eq!(refusal(&of_kind(EntryType::Symlink)).await, Refusal::Symlink);
    assert_eq!(refusal(&of_kind(EntryType::Link)).await, Refusal::HardLink);
    assert_eq!(refusal(&of_kind(EntryType::Char)).await, Refusal::Device);
    assert_eq!(refusal(&of_kind(EntryType::Fifo)).await, Refusal::Device);
    assert_eq!(refusal(&of_kind(EntryType::GNUSparse)).await, Refusal::Kind('S'));
    let error =
        try_unpack(stream(archive(&[file("/etc/passwd", "x")])), &Limits::default()).await.unwrap_err();
    assert!(error.to_string().contains("\"/etc/passwd\" is refused"), "{error}");
}

#[tokio::test]
async fn entries_that_mean_two_things_are_refused() {
    assert_eq!(refusal(&[file("a", "1"), file("./a", "2")]).await, Refusal::Duplicate);
    assert_eq!(refusal(&[file("a", "1"), file("a/b", "2")]).await, Refusal::FileAndFolder);
    assert_eq!(refusal(&[file("a/b", "1"), file("a", "2")]).await, Refusal::FileAndFolder);
    let bad = Entry { name: b"\xff\xfe", kind: EntryType::Regular, content: b"" };
    assert_eq!(refusal(&[bad]).await, Refusal::NotUtf8);
}

#[tokio::test]
async fn limits_of_size_count_and_path_hold() {
    let limits = Limits { total_bytes: 10, files: 2, path_bytes: 5, ..Limits::default() };
    let big = try_unpack(stream(archive(&[file("a", "123456"), file("b", "78901")])), &limits).await;
    assert!(matches!(big, Err(UnpackError::TooBig { limit: 10, .. })), "{big:?}");
    let many = try_unpack(files(&[("a", ""), ("b", ""), ("c", "")]), &limits).await;
    assert!(matches!(many, Err(UnpackError::TooManyFiles { limit: 2 })), "{many:?}");
    let long = try_unpack(files(&[("abc/def", "")]), &limits).await;
    assert!(matches!(long, Err(UnpackError::Entry { refusal: Refusal::PathTooLong { .. }, .. })), "{long:?}");
}

#[tokio::test]
async fn a_decompression_bomb_is_stopped_by_its_ratio() {
    let zeros = "\0".repeat(40 << 20);
    let bomb = archive(&[file("zeros", &zeros)]);
    assert!(bomb.len() < 400 << 10);
    let result = try_unpack(stream(bomb), &Limits::default()).await;
    assert!(matches!(result, Err(UnpackError::Bomb { limit: 200 })), "{result:?}");
}

#[tokio::test]
async fn a_truncated_or_damaged_archive_is_refused() {
    let whole = archive(&[file("a", &"text ".repeat(5000))]);
    let half = try_unpack(stream(whole[..whole.len() / 2].to_vec()), &Limits::default()).await;
    assert!(matches!(half, Err(UnpackError::Damaged(_))), "{half:?}");
    let mut wrong_checksum = whole.clone();
    let at = wrong_checksum.len() - 6;
    wrong_checksum[at] ^= 1;
    let wrong = try_unpack(stream(wrong_checksum), &Limits::default()).await;
    assert!(matches!(wrong, Err(UnpackError::Damaged(_))), "{wrong:?}");
    let html = try_unpack(stream(b"<html>no archive</html>".to_vec()), &Limits::default()).await;
    assert!(matches!(html, Err(UnpackError::Damaged(_))), "{html:?}");
}

#[tokio::test]
async fn a_broken_source_is_told_from_a_damaged_archive() {
    let whole = archive(&[file("a", "x")]);
    let chunks = vec![
        Ok(Bytes::copy_from_slice(&whole[..20])),
        Err(io::Error::new(io::ErrorKind::ConnectionReset, "reset by the registry")),
    ];
    let result = try_unpack(Content::archive(futures::stream::iter(chunks)), &Limits::default()).await;
    assert!(
        matches!(&result, Err(UnpackError::Source(e)) if e.to_string().contains("reset by")),
        "{result:?}"
    );
}

#[tokio::test]
async fn content_that_turns_out_not_to_be_what_was_asked_for_is_the_sources_fault() {
    let mut packed = archive(&[file("index.html", "hello")]);
    let half = packed.len() / 2;
    packed[half..].iter_mut().for_each(|byte| *byte ^= 1);
    let wrong = io::Error::other("the content has another digest");
    let chunks = vec![Ok(Bytes::from(packed)), Err(wrong)];
    let result = try_unpack(Content::archive(futures::stream::iter(chunks)), &Limits::default()).await;
    assert!(matches!(result, Err(UnpackError::Source(_))), "{result:?}");
}

#[tokio::test]
async fn no_files_at_all_are_refused() {
    for content in [stream(archive(&[])), files(&[])] {
        assert!(matches!(try_unpack(content, &Limits::default()).await, Err(UnpackError::Empty)));
    }
}
