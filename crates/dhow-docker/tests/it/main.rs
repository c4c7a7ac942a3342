//! What is promised of Docker places and of the proxies in front of them, on real engines.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod proxy;
