use axum::body::Body;
use dhow_web::Role;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;

use crate::fixture::{Api, request};

async fn follow(api: &Api, token: &str, query: &str, last: Option<&str>) -> Response<Body> {
    let mut builder = request(token, "GET", &format!("/api/v1/events{query}"));
    if let Some(last) = last {
        builder = builder.header("last-event-id", last);
    }
    api.send(builder.body(Body::empty()).unwrap()).await
}

/// The next event's text; none where the connection ended.
async fn next(response: &mut Response<Body>) -> Option<String> {
    let frame = response.body_mut().frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn a_client_that_was_cut_off_goes_on_where_it_was_and_misses_nothing() {
    let api = Api::new();
    let token = api.token(Role::Reader).await;
    for n in 1..=3 {
        api.engine.happen("shop", &format!("n{n}"));
    }
    let mut response = follow(&api, &token, "", Some("1")).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let event = next(&mut response).await.unwrap();
    assert!(event.contains("id: 2") && event.contains("event: stalled") && event.contains("n2"), "{event}");
    assert!(event.contains(r#"{"seq":2,"at":"2023-11-14T22:13:20.123Z","kind":"stalled""#), "{event}");
    assert!(next(&mut response).await.unwrap().contains("id: 3"));
    api.engine.happen("shop", "n4");
    assert!(next(&mut response).await.unwrap().contains("id: 4"));
}

#[tokio::test]
async fn more_events_than_one_page_arrive_all_and_in_order() {
    let api = Api::new();
    let token = api.token(Role::Reader).await;
    for n in 1..=450 {
        api.engine.happen("shop", &format!("n{n}"));
    }
    let mut response = follow(&api, &token, "?after=0", None).await;
    for n in 1..=450 {
        assert!(next(&mut response).await.unwrap().contains(&format!("id: {n}\n")), "{n}");
    }
}

#[tokio::test]
async fn without_a_number_only_what_happens_from_now_on_is_sent() {
    let api = Api::new();
    let token = api.token(Role::Reader).await;
    api.engine.happen("shop", "before");
    let mut response = follow(&api, &token, "", None).await;
    api.engine.happen("shop", "after");
    assert!(next(&mut response).await.unwrap().contains("id: 2"));
}

#[tokio::test]
async fn a_number_of_a_lost_database_does_not_silence_the_connection() {
    let api = Api::new();
    let token = api.token(Role::Reader).await;
    let mut response = follow(&api, &token, "", Some("900")).await;
    api.engine.happen("shop", "first");
    assert!(next(&mut response).await.unwrap().contains("id: 1"));
}

#[tokio::test]
async fn a_filter_leaves_out_other_services() {
    let api = Api::new();
    let token = api.token(Role::Reader).await;
    let mut response = follow(&api, &token, "?service=shop&after=0", None).await;
    api.engine.happen("other", "x");
    api.engine.happen("shop", "y");
    assert!(next(&mut response).await.unwrap().contains("id: 2"));
}

#[tokio::test]
async fn connections_end_when_dhow_stops() {
    let api = Api::new();
    let token = api.token(Role::Reader).await;
    let mut response = follow(&api, &token, "", None).await;
    api.shutdown.cancel();
    assert_eq!(next(&mut response).await, None);
}

#[tokio::test]
async fn a_connection_ends_with_the_removal_of_its_token() {
    let api = Api::new();
    let token = api.token(Role::Reader).await;
    let mut response = follow(&api, &token, "", None).await;
    api.tokens.remove("reader".parse().unwrap()).await.unwrap();
    api.engine.happen("shop", "secret");
    assert_eq!(next(&mut response).await, None);
}

#[tokio::test]
async fn a_last_event_id_that_is_no_number_is_refused() {
    let api = Api::new();
    let token = api.token(Role::Reader).await;
    assert_eq!(follow(&api, &token, "", Some("x")).await.status(), StatusCode::BAD_REQUEST);
}
