//! What is measured, one file each.

mod edits;
mod fleet;
mod policy;
mod registry;
mod start;
mod voyage;
mod web;

use anyhow::Result;
use clap::ValueEnum;

use crate::lab::Lab;
use crate::report::Report;

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Bench {
    /// From a push to the registry until the new version is verified
    Voyage,
    /// A fleet of 1,000 deployments: first sync, idle pass, 500 updates at once, one change, memory
    Fleet1000,
    /// The same with 10,000
    Fleet10000,
    /// From the start until it is ready, empty and with 100,000 events; memory
    Start,
    /// A policy on 100,000 tags
    Policy,
    /// Versions written into large files and many files
    Edits,
    /// The embedded registry beside Debian's docker-registry
    Registry,
    /// The static web server beside nginx
    Web,
}

impl Bench {
    /// Measures.
    ///
    /// # Errors
    /// Something that is needed is not there, or what is measured failed.
    pub async fn run(self, lab: &Lab, report: &mut Report) -> Result<()> {
        match self {
            Self::Voyage => voyage::run(lab, report).await,
            Self::Fleet1000 => fleet::run(lab, report, 1_000).await,
            Self::Fleet10000 => fleet::run(lab, report, 10_000).await,
            Self::Start => start::run(lab, report).await,
            Self::Policy => policy::run(lab, report).await,
            Self::Edits => edits::run(lab, report).await,
            Self::Registry => registry::run(lab, report).await,
            Self::Web => web::run(lab, report).await,
        }
    }
}
