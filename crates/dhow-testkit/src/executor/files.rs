//! Files: whole or not there, and not sent twice.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use dhow_core::port::{Executor, ExecutorError, PlaceLock, SentFile};

use super::locks::fresh;
use super::{good, sh};

fn file(path: &str, content: &str, mode: u32) -> SentFile {
    SentFile { path: path.into(), content: content.to_owned().into(), mode }
}

async fn stat(executor: &dyn Executor, path: &str) -> String {
    let output = good(executor, &sh(r#"stat -c "%i %a" "$1""#, &[path])).await;
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A folder holds exactly what was sent, with its modes; the same again is left alone; other content replaces it.
///
/// # Panics
///
/// Where that is not so.
pub async fn a_folder_is_what_was_sent(executor: &dyn Executor, scratch: &str) {
    let folder = format!("{scratch}/release 'a' $(b)");
    let mut files = vec![
        file("compose.yaml", "services: {}\n", 0o644),
        file("bin/it's a \"run\" ü", "#!/bin/sh\n", 0o755),
        file("secret", "s", 0o600),
        file("empty", "", 0o644),
        file("big", &"0123456789".repeat(200_000), 0o644),
    ];
    executor.send(&folder, &files).await.expect("it is sent");
    for file in &files {
        let path = format!("{folder}/{}", file.path);
        assert_eq!(
            executor.read(&path).await.expect("it is read").as_deref(),
            Some(&file.content[..]),
            "{path}"
        );
        assert!(stat(executor, &path).await.ends_with(&format!(" {:o}", file.mode)), "{path}");
    }
    let first = stat(executor, &folder).await;
    files.reverse();
    executor.send(&folder, &files).await.expect("it is known");
    assert_eq!(stat(executor, &folder).await, first, "the same files were sent again");
    // What somebody changed there, or added, is put right.
    good(executor, &sh(r#"echo x >>"$1/compose.yaml"; echo y >"$1/more""#, &[&folder])).await;
    executor.send(&folder, &files[1..]).await.expect("it is sent");
    let mut names: Vec<&str> = files[1..].iter().map(|f| f.path.split('/').next().expect("a name")).collect();
    names.sort_unstable();
    assert_eq!(executor.list(&folder).await.expect("it is listed"), names);
    executor.send(&folder, &[]).await.expect("it is sent");
    assert!(executor.list(&folder).await.expect("it is listed").is_empty());
    let left = executor.list(scratch).await.expect("it is listed");
    assert!(left.iter().all(|name| !name.contains("dhow-")), "{left:?}");
}

/// A folder of this machine arrives as it is; the same again is left alone; other content replaces it; a lower epoch and
/// what is no file are refused and leave nothing.
///
/// # Panics
///
/// Where that is not so.
pub async fn a_folder_of_this_machine_is_what_was_sent(executor: &dyn Executor, scratch: &str) {
    let here = tempfile::tempdir().expect("a folder");
    let write = |path: &str, content: &[u8], mode: u32| {
        let path = here.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
        fs::write(&path, content).expect("it is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is set");
    };
    let big: Vec<u8> = (0..=255).cycle().take(20 << 20).collect();
    write("index.html", b"one", 0o600);
    write("a b/c 'd'/run", b"#!/bin/sh\n", 0o700);
    write("empty", b"", 0o644);
    write("big", &big, 0o644);
    let folder = format!("{scratch}/release 'a' $(b)");
    let lock: &dyn Fn(u64) -> PlaceLock = &fresh("folder");
    let send = async |epoch| executor.send_folder(&lock(epoch), &folder, here.path()).await;
    send(2).await.expect("it is sent");
    for (path, mode) in [("index.html", 644), ("a b/c 'd'/run", 755), ("empty", 644), ("big", 644)] {
        let mut sum = sh(r#"sha256sum <"$1""#, &[&format!("{folder}/{path}")]);
        let there = good(executor, &sum).await.stdout;
        sum.argv[4] = "/dev/stdin".into();
        sum.stdin = Some(fs::read(here.path().join(path)).expect("it is read").into());
        assert_eq!(there, good(executor, &sum).await.stdout, "{path}");
        assert!(stat(executor, &format!("{folder}/{path}")).await.ends_with(&format!(" {mode}")), "{path}");
    }
    let first = stat(executor, &folder).await;
    send(2).await.expect("it is known");
    assert_eq!(stat(executor, &folder).await, first, "the same files were sent again");
    write("index.html", b"two", 0o644);
    assert!(matches!(send(1).await, Err(ExecutorError::Fenced { seen: 2, ours: 1 })));
    assert_eq!(
        executor.read(&format!("{folder}/index.html")).await.expect("it is read").as_deref(),
        Some(&b"one"[..])
    );
    send(3).await.expect("it is sent");
    assert_eq!(
        executor.read(&format!("{folder}/index.html")).await.expect("it is read").as_deref(),
        Some(&b"two"[..])
    );
    std::os::unix::fs::symlink("/etc/passwd", here.path().join("link")).expect("it is made");
    assert!(matches!(send(3).await, Err(ExecutorError::Refused(_))));
    assert_eq!(executor.list(scratch).await.expect("it is listed"), ["release 'a' $(b)"]);
}

/// A send that is given up leaves nothing with the folder's name, and nothing beside it.
///
/// # Panics
///
/// Where it does.
pub async fn a_folder_that_was_given_up_is_not_there(executor: &dyn Executor, scratch: &str) {
    let here = tempfile::tempdir().expect("a folder");
    // Not written, but read: long enough to be given up in the middle of it.
    fs::File::create(here.path().join("big")).and_then(|file| file.set_len(96 << 20)).expect("it is made");
    let (folder, lock) = (format!("{scratch}/release"), fresh("given-up"));
    let (held, newer) = (lock(1), lock(2));
    let begun = async {
        let limit = Instant::now() + Duration::from_secs(60);
        while Instant::now() < limit {
            let text = r#"find "$1" -name big -size +1M 2>/dev/null || true"#;
            if !good(executor, &sh(text, &[scratch])).await.stdout.is_empty() {
                return;
            }
        }
        panic!("it does not begin");
    };
    tokio::select! {
        sent = executor.send_folder(&held, &folder, here.path()) => panic!("it ended: {sent:?}"),
        () = begun => {}
    }
    // The next holder of the lock ends it first.
    executor.run_locked(&newer, &sh("true", &[]), &()).await.expect("it runs");
    assert_eq!(executor.list(scratch).await.expect("it is listed"), [""; 0]);
}

/// What is not there is nothing; a file is replaced whole; what is removed is gone, and may be removed again.
///
/// # Panics
///
/// Where that is not so.
pub async fn files_are_read_written_listed_and_removed(executor: &dyn Executor, scratch: &str) {
    let path = format!("{scratch}/deep/er/a file\nof two lines");
    assert_eq!(executor.read(&path).await.expect("nothing"), None);
    assert!(executor.list(&format!("{scratch}/nowhere")).await.expect("nothing").is_empty());
    for (content, mode) in [(&b"one\0\xff"[..], 0o600), (b"", 0o644), (b"three\n\n", 0o644)] {
        executor.write(&path, content, mode).await.expect("it is written");
        assert_eq!(executor.read(&path).await.expect("it is read").as_deref(), Some(content));
        assert!(stat(executor, &path).await.ends_with(&format!(" {mode:o}")));
    }
    executor.write(&format!("{scratch}/deep/er/.hidden"), b"", 0o644).await.expect("it is written");
    let names = executor.list(&format!("{scratch}/deep/er")).await.expect("it is listed");
    assert_eq!(names, [".hidden", "a file\nof two lines"]);
    for _ in 0..2 {
        executor.remove(&format!("{scratch}/deep")).await.expect("it is removed");
    }
    assert_eq!(executor.read(&path).await.expect("nothing"), None);
}

/// A path that leads elsewhere is refused, and so is the removal of what is near the root.
///
/// # Panics
///
/// Where it is not.
pub async fn odd_paths_are_refused(executor: &dyn Executor, scratch: &str) {
    for path in ["", "x", "/", "/tmp/../etc", "/tmp/./x", "/a\0b"] {
        let refused = executor.remove(path).await;
        assert!(matches!(refused, Err(ExecutorError::Refused(_))), "{path:?}: {refused:?}");
    }
    assert!(matches!(executor.remove("/srv").await, Err(ExecutorError::Refused(_))));
    let files = [file("../escaped", "", 0o644)];
    assert!(matches!(executor.send(&format!("{scratch}/x"), &files).await, Err(ExecutorError::Refused(_))));
    let home = executor.home().await.expect("it has one");
    assert!(home.starts_with('/'), "{home}");
}
