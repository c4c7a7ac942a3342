//! The store's twin, and the contract of the [`Store`](dhow_core::port::Store) port.

mod contract;
mod leases;
mod memory;
mod reads;

pub use contract::contract;
pub use memory::MemoryStore;
