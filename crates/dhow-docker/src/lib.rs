//! Docker engines, and the places where they run: this machine, and servers over SSH.

pub mod executor;
pub mod inspect;
