//! The voyage: watch, select, update, sync, rollout, report. One module a step.
//!
//! [`Engine`] owns nothing of the outside: it is given [`Ports`]. Every decision about a service in an environment is
//! taken under that pair's lock (`locks`) and stored, with the facts it makes, in one batch ([`journal`]).

pub mod check;
mod clock;
pub mod command;
mod creations;
mod engine;
mod health;
pub mod journal;
pub mod locks;
mod looks;
mod permits;
pub mod report;
mod rollout;
mod room;
mod select;
mod semaphores;
mod sync;
mod trouble;
mod update;
mod view;
mod watch;

pub use clock::SystemClock;
pub use engine::{Engine, EngineError, Ports, Settings};
pub use view::View;
