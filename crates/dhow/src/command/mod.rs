//! The commands: one file each.

pub mod approve;
mod ask;
pub mod demo;
pub mod demo_site;
pub mod doctor;
pub mod exec;
mod findings;
pub mod history;
pub mod logs;
pub mod plan;
pub mod policy;
pub mod promote;
pub mod ps;
pub mod publish;
pub mod quarantine;
pub mod reject;
pub mod resume;
pub mod rollback;
pub mod serve;
pub mod server;
pub mod status;
pub mod sync;
pub mod token;
pub mod update;
pub mod validate;
pub mod wait;
