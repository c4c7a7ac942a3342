//! A small disk in memory: it can be full, and free again, without anybody else noticing.

#![expect(clippy::unwrap_used, reason = "it is for tests: they fail where it cannot be made")]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted disk; unmounted when this is dropped.
#[derive(Debug)]
pub struct Tmpfs {
    path: PathBuf,
}

/// The file that fills it.
const BALLAST: &str = "ballast";

impl Tmpfs {
    /// Mounts a disk of so many MiB on a folder, which is made where it is missing. None, with a word on why, where we
    /// are not root; with `DHOW_REQUIRE_ENGINES=1` that is a failure.
    pub fn mount(path: &Path, mebibytes: u32) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let options = format!("size={mebibytes}m,mode=700");
        let said = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "dhow"]).arg(path).output();
        let said = said.map_err(|e| e.to_string()).and_then(|output| match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        });
        match said {
            Ok(()) => Some(Self { path: path.to_owned() }),
            Err(why) => {
                let required = std::env::var("DHOW_REQUIRE_ENGINES").is_ok_and(|value| value == "1");
                assert!(!required, "only root can mount a small disk, and DHOW_REQUIRE_ENGINES=1: {why}");
                eprintln!("not run: only root can mount a small disk: {why}");
                None
            }
        }
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let mut ballast = File::create(self.path.join(BALLAST)).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            let block = vec![7; size];
            while ballast.write_all(&block).is_ok() {}
        }
    }

    /// Makes room again.
    pub fn free(&self) {
        std::fs::remove_file(self.path.join(BALLAST)).unwrap();
    }

    /// Nothing can be written any more (`ro`), or can be again (`rw`).
    #[track_caller]
    pub fn remount(&self, how: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{how}")]).arg(&self.path);
        let output = mount.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may have files open there.
        drop(Command::new("umount").arg("--lazy").arg(&self.path).output());
    }
}
