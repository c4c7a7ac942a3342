//! The twins keep the contracts that they stand in for.

mod engines;
mod target;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dhow_core::port::Clock as _;
use dhow_testkit::{ManualClock, MemoryStore};

#[tokio::test]
async fn the_memory_store_keeps_the_contract_of_stores() {
    dhow_testkit::store::contract(async |clock: Arc<ManualClock>| Arc::new(MemoryStore::new(clock))).await;
}

#[tokio::test]
async fn sleepers_are_woken_in_the_order_of_their_times() {
    let clock = Arc::new(ManualClock::default());
    let woken = Arc::new(Mutex::new(Vec::new()));
    for seconds in [3, 1, 2] {
        let (clock, woken) = (Arc::clone(&clock), Arc::clone(&woken));
        tokio::spawn(async move {
            for _ in 0..2 {
                clock.sleep(Duration::from_secs(seconds)).await;
                woken.lock().unwrap().push((clock.monotonic().0, seconds));
            }
        });
    }
    clock.wait_for_sleepers(3).await;
    assert_eq!(clock.next_wake(), Some(Duration::from_secs(1)));
    clock.advance(Duration::from_secs(3)).await;
    assert_eq!(*woken.lock().unwrap(), [(1000, 1), (2000, 2), (2000, 1), (3000, 3)]);
}
