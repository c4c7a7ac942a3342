//! The nouns and the rules of Dhow, and its ports. No tokio, no network, no disk, no database: values in, values out.
//!
//! - [`noun`]: the words, as validated types.
//! - [`yaml`], [`diagnostic`]: reading files with spans, and saying what is wrong in them.
//! - [`fleet`]: what a fleet's tree declares.
//! - [`policy`]: tags in, version out.
//! - [`edit`]: writing versions into a fleet, byte by byte.
//! - [`rollout`]: states, events and records of what happens.
//! - [`report`]: what people are shown, in the shapes of the API.
//! - [`port`]: what the engine needs of the outside, as traits.

pub mod diagnostic;
pub mod edit;
pub mod fleet;
pub mod noun;
pub mod policy;
pub mod port;
pub mod report;
pub mod rollout;
pub mod yaml;
