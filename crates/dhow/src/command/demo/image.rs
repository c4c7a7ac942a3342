//! An image `FROM scratch` that holds this very program: nothing is downloaded or compiled for the demo.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use dhow_core::noun::{Digest, ImageReference, Tag};
use dhow_registry::client::{BlobSource, Client};
use dhow_registry::media::{Descriptor, OCI_CONFIG, OCI_MANIFEST, TAR};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Folder of the libraries in the image.
const LIBRARIES: &str = "lib";
/// The program in the image.
const PROGRAM: &str = "dhow";

/// The layer that all versions share.
pub struct Layer {
    file: PathBuf,
    digest: Digest,
    size: u64,
    entrypoint: Vec<String>,
}

impl Layer {
    /// Packs this program and the libraries that it runs with into an archive in `folder`.
    ///
    /// # Errors
    /// This is no Linux, or a file cannot be read.
    pub fn of_this_program(folder: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("this program's own file is not known")?;
        let maps = std::fs::read_to_string("/proc/self/maps")
            .context("/proc is not there: the demo's image can be made on Linux only")?;
        let libraries = libraries(&maps);
        let file = folder.join("layer.tar");
        let mut archive = tar::Builder::new(std::fs::File::create(&file)?);
        archive.mode(tar::HeaderMode::Deterministic);
        // Engines read plain entries only.
        archive.sparse(false);
        archive.append_path_with_name(&program, PROGRAM)?;
        for library in &libraries {
            let name = library.file_name().context("a library without a name")?;
            archive.append_path_with_name(library, Path::new(LIBRARIES).join(name))?;
        }
        archive.into_inner()?.sync_all()?;
        let mut hasher = Sha256::new();
        let (mut packed, mut buffer, mut size) = (std::fs::File::open(&file)?, vec![0; 1 << 16], 0u64);
        loop {
            let read = packed.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            size += read as u64;
        }
        let digest = format!("sha256:{}", hex::encode(hasher.finalize())).parse()?;
        Ok(Self { file, digest, size, entrypoint: entrypoint(&libraries) })
    }

    /// Pushes a version that is made of this layer and these variables.
    pub async fn push(
        &self,
        client: &Client,
        reference: &ImageReference,
        variables: &[(&str, &str)],
    ) -> Result<Digest> {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => bail!("no name of the architecture {other} is known for images"),
        };
        let variables: Vec<String> =
            variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let config = Bytes::from(serde_json::to_vec(&json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Entrypoint": self.entrypoint, "Env": variables },
            "rootfs": { "type": "layers", "diff_ids": [self.digest.to_string()] },
        }))?);
        let described = Descriptor::new(OCI_CONFIG, Digest::of(&config), config.len() as u64);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": described,
            "layers": [Descriptor::new(TAR, self.digest, self.size)],
        });
        let repository = &reference.repository;
        client.push_blob(repository, &self.digest, &BlobSource::File(self.file.clone())).await?;
        client.push_blob(repository, &described.digest, &BlobSource::Bytes(config)).await?;
        let tag: Option<&Tag> = reference.tag.as_ref();
        ensure!(tag.is_some(), "the reference {reference} has no tag");
        Ok(client.push_manifest(repository, tag, OCI_MANIFEST, serde_json::to_vec(&manifest)?.into()).await?)
    }
}

/// The shared objects that a process has mapped, its loader among them.
fn libraries(maps: &str) -> BTreeSet<PathBuf> {
    let paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    paths.filter(|path| path.starts_with('/') && path.contains(".so")).map(PathBuf::from).collect()
}

/// A program that needs libraries is started by their loader, wherever it is.
fn entrypoint(libraries: &BTreeSet<PathBuf>) -> Vec<String> {
    let names = libraries.iter().filter_map(|path| path.file_name()?.to_str());
    let loader =
        names.filter(|name| name.starts_with("ld-")).map(|name| format!("/{LIBRARIES}/{name}")).next();
    let mut words = match loader {
        Some(loader) => vec![loader, "--library-path".into(), format!("/{LIBRARIES}")],
        None => Vec::new(),
    };
    words.extend([format!("/{PROGRAM}"), "demo-site".to_owned()]);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_starts_a_program_that_has_one() {
        let maps = "7f1-7f2 r-xp 00000000 08:01 1 /usr/lib/x86_64-linux-gnu/libc.so.6\n\
                    7f3-7f4 r--p 00000000 08:01 2 /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2\n\
                    7f5-7f6 r--p 00000000 08:01 3 /opt/dhow\n7f7-7f8 rw-p 00000000 00:00 0 [stack]\n";
        let found = libraries(maps);
        assert_eq!(found.len(), 2);
        let expected = ["/lib/ld-linux-x86-64.so.2", "--library-path", "/lib", "/dhow", "demo-site"];
        assert_eq!(entrypoint(&found), expected);
        assert_eq!(entrypoint(&BTreeSet::new()), ["/dhow", "demo-site"]);
    }
}
