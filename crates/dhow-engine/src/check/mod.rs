//! Checks: ask a deployment until it has shown that it works, or its time is over.
//!
//! One file a probe (`http`, `tcp`, `command`); [`run`] is the patience around them. Nothing is stored here: after
//! a crash the phase is checked again from its start.

mod answer;
mod command;
mod connect;
mod http;
mod run;
mod tcp;
mod tls;
#[cfg(test)]
mod twin;

use std::time::Duration;

use dhow_core::fleet::{CheckSpec, Probe};
use dhow_core::port::CheckAddress;

pub(crate) use self::command::REFUSED as COMMANDS_REFUSED;
pub use self::run::{Failed, run, run_all};

/// What a check needs to know of its deployment.
#[derive(Debug, Clone, Copy)]
pub struct CheckContext<'a> {
    /// Where to connect.
    pub address: &'a CheckAddress,
    /// What `{host}` stands for.
    pub host: &'a str,
    /// Commands may run on this machine.
    pub allow_commands: bool,
}

impl CheckContext<'_> {
    /// A check for people, with the host in its place.
    pub fn describe(&self, spec: &CheckSpec) -> String {
        spec.probe.describe().replace("{host}", self.host)
    }
}

/// One try, ended after the check's `timeout`.
///
/// An error is the answer for people, of at most 500 characters. Dropping the future ends what it began: the
/// connection is closed, a command is killed with its process group.
pub async fn try_once(spec: &CheckSpec, context: &CheckContext<'_>) -> Result<(), String> {
    try_within(spec, context, spec.timeout).await
}

/// One try that takes no longer than `time`.
async fn try_within(spec: &CheckSpec, context: &CheckContext<'_>, time: Duration) -> Result<(), String> {
    let deadline = answer::Deadline::after(time);
    let result = match &spec.probe {
        Probe::Http { url, status, contains, headers } => {
            let wanted = http::Wanted { status: *status, contains: contains.as_deref() };
            http::probe(http::request(url, context.host, headers), wanted, context.address, deadline).await
        }
        Probe::Tcp { port } => tcp::probe(context.address, *port, deadline).await,
        Probe::Command { .. } if !context.allow_commands => Err(command::REFUSED.to_owned()),
        Probe::Command { argv } => command::probe(argv, deadline).await,
    };
    result.map_err(|answer| answer::cut(&answer, answer::LONGEST))
}

#[cfg(test)]
mod tests;
