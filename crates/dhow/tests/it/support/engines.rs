//! Programs that tests run for real. With `DHOW_REQUIRE_ENGINES=1`, as in `cargo xtask test`, a missing one is a failure.

use std::path::PathBuf;

/// Where system programs are that a user's `PATH` may lack.
const SYSTEM: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Where the program is; none, with a word on why, where it is missing and may be.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM.map(PathBuf::from));
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    if found.is_none() {
        let required = std::env::var("DHOW_REQUIRE_ENGINES").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "{program} is missing and DHOW_REQUIRE_ENGINES=1; `cargo xtask engines` installs it"
        );
        eprintln!("not run: {program} is missing; `cargo xtask engines` installs it");
    }
    found
}
