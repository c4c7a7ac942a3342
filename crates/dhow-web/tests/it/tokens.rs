use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use dhow_core::port::{Store as _, StoreError, Table};
use dhow_testkit::{ManualClock, MemoryStore};
use dhow_web::{Role, TokenError, Tokens};
use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};

use crate::fixture::Api;

fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Arc::new(ManualClock::default())))
}

#[tokio::test]
async fn a_removed_token_is_refused_at_once() {
    let api = Api::new();
    let admin = api.token(Role::Admin).await;
    let body = r#"{"name": "ci", "role": "deployer", "person": "alice"}"#;
    let (status, created) = api.call(&admin, "POST", "/api/v1/tokens", body).await;
    assert_eq!(status, StatusCode::CREATED);
    let secret = created["token"].as_str().unwrap();
    assert_eq!(api.call(secret, "GET", "/api/v1/status", "").await.0, StatusCode::OK);
    assert_eq!(api.call(&admin, "POST", "/api/v1/tokens", body).await.0, StatusCode::CONFLICT);
    assert_eq!(api.call(&admin, "DELETE", "/api/v1/tokens?name=ci", "").await.0, StatusCode::OK);
    assert_eq!(api.call(secret, "GET", "/api/v1/status", "").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(api.call(&admin, "DELETE", "/api/v1/tokens?name=ci", "").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_secret_is_shown_once_and_stored_as_a_hash_only() {
    let store = store();
    let tokens = Tokens::new(store.clone());
    let new = tokens.add("ci".parse().unwrap(), Role::Reader, None).await.unwrap();
    let secret = new.secret.expose_secret();
    let random = secret.strip_prefix("dhow_").unwrap();
    assert_eq!(random.len(), 43);
    assert!(random.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)));
    let row = store.get(Table::Tokens, "ci").await.unwrap().unwrap().body.to_string();
    assert!(!row.contains(random), "{row}");
    let identity = tokens.check(&new.secret).await.unwrap().unwrap();
    assert_eq!((identity.person.as_str(), identity.role), ("ci", Role::Reader));
}

#[tokio::test]
async fn a_token_outlives_the_process_and_nothing_else_is_one() {
    let store = store();
    let new = Tokens::new(store.clone()).add("ci".parse().unwrap(), Role::Reader, None).await.unwrap();
    let later = Tokens::new(Arc::new(store.after_crash()));
    assert!(later.check(&new.secret).await.unwrap().is_some());
    let near = format!("{}x", new.secret.expose_secret());
    let hash = new.row.hash.to_string();
    for wrong in [near, hash, String::new(), "ci".into(), "x".repeat(1 << 20)] {
        assert_eq!(later.check(&SecretString::from(wrong)).await.unwrap(), None);
    }
}

#[tokio::test]
async fn the_last_admin_cannot_be_removed() {
    let api = Api::new();
    let admin = api.token(Role::Admin).await;
    let (status, answer) = api.call(&admin, "DELETE", "/api/v1/tokens?name=admin", "").await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert_eq!(api.call(&admin, "GET", "/api/v1/tokens", "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_change_that_was_not_stored_changes_nothing() {
    let store = store();
    let tokens = Tokens::new(store.clone());
    let kept = tokens.add("kept".parse().unwrap(), Role::Admin, None).await.unwrap();
    store.fail_next_commit(StoreError::Failed("the disk is full".into()));
    let error = tokens.add("lost".parse().unwrap(), Role::Admin, None).await.err().unwrap();
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert_eq!(tokens.list().await.unwrap().len(), 1);
    assert!(tokens.check(&kept.secret).await.unwrap().is_some());
}

#[tokio::test]
async fn the_first_start_writes_an_admin_token_that_only_the_owner_can_read() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::new(store());
    let path = tokens.ensure_admin(dir.path()).await.unwrap().unwrap();
    assert_eq!(path, dir.path().join("admin.token"));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let secret = SecretString::from(std::fs::read_to_string(&path).unwrap().trim());
    let identity = tokens.check(&secret).await.unwrap().unwrap();
    assert_eq!((identity.role, identity.person.as_str()), (Role::Admin, "admin"));
    assert_eq!(tokens.ensure_admin(dir.path()).await.unwrap(), None);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left in the directory");
}

#[tokio::test]
async fn an_empty_file_gets_a_new_admin_token_and_the_former_one_counts_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::new(store());
    let path = tokens.ensure_admin(dir.path()).await.unwrap().unwrap();
    let read = || SecretString::from(std::fs::read_to_string(&path).unwrap().trim());
    let former = read();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(tokens.ensure_admin(dir.path()).await.unwrap(), None, "nobody asked for one");
    std::fs::write(&path, "").unwrap();
    assert!(tokens.ensure_admin(dir.path()).await.unwrap().is_some());
    assert_eq!(tokens.check(&read()).await.unwrap().unwrap().role, Role::Admin);
    assert!(tokens.check(&former).await.unwrap().is_none());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_first_start_cut_off_before_the_token_was_stored_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = store();
    store.fail_next_commit(StoreError::Failed("killed".into()));
    Tokens::new(store.clone()).ensure_admin(dir.path()).await.unwrap_err();
    let tokens = Tokens::new(Arc::new(store.after_crash()));
    let path = tokens.ensure_admin(dir.path()).await.unwrap().unwrap();
    let secret = SecretString::from(std::fs::read_to_string(path).unwrap().trim());
    assert!(tokens.check(&secret).await.unwrap().is_some());
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_is_told_with_its_path() {
    let tokens = Tokens::new(store());
    let error = tokens.ensure_admin("/nowhere/at/all".as_ref()).await.unwrap_err();
    assert!(matches!(&error, TokenError::System(m) if m.contains("/nowhere/at/all/admin.token")), "{error}");
    assert!(tokens.list().await.unwrap().is_empty());
}
