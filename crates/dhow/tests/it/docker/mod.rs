//! Deployments on real Docker Engines, here and on servers, through the real binary.

mod demo;
mod servers;
mod support;
mod voyage;
