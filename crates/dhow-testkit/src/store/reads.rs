#![expect(clippy::unwrap_used, reason = "a contract is a test: it panics where a promise is broken")]

use dhow_core::noun::{EnvironmentName, ServiceName, TargetType};
use dhow_core::port::{Batch, EventQuery, Expect, NewEvent, Scan, Store, Table};
use serde_json::json;

use super::contract::{event, put};

async fn keys(store: &dyn Store, scan: Scan) -> Vec<String> {
    store.scan(Table::Rollouts, scan).await.unwrap().into_iter().map(|row| row.key).collect()
}

async fn fill(store: &dyn Store, keys: &[&str]) {
    let puts = keys.iter().map(|key| put(key, Expect::Any, json!(key))).collect();
    store.commit(Batch { puts, events: vec![] }).await.unwrap();
}

pub(super) async fn scans_are_in_key_order(store: &dyn Store) {
    fill(store, &["b/2", "a", "b/1", "c", "b/10", "B", "b"]).await;
    let mut open = put("b/3", Expect::Any, json!(0));
    open.open = true;
    store.commit(Batch { puts: vec![open], events: vec![] }).await.unwrap();
    let all = Scan::default();
    let b = Scan { prefix: "b/".into(), ..all.clone() };
    assert_eq!(keys(store, all.clone()).await, ["B", "a", "b", "b/1", "b/10", "b/2", "b/3", "c"]);
    assert_eq!(keys(store, b.clone()).await, ["b/1", "b/10", "b/2", "b/3"]);
    let down = Scan { descending: true, ..b.clone() };
    assert_eq!(keys(store, down.clone()).await, ["b/3", "b/2", "b/10", "b/1"]);
    let after = |scan: &Scan, key: &str| Scan { after: Some(key.into()), ..scan.clone() };
    assert_eq!(keys(store, after(&b, "b/10")).await, ["b/2", "b/3"]);
    assert_eq!(keys(store, after(&b, "a")).await, ["b/1", "b/10", "b/2", "b/3"]);
    assert_eq!(keys(store, after(&b, "c")).await, [""; 0]);
    assert_eq!(keys(store, after(&down, "b/2")).await, ["b/10", "b/1"]);
    assert_eq!(keys(store, after(&down, "z")).await, ["b/3", "b/2", "b/10", "b/1"]);
    assert_eq!(keys(store, Scan { limit: Some(2), ..after(&b, "b/1") }).await, ["b/10", "b/2"]);
    assert_eq!(keys(store, Scan { limit: Some(0), ..b.clone() }).await, [""; 0]);
    assert_eq!(keys(store, Scan { open_only: true, ..all.clone() }).await, ["b/3"]);
    assert_eq!(keys(store, Scan { open_only: true, descending: true, ..all.clone() }).await, ["b/3"]);
    fill(store, &["b/3"]).await;
    assert_eq!(keys(store, Scan { open_only: true, ..all }).await, [""; 0], "a closed row is found as open");
}

pub(super) async fn prefixes_are_bytes_and_not_patterns(store: &dyn Store) {
    let awkward = ["%", "_", "a'b", "a\"b", "é", "é1", "\u{10ffff}", "\u{10ffff}x", "a;--", "*"];
    fill(store, &awkward).await;
    assert_eq!(keys(store, Scan::default()).await.len(), awkward.len());
    for prefix in ["%", "_", "a'", "é", "\u{10ffff}", "*", "zz"] {
        let mut expected: Vec<&str> = awkward.into_iter().filter(|k| k.starts_with(prefix)).collect();
        expected.sort_unstable();
        let found = keys(store, Scan { prefix: prefix.into(), ..Scan::default() }).await;
        assert_eq!(found, expected, "prefix {prefix:?}");
    }
}

pub(super) async fn documents_come_back_as_they_were(store: &dyn Store) {
    let body = json!({"z": 1, "a": [null, true, -1, u64::MAX, 0.5], "text": "é\n\0'\"\u{1f6f6}", "": {}});
    store.commit(Batch { puts: vec![put("a", Expect::Any, body.clone())], events: vec![] }).await.unwrap();
    let row = store.get(Table::Rollouts, "a").await.unwrap().unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&row.body).unwrap(), body);
    let full = NewEvent {
        kind: "rollout_queued".into(),
        schema: 7,
        service: Some(ServiceName::new("shop").unwrap()),
        target: Some(TargetType::StaticFile),
        environment: Some(EnvironmentName::new("prod").unwrap()),
        cause: Some(3),
        at_ms: -5,
        body,
    };
    store.commit(Batch { puts: vec![], events: vec![full.clone()] }).await.unwrap();
    assert_eq!(store.events(EventQuery::default()).await.unwrap()[0].event, full);
}

pub(super) async fn events_are_filtered_and_ordered(store: &dyn Store) {
    let of = |service: &str, environment: &str| NewEvent {
        service: Some(ServiceName::new(service).unwrap()),
        environment: Some(EnvironmentName::new(environment).unwrap()),
        ..event("seen")
    };
    let events = vec![of("a", "x"), of("b", "x"), event("none"), of("a", "y"), of("a", "x"), of("b", "y")];
    store.commit(Batch { puts: vec![], events }).await.unwrap();
    let read =
        async |query| -> Vec<u64> { store.events(query).await.unwrap().into_iter().map(|e| e.seq).collect() };
    let all = EventQuery::default();
    let a = EventQuery { service: Some(ServiceName::new("a").unwrap()), ..all.clone() };
    let x = EventQuery { environment: Some(EnvironmentName::new("x").unwrap()), ..all.clone() };
    let both = EventQuery { environment: x.environment.clone(), ..a.clone() };
    assert_eq!(read(all.clone()).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(read(EventQuery { descending: true, limit: 2, ..all.clone() }).await, [6, 5]);
    assert_eq!(read(EventQuery { after: 2, before: 5, ..all.clone() }).await, [3, 4]);
    assert_eq!(read(EventQuery { after: 6, ..all.clone() }).await, [0; 0]);
    assert_eq!(read(EventQuery { before: 4, descending: true, ..all }).await, [3, 2, 1]);
    assert_eq!(read(a.clone()).await, [1, 4, 5]);
    assert_eq!(read(EventQuery { descending: true, limit: 2, ..a }).await, [5, 4]);
    assert_eq!(read(x.clone()).await, [1, 2, 5]);
    assert_eq!(read(EventQuery { descending: true, ..x }).await, [5, 2, 1]);
    assert_eq!(read(both.clone()).await, [1, 5]);
    assert_eq!(read(EventQuery { descending: true, after: 1, ..both }).await, [5]);
}
