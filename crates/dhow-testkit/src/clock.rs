use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use dhow_core::port::{Clock, Instant};
use tokio::sync::{oneshot, watch};

use crate::locked;

/// A clock that stands until it is moved by hand. Sleepers are woken in the order of their times.
pub struct ManualClock {
    state: Mutex<State>,
    asleep: watch::Sender<usize>,
}

struct State {
    now: jiff::Timestamp,
    monotonic: u64,
    order: u64,
    /// By time and order of going to sleep.
    sleepers: BTreeMap<(u64, u64), oneshot::Sender<()>>,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::at(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl ManualClock {
    /// A clock that shows this wall-clock time.
    pub fn at(now: jiff::Timestamp) -> Self {
        let state = State { now, monotonic: 0, order: 0, sleepers: BTreeMap::new() };
        Self { state: Mutex::new(state), asleep: watch::Sender::new(0) }
    }

    /// Moves both clocks on, waking each sleeper at its own time. Woken tasks get a turn before the clock moves on, so
    /// one that sleeps again within the time is woken again (on a current-thread runtime).
    pub async fn advance(&self, time: Duration) {
        let end = locked(&self.state).monotonic.saturating_add(millis(time));
        while self.wake_next(end) {
            for _ in 0..16 {
                tokio::task::yield_now().await;
            }
        }
        locked(&self.state).move_to(end);
    }

    /// Sets the wall clock only: it jumps.
    pub fn set_wall(&self, now: jiff::Timestamp) {
        locked(&self.state).now = now;
    }

    /// Time until the next sleeper is due; `None` where nobody sleeps.
    pub fn next_wake(&self) -> Option<Duration> {
        let mut state = locked(&self.state);
        state.forget_gone();
        let due = state.sleepers.keys().next()?.0;
        Some(Duration::from_millis(due.saturating_sub(state.monotonic)))
    }

    /// Returns once at least so many tasks sleep: a test then moves the clock and needs no real time.
    pub async fn wait_for_sleepers(&self, count: usize) {
        let mut asleep = self.asleep.subscribe();
        // The sender lives in self: the wait cannot fail.
        let _ = asleep.wait_for(|n| *n >= count).await;
    }

    fn wake_next(&self, end: u64) -> bool {
        let mut state = locked(&self.state);
        let Some(entry) = state.sleepers.first_entry().filter(|e| e.key().0 <= end) else { return false };
        let ((due, _), sleeper) = entry.remove_entry();
        state.move_to(due);
        // A sleeper that was dropped needs no waking.
        let _ = sleeper.send(());
        self.asleep.send_replace(state.sleepers.len());
        true
    }
}

impl State {
    fn move_to(&mut self, monotonic: u64) {
        let passed = monotonic.saturating_sub(self.monotonic);
        self.monotonic += passed;
        let passed = jiff::SignedDuration::from_millis(i64::try_from(passed).unwrap_or(i64::MAX));
        self.now = self.now.checked_add(passed).unwrap_or(jiff::Timestamp::MAX);
    }

    fn forget_gone(&mut self) {
        self.sleepers.retain(|_, sleeper| !sleeper.is_closed());
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> jiff::Timestamp {
        locked(&self.state).now
    }

    fn monotonic(&self) -> Instant {
        Instant(locked(&self.state).monotonic)
    }

    async fn sleep(&self, time: Duration) {
        if time.is_zero() {
            return;
        }
        let (wake, woken) = oneshot::channel();
        {
            let mut state = locked(&self.state);
            state.forget_gone();
            state.order += 1;
            let key = (state.monotonic.saturating_add(millis(time)), state.order);
            state.sleepers.insert(key, wake);
            self.asleep.send_replace(state.sleepers.len());
        }
        // The clock is gone: nobody can wait for it any more.
        let _ = woken.await;
    }
}
