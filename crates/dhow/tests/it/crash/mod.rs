//! Killed at any instant, Dhow starts again and ends where it would have ended. `cargo xtask crash` is the long form.

mod broken;
mod instants;
mod short;
