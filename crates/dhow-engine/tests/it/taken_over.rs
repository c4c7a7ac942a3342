//! Another Dhow has taken over: this one changes nothing any more, and says so.

use std::time::Duration;

use dhow_core::port::Store as _;
use dhow_engine::Engine;

use crate::holds::at;

const STAGE: &str = "shop/static_file/stage";

#[test]
fn who_lost_the_lease_carries_nothing_and_is_not_ready() {
    let mut world = at(&["1.0.0"]);
    assert_eq!(world.ask(async |engine| Ok(engine.not_ready())).unwrap(), None);
    let store = world.store.clone();
    world.ask(async |_| Ok(store.acquire("engine", "test", Duration::from_secs(30)).await?)).unwrap();
    world.publish("shop/web", "2.0.0");
    world.settle();
    let told = world.ask(async |engine| Ok(engine.not_ready())).unwrap();
    assert!(told.is_some_and(|why| why.contains("another one has taken over")), "{told:?}");
    assert_eq!(world.running(STAGE), "1.0.0");
    let problems = world.ask(async |engine| engine.status(None).await).unwrap().problems;
    assert!(problems.iter().any(|problem| problem.contains("another one has taken over")), "{problems:?}");
}

#[test]
fn who_is_stopped_was_not_taken_over() {
    let mut world = at(&["1.0.0"]);
    let stop = async |engine: &Engine| {
        engine.stop(Duration::from_secs(1)).await;
        Ok(())
    };
    world.ask(stop).unwrap();
    assert_eq!(world.ask(async |engine| Ok(engine.not_ready())).unwrap(), None);
}
