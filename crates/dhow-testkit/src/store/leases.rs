#![expect(clippy::unwrap_used, reason = "a contract is a test: it panics where a promise is broken")]

use std::time::Duration;

use dhow_core::port::{Store, StoreError};

use crate::ManualClock;

const TIME: Duration = Duration::from_secs(10);

pub(super) async fn one_holder_at_a_time(store: &dyn Store, clock: &ManualClock) {
    let first = store.acquire("worker", "one", TIME).await.unwrap();
    let error = store.acquire("worker", "two", TIME).await.unwrap_err();
    assert!(matches!(&error, StoreError::Held { holder, .. } if holder == "one"), "{error}");
    store.acquire("another", "two", TIME).await.unwrap();
    clock.advance(TIME / 2).await;
    store.renew(&first, TIME).await.unwrap();
    clock.advance(TIME / 2).await;
    store.acquire("worker", "two", TIME).await.expect_err("a renewed lease was given away");
    clock.advance(TIME / 2).await;
    let second = store.acquire("worker", "two", TIME).await.unwrap();
    assert!(second.epoch > first.epoch, "{first:?} {second:?}");
    store.release(&second).await.unwrap();
    let third = store.acquire("worker", "one", TIME).await.unwrap();
    let fourth = store.acquire("worker", "one", TIME).await.unwrap();
    assert!(third.epoch > second.epoch && fourth.epoch > third.epoch);
}

pub(super) async fn an_old_lease_does_nothing(store: &dyn Store, clock: &ManualClock) {
    let old = store.acquire("worker", "one", TIME).await.unwrap();
    clock.advance(TIME).await;
    let new = store.acquire("worker", "two", TIME).await.unwrap();
    let error = store.renew(&old, TIME).await.unwrap_err();
    assert!(matches!(&error, StoreError::Held { holder, .. } if holder == "two"), "{error}");
    store.release(&old).await.unwrap();
    store.acquire("worker", "three", TIME).await.expect_err("an old lease released a new one");
    store.release(&new).await.unwrap();
    store.renew(&new, TIME).await.expect_err("a lease was renewed that had been given back");
}
