//! Who may act, and how long.

use std::collections::BTreeMap;
use std::time::Duration;

use dhow_core::port::{Instant, Lease, StoreError};

/// A lease in force.
struct InForce {
    lease: Lease,
    until: Instant,
}

/// The leases that this process has given out.
///
/// A lease of a process that died is free at once: the state lock has seen to it that it is dead. Its epoch stays in
/// the database, so that the next one is higher.
#[derive(Default)]
pub(crate) struct Leases(BTreeMap<String, InForce>);

impl Leases {
    /// Fails where another holder has the lease now.
    pub(crate) fn check_free(&self, name: &str, holder: &str, now: Instant) -> Result<(), StoreError> {
        match self.0.get(name) {
            Some(held) if held.until > now && held.lease.holder != holder => Err(held_by(&held.lease)),
            _ => Ok(()),
        }
    }

    /// Notes a lease that was taken.
    pub(crate) fn take(&mut self, lease: &Lease, now: Instant, time: Duration) {
        self.0.insert(lease.name.clone(), InForce { lease: lease.clone(), until: later(now, time) });
    }

    /// Lengthens a lease. One that ran out is still its holder's until somebody takes it.
    pub(crate) fn renew(&mut self, lease: &Lease, now: Instant, time: Duration) -> Result<(), StoreError> {
        match self.0.get_mut(&lease.name) {
            Some(held) if held.lease == *lease => {
                held.until = later(now, time);
                Ok(())
            }
            Some(held) => Err(held_by(&held.lease)),
            None => {
                Err(StoreError::Held { name: lease.name.clone(), holder: "nobody: it was given back".into() })
            }
        }
    }

    /// Gives a lease back. One that is another's by now is left alone.
    pub(crate) fn release(&mut self, lease: &Lease) {
        if self.0.get(&lease.name).is_some_and(|held| held.lease == *lease) {
            self.0.remove(&lease.name);
        }
    }
}

fn later(now: Instant, time: Duration) -> Instant {
    Instant(now.0.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

fn held_by(lease: &Lease) -> StoreError {
    StoreError::Held { name: lease.name.clone(), holder: lease.holder.clone() }
}
