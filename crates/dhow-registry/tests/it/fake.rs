//! Registries that behave badly.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use dhow_core::noun::Repository;

#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub authorization: Option<String>,
    pub content_range: Option<String>,
    /// How many requests came before this one.
    pub number: usize,
}

pub struct Fake {
    pub address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

pub fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

impl Fake {
    pub async fn answering(answer: impl Fn(&Seen) -> Response + Clone + Send + Sync + 'static) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = seen.clone();
        let app = axum::Router::new().fallback(move |request: Request| {
            let authorization =
                request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
            let content_range =
                request.headers().get("content-range").map(|value| value.to_str().unwrap().to_owned());
            let path = request.uri().path_and_query().unwrap().as_str().to_owned();
            let mut log = log.lock().unwrap();
            let one = Seen {
                method: request.method().to_string(),
                path,
                authorization,
                content_range,
                number: log.len(),
            };
            log.push(one.clone());
            let response = answer(&one);
            async move { response }
        });
        Self { address: crate::support::serve(app).await, seen }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn repository(&self, path: &str) -> Repository {
        format!("{}/{path}", self.address).parse().unwrap()
    }
}
