//! Files of the fleet that an engine reads or mounts: which there are, what they name, and how they get to a place.

pub(crate) mod content;
pub(crate) mod path;
pub(crate) mod variables;
pub(crate) mod walk;
pub(crate) mod which;
