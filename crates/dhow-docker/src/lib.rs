//! Docker: the target `compose`.

pub mod compose;
