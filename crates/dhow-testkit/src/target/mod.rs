//! The target's twin, and the contract of the [`Target`](dhow_core::port::Target) port.

mod contract;
mod memory;

pub use contract::{Lab, contract, main_cuts};
pub use memory::MemoryTarget;
