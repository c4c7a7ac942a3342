//! `cargo xtask engines`: what the tests speak to, installed, started and stopped.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::engines::{self, Engine, State};

/// Install, start and stop what the tests speak to
#[derive(Args)]
pub struct Engines {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Bring these up; whatever is up stays as it is
    Up {
        /// The engines
        #[arg(value_enum, required = true)]
        names: Vec<Engine>,
        #[command(flatten)]
        place: Place,
    },
    /// Stop all that was started, and remove what it made
    Down {
        #[command(flatten)]
        place: Place,
    },
    /// Print what is up, and where
    List {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Args)]
struct Place {
    /// The folder that notes what was started; /var/lib/dhow-engines where none is named
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl Place {
    fn dir(self) -> anyhow::Result<PathBuf> {
        self.state.map_or_else(State::usual_dir, Ok)
    }
}

impl Engines {
    pub fn run(self) -> anyhow::Result<()> {
        match self.verb {
            Verb::Up { names, place } => {
                let json = engines::up(&place.dir()?, &names)?;
                println!("tests find them by DHOW_ENGINES={}", json.display());
                Ok(())
            }
            Verb::Down { place } => engines::down(&place.dir()?),
            Verb::List { place } => engines::list(&place.dir()?),
        }
    }
}
