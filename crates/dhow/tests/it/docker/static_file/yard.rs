//! A folder on a server, as its user and its visitors see it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use dhow_testkit::engines::Server;

/// A folder that no other run has.
pub fn fresh() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    format!("site{now}x{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A folder on a server that its user may write and everybody may read; it goes with its value.
pub struct Yard {
    pub server: Server,
    pub directory: String,
}

impl Yard {
    pub fn new(server: &Server, name: &str) -> Self {
        let directory = format!("/srv/{name}");
        let yard = Self { server: server.clone(), directory };
        yard.root(&["install", "-d", "-o", "deploy", "-g", "deploy", "-m", "755", &yard.directory]);
        yard
    }

    /// Runs a program as root on the server.
    pub fn root(&self, words: &[&str]) {
        let status = self.server.ssh("root").args(words).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{words:?}");
    }

    /// The directory, as this machine sees it.
    pub fn files(&self) -> PathBuf {
        self.server.files.join(self.directory.trim_start_matches('/'))
    }

    pub fn page(&self) -> Option<String> {
        std::fs::read_to_string(self.files().join("current/index.html")).ok()
    }

    /// All that is in the folder of the releases, but what is known of them.
    pub fn releases(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.files().join("releases")).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            names.map(|name| name.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name != ".owner" && !name.starts_with(".same-"));
        names.sort();
        names
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        drop(self.server.ssh("root").args(["rm", "-rf", &self.directory]).status());
    }
}
