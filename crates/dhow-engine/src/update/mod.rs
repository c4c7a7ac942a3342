//! update: what is ready goes into the fleet as one commit.

mod branches;
mod commit;
mod edits;
mod message;
pub(crate) mod promote;
pub(crate) mod propose;

pub(crate) use edits::{Edits, Overlay};
