//! The kill harness: the real binary, killed at every instant of a voyage, ends where an undisturbed one ends.
//!
//! It is a process of its own on a real state directory, with a real Git remote and its embedded registry. A
//! [`scenario`] is run undisturbed once; then again for each [`point`] that it passed, killed there and started again.
//! [`run`] compares the ends. What must hold of every log is in [`facts`].

pub mod client;
pub mod dock;
pub mod end;
pub mod facts;
pub mod keeper;
pub mod lab;
pub mod load;
pub mod point;
pub mod repository;
pub mod run;
pub mod scenario;
pub mod world;
