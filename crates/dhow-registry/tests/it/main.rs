//! The embedded registry and the client, over real TCP.

mod bundle;
mod client;
mod collect;
mod conformance;
mod engines;
mod fake;
mod push;
mod support;
