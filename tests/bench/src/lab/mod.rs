//! What is measured runs here as it runs for its users.

mod bundle;
mod events;
mod fleet;
mod git;
mod process;
mod remote;
mod serve;

use std::path::PathBuf;

pub use bundle::Bundle;
pub use events::{Events, is_verified};
pub use fleet::Fleet;
pub use process::Process;
pub use remote::{LATENCY, Remote};
pub use serve::{REGISTRY, Serve};

/// What every measurement is given.
#[derive(Debug)]
pub struct Lab {
    /// The program.
    pub dhow: PathBuf,
    /// Fewer and smaller.
    pub quick: bool,
}

impl Lab {
    /// So many, or so few where it is to be quick.
    pub fn count(&self, whole: usize, quick: usize) -> usize {
        if self.quick { quick } else { whole }
    }
}
