use dhow_core::rollout::Event;
use dhow_web::Role;
use dhow_web::shape::{History, Status};
use serde_json::Value;

use crate::engine::full_status;
use crate::fixture::Api;

/// Every field of the value stands in the schema, and every required field of the schema in the value.
fn matches(document: &Value, schema: &Value, value: &Value, at: &str) {
    if value.is_null() {
        return;
    }
    let schema = schema["anyOf"].get(0).unwrap_or(schema);
    if let Some(reference) = schema["$ref"].as_str() {
        return matches(document, document.pointer(&reference[1..]).unwrap(), value, at);
    }
    if let (Some(list), Some(items)) = (value.as_array(), schema.get("items")) {
        assert!(!list.is_empty(), "{at} shows nothing to test");
        list.iter().for_each(|v| matches(document, items, v, at));
    }
    if let (Some(map), Some(properties)) = (value.as_object(), schema.get("properties")) {
        for (key, value) in map {
            let property = properties.get(key);
            if let Some(property) = property {
                matches(document, property, value, &format!("{at}.{key}"));
            } else {
                assert_eq!(schema["additionalProperties"], true, "{at}.{key} is not in the document");
            }
        }
        for required in schema["required"].as_array().unwrap() {
            assert!(map.contains_key(required.as_str().unwrap()), "{at} has no {required}");
        }
    }
}

#[tokio::test]
async fn every_answer_has_the_shape_that_the_document_says() {
    let api = Api::new();
    let token = api.token(Role::Admin).await;
    api.engine.happen("shop", "a reason");
    let (_, document) = api.call("", "GET", "/api/v1/openapi.json", "").await;
    for (method, path, route, body) in [
        ("get", "status", "status", ""),
        ("get", "history", "history", ""),
        ("get", "plan/shop/stage", "plan/{service}/{environment}", ""),
        ("get", "processes", "processes", ""),
        ("get", "quarantine", "quarantine", ""),
        ("get", "tokens", "tokens", ""),
        ("post", "tokens", "tokens", r#"{"name": "n", "role": "reader", "person": "p"}"#),
        ("post", "sync/shop/stage", "sync/{service}/{environment}", ""),
    ] {
        let operation = &document["paths"][format!("/api/v1/{route}")][method];
        let (status, answer) =
            api.call(&token, &method.to_uppercase(), &format!("/api/v1/{path}"), body).await;
        let schema = &operation["responses"][status.as_str()]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {path} answered {status}, which the document does not know");
        matches(&document, schema, &answer, path);
    }
    let (_, answer) = api.call("", "GET", "/api/v1/status", "").await;
    matches(&document, &document["components"]["schemas"]["ErrorBody"], &answer, "error");
}

#[tokio::test]
async fn status_is_as_the_design_has_it() {
    let api = Api::new();
    let token = api.token(Role::Reader).await;
    let (_, answer) = api.call(&token, "GET", "/api/v1/status?service=shop", "").await;
    assert_eq!(api.asked(), ["status Some(ServiceName(\"shop\"))"]);
    insta::assert_json_snapshot!(answer);
}

#[tokio::test]
async fn a_client_reads_back_what_was_sent() {
    let api = Api::new();
    let token = api.token(Role::Reader).await;
    api.engine.happen("shop", "a reason");
    let (_, answer) = api.call(&token, "GET", "/api/v1/history", "").await;
    let history: History = serde_json::from_value(answer).unwrap();
    assert!(matches!(&history.events[0].event, Event::Stalled { reason, .. } if reason == "a reason"));
    let (_, answer) = api.call(&token, "GET", "/api/v1/status", "").await;
    assert_eq!(serde_json::from_value::<Status>(answer).unwrap(), full_status());
}
