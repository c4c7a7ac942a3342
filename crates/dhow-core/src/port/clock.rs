use std::time::Duration;

use async_trait::async_trait;

/// A moment of the monotonic clock of this process, in milliseconds since an arbitrary start. Never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl Instant {
    /// Time since `earlier`; zero where that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The time. Durations are measured on the monotonic clock; the wall clock is for people and for windows only.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock. It may jump.
    fn now(&self) -> jiff::Timestamp;

    /// The monotonic clock. It never goes back.
    fn monotonic(&self) -> Instant;

    /// Returns after this time on the monotonic clock.
    async fn sleep(&self, time: Duration);
}
