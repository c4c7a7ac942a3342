use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dhow_core::port::{Clock, Instant};

/// The paused clock of a runtime, carried on from one process to the next: waiting takes no time, and a restart turns
/// no time back.
#[derive(Default)]
pub struct VirtualClock {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    past: Duration,
    start: Option<tokio::time::Instant>,
}

impl VirtualClock {
    fn elapsed(&self) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.past + state.start.get_or_insert_with(tokio::time::Instant::now).elapsed()
    }

    /// The runtime ends; the next one goes on from here.
    pub fn carry_over(&self) {
        let past = self.elapsed();
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State { past, start: None };
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> jiff::Timestamp {
        let start = jiff::Timestamp::from_second(1_700_000_000).expect("a time");
        start + self.elapsed()
    }

    fn monotonic(&self) -> Instant {
        Instant(u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
