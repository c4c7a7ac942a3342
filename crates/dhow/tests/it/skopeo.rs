//! skopeo, a registry client that is not ours, against the registry of a running `dhow serve`.

use std::io::Write as _;
use std::path::Path;

use dhow_core::noun::Digest;
use serde_json::json;
use tokio::process::Command;

use crate::support::process::{Said, run};
use crate::support::{Fleet, SHOP, engines};

async fn skopeo(home: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new("skopeo");
    command.env("HOME", home).env("XDG_RUNTIME_DIR", home).env_remove("REGISTRY_AUTH_FILE");
    command.arg("--insecure-policy").args(arguments);
    run(command).await
}

/// An OCI layout of one image, tagged v1.
fn layout(folder: &Path) {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |media_type: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        std::fs::write(blobs.join(digest.to_string().trim_start_matches("sha256:")), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    };
    // A tar archive without entries. It is compressed, since skopeo would do so on its way.
    let archive = [0; 1024];
    let diff = Digest::of(&archive).to_string();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(&archive).unwrap();
    let layer = put("application/vnd.oci.image.layer.v1.tar+gzip", &packed.finish().unwrap());
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [diff]},
        "history": [{"created_by": "test"}],
    });
    let config = put("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
    let mut entry = put(media_type, manifest.to_string().as_bytes());
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

#[tokio::test]
async fn skopeo_copies_to_and_from_the_registry_with_a_token_and_not_without() {
    if engines::find("skopeo").is_none() {
        return;
    }
    let fleet = Fleet::with(&SHOP).await;
    let serve = fleet.serve().start().await;
    let (home, source) = (fleet.home(), fleet.folder().join("layout"));
    layout(&source);
    let from = format!("oci:{}:v1", source.display());
    let there = format!("docker://{}/acme/image:v1", serve.api);
    let back = format!("dir:{}", fleet.folder().join("back").display());
    let (reader, deployer) = (serve.token("rita", "reader").await, serve.token("dora", "deployer").await);
    let (reader, deployer) = (format!("anyone:{reader}"), format!("anyone:{deployer}"));

    let to = ["copy", "--dest-tls-verify=false", &from, &there];
    skopeo(&home, &to).await.refused(&["authentication required"]);
    let as_reader = [&to[..2], &["--dest-creds", &reader], &to[2..]].concat();
    skopeo(&home, &as_reader).await.refused(&["reader"]);
    let as_deployer = [&to[..2], &["--dest-creds", &deployer], &to[2..]].concat();
    skopeo(&home, &as_deployer).await.ok();

    let out = ["copy", "--src-tls-verify=false", &there, &back];
    skopeo(&home, &out).await.refused(&["a token is needed"]);
    let as_reader = [&out[..2], &["--src-creds", &reader], &out[2..]].concat();
    skopeo(&home, &as_reader).await.ok();
    let manifest = std::fs::read(fleet.folder().join("back/manifest.json")).unwrap();
    let index = std::fs::read_to_string(source.join("index.json")).unwrap();
    assert!(index.contains(&Digest::of(&manifest).to_string()), "what came back is what was sent");
    let list = ["list-tags", "--tls-verify=false", "--creds", &reader, there.trim_end_matches(":v1")];
    assert!(skopeo(&home, &list).await.ok().stdout.contains("\"v1\""));
}
