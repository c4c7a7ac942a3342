//! One listener: the JSON API, tokens, and the events that people and programs follow.
//!
//! The crate knows the engine by the trait [`Control`] only. [`router`] gives the routes, all on one page; whoever
//! serves merges them with the embedded registry's.

mod body;
mod control;
mod error;
mod guard;
mod openapi;
mod route;
mod router;
pub mod shape;
mod state;
mod token;

pub use control::{Actor, Control, ControlError, Outcome, RollbackTo};
pub use router::router;
pub use state::AppState;
pub use token::{Identity, NewToken, Permission, Role, TokenError, TokenName, TokenRow, Tokens};
