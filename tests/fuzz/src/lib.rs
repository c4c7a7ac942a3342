//! What must hold for any input from outside.
//!
//! - [`target`]: one function an entrance, from bytes; it panics where a promise is broken.
//! - [`stream`]: mutations of the seeds in `fuzz/seeds`, from a seed number, so that a find can be repeated.
//!
//! The same functions are fed by libFuzzer in `fuzz/`. `cargo xtask fuzz` runs either.

pub mod seeds;
pub mod stream;
pub mod target;
mod text;

pub use target::{Target, all, named};

/// Feeds a target one input.
///
/// # Panics
/// A promise is broken, or there is no such target.
pub fn run(target: &str, data: &[u8]) {
    let target = named(target).unwrap_or_else(|| panic!("there is no target {target:?}"));
    (target.body)(data);
}
