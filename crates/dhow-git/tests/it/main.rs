//! The promises of the fleet repository, against real git.

mod lab;
mod opening;
mod pushing;
mod reading;
mod signing;
mod ssh;
mod writing;
