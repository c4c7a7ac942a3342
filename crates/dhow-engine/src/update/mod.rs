//! update: what is ready goes into the fleet as one commit.

mod branches;
mod commit;
mod edits;
mod message;
pub(crate) mod promote;
pub(crate) mod propose;
mod restores;

pub(crate) use edits::{Edits, Overlay};
pub(crate) use restores::Leaving;
