//! The embedded registry: whatever is asked, it answers, and gives out only what came in, by its digest.

use std::sync::Arc;

use dhow_registry::server::{NothingInUse, Open, Registry, Settings, Silent, router};

use super::bundles::scratch;
use super::requests::{self, runtime};

/// Requests. `{location}` in a path stands for where the last upload goes on.
pub(super) fn body(data: &[u8]) {
    let folder = scratch();
    let mut settings = Settings::new(folder.path().join("registry"));
    (settings.max_blob, settings.max_manifest, settings.max_uploads) = (64 << 10, 16 << 10, 4);
    let registry = Registry::open(settings, Arc::new(Open), Arc::new(NothingInUse), Arc::new(Silent));
    let router = router(registry.expect("an empty registry can be opened"));
    runtime().block_on(async {
        let mut location = String::new();
        for mut request in requests::read(data) {
            let path = request.uri().to_string();
            if let Some(rest) = path.strip_prefix("/LOCATION") {
                let Ok(uri) = format!("{location}{rest}").parse() else { continue };
                *request.uri_mut() = uri;
            }
            let (_, headers) = requests::send(&router, request).await;
            if let Some(next) = headers.get("location").and_then(|next| next.to_str().ok()) {
                location = next.to_owned();
            }
        }
    });
    let beside = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(beside, 1, "the registry wrote beside its folder");
}
