//! The target `static_file` here: its contract, and what is special to static files.

mod bench;
mod contract;
mod rollouts;
mod serving;
mod troubles;
