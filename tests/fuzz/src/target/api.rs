//! The API: whatever is asked, it answers; and nothing is done for those who show no token.

use std::sync::Arc;

use dhow_testkit::{ManualClock, MemoryStore};
use dhow_web::{AppState, Role, Tokens, router};
use http::{HeaderValue, header};
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;

use super::nobody::Nobody;
use super::requests::{self, runtime};

/// Requests. Each is sent without a token, and again with an admin's.
pub(super) fn body(data: &[u8]) {
    runtime().block_on(async {
        let tokens = Tokens::new(Arc::new(MemoryStore::new(Arc::new(ManualClock::default()))));
        let new = tokens.add("root".parse().expect("a name"), Role::Admin, None).await.expect("a token");
        let bearer = HeaderValue::from_str(&format!("Bearer {}", new.secret.expose_secret())).expect("text");
        let engine = Arc::new(Nobody::default());
        let router = router(AppState::new(engine.clone(), tokens, CancellationToken::new()));
        for (known, unknown) in requests::read(data).into_iter().zip(requests::read(data)) {
            requests::send(&router, unknown).await;
            assert_eq!(engine.asked(), 0, "something was asked of the engine without a token");
            let mut known = known;
            known.headers_mut().insert(header::AUTHORIZATION, bearer.clone());
            requests::send(&router, known).await;
            engine.forget();
        }
    });
}
