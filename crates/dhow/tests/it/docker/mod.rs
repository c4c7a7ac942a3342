//! Deployments on real Docker Engines, here and on servers, through the real binary.

mod demo;
mod docs;
mod faults;
mod front;
mod servers;
mod static_file;
pub mod support;
mod voyage;
