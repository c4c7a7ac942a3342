use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use dhow_testkit::{ManualClock, MemoryStore};
use dhow_web::{AppState, Role, Tokens, router};
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::engine::FakeEngine;

/// The routes, and what stands behind them.
pub struct Api {
    pub engine: Arc<FakeEngine>,
    pub tokens: Tokens,
    pub shutdown: CancellationToken,
    router: Router,
}

impl Api {
    pub fn new() -> Self {
        let engine = Arc::new(FakeEngine::default());
        let tokens = Tokens::new(Arc::new(MemoryStore::new(Arc::new(ManualClock::default()))));
        let shutdown = CancellationToken::new();
        let state = AppState::new(engine.clone(), tokens.clone(), shutdown.clone());
        Self { engine, tokens, shutdown, router: router(state) }
    }

    /// A token of this role, of a person of the role's name.
    pub async fn token(&self, role: Role) -> String {
        let new = self.tokens.add(role.as_str().parse().unwrap(), role, None).await.unwrap();
        new.secret.expose_secret().to_owned()
    }

    pub async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn call(&self, token: &str, method: &str, path: &str, body: &str) -> (StatusCode, Value) {
        let request = request(token, method, path).body(Body::from(body.to_owned())).unwrap();
        read(self.send(request).await).await
    }

    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.engine.asked.lock().unwrap())
    }
}

pub fn request(token: &str, method: &str, path: &str) -> http::request::Builder {
    let builder = Request::builder().method(method).uri(path);
    if token.is_empty() { builder } else { builder.header(header::AUTHORIZATION, format!("Bearer {token}")) }
}

pub async fn read(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let json = serde_json::from_slice(&bytes)
        .unwrap_or_else(|e| panic!("{status}, {e}: {}", String::from_utf8_lossy(&bytes)));
    (status, json)
}
