//! The API's document, made from the page of routes: what is not on that page is not served.

use http::Method;
use serde_json::{Map, Value, json};

use crate::router::Endpoint;

/// The shapes, by the names that the routes use.
const SCHEMAS: &str = include_str!("schemas.json");

/// The OpenAPI 3.1 document of these routes.
pub(crate) fn document(endpoints: &[Endpoint]) -> Value {
    let mut paths = Map::new();
    for endpoint in endpoints {
        let path = paths.entry(format!("/api/v1{}", endpoint.path)).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] = operation(endpoint);
    }
    for path in ["/healthz", "/readyz"] {
        let responses = json!({"200": {"description": "yes"}, "503": {"description": "not yet, or no more"}});
        paths.insert(path.into(), json!({"get": {"security": [], "responses": responses}}));
    }
    let own = json!({"get": {"summary": "This document", "security": [], "responses": {"200": {"description": "it"}}}});
    paths.insert("/api/v1/openapi.json".into(), own);
    let schemas: Value = serde_json::from_str(SCHEMAS).unwrap_or_default();
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Dhow", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "Apache-2.0"}},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let parts = endpoint.path.split('/');
    let in_path = parts.filter_map(|p| p.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Vec<Value> = in_path
        .map(|name| parameter(name, "path", true))
        .chain(endpoint.query.iter().map(|name| parameter(name, "query", endpoint.method == Method::DELETE)))
        .collect();
    let status = if endpoint.gives == "TokenCreated" { "201" } else { "200" };
    let media = match endpoint.gives {
        "HistoryEntry" => "text/event-stream",
        "LogEntry" | "ExecEntry" => "application/x-ndjson",
        _ => "application/json",
    };
    let needs = format!("Needs a token with the role {}.", endpoint.needs.roles());
    let mut operation = json!({
        "summary": endpoint.summary,
        "description": needs,
        "parameters": parameters,
        "responses": {
            status: {"description": "done", "content": {media: {"schema": reference(endpoint.gives)}}},
            "default": {
                "description": "refused or failed",
                "content": {"application/json": {"schema": reference("ErrorBody")}},
            },
        },
    });
    if let Some(takes) = endpoint.takes {
        operation["requestBody"] = json!({"content": {"application/json": {"schema": reference(takes)}}});
    }
    operation
}

fn parameter(name: &str, place: &str, required: bool) -> Value {
    let kind = match name {
        "after" | "before" | "limit" | "lines" => "integer",
        "newest_first" | "follow" => "boolean",
        _ => "string",
    };
    json!({"name": name, "in": place, "required": required, "schema": {"type": kind}})
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::endpoints;

    /// All `$ref`s below a value.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(|r| r.as_str()).map(str::to_owned));
                map.values().for_each(|v| references(v, found));
            }
            Value::Array(list) => list.iter().for_each(|v| references(v, found)),
            _ => {}
        }
    }

    #[test]
    fn every_route_and_every_shape_it_names_is_in_the_document() {
        let document = document(&endpoints());
        for endpoint in endpoints() {
            let method = endpoint.method.as_str().to_lowercase();
            let operation = &document["paths"][format!("/api/v1{}", endpoint.path)][&method];
            assert_eq!(operation["summary"], endpoint.summary, "{method} {}", endpoint.path);
        }
        let mut names = Vec::new();
        references(&document, &mut names);
        assert!(names.len() > endpoints().len());
        for name in names {
            assert!(document.pointer(&name[1..]).is_some(), "{name} is not there");
        }
    }
}
