//! The executors of places.
//!
//! *Flow*: a command becomes one line for a POSIX shell (`request`), which runs it under a supervisor
//! (`supervise.sh`): in a session of its own, under the place's lock where one is asked for, with a limit of time, and
//! ended when its input closes. Here that shell is a child; on a server it is the remote command of one multiplexed
//! SSH connection. The two differ in nothing else, so that they keep the same promises.
//!
//! *Guarantees*: an argument passes no login shell and stands in no process list on the way; it is quoted in one place
//! (`quote`). Whoever is killed, here or there, the next holder of a lock ends what still runs under it before it
//! starts, and a lower epoch is refused for ever.
//!
//! *Caveats*: what a command starts that takes another session **and** another environment (a daemon) is its own master.
//! A lock belongs to the user that Dhow logs in as: two users on one server are two places.

mod answer;
mod files;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
pub mod local;
pub mod places;
mod quote;
mod request;
mod run;
mod shell;
pub mod ssh;
mod stream;
mod trouble;

pub use local::LocalExecutor;
pub use places::{Identity, Places, PlacesConfig};
pub use ssh::{HostKey, Login, SshExecutor, SshSettings, Trust};

/// A script as the line that a plain shell reads.
pub(crate) fn plain_line(script: &str) -> Vec<u8> {
    let word = quote::word(script).unwrap_or_default();
    format!("eval {word}\n").into_bytes()
}
