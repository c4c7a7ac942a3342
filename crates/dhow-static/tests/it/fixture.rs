//! Archives, releases and a running server.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use dhow_core::noun::{DeploymentId, Digest};
use dhow_static::{Content, LiveRelease, Releases, Resources, ServeOptions, Sites};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub fn id() -> DeploymentId {
    "shop/static_file/stage".parse().unwrap()
}

pub fn hash(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// An entry whose name is written as it is, also where the tar crate would refuse it.
pub struct Entry<'a> {
    pub name: &'a [u8],
    pub kind: tar::EntryType,
    pub content: &'a [u8],
}

pub fn file<'a>(name: &'a str, content: &'a str) -> Entry<'a> {
    Entry { name: name.as_bytes(), kind: tar::EntryType::Regular, content: content.as_bytes() }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..entry.name.len()].copy_from_slice(entry.name);
        header.set_entry_type(entry.kind);
        header.set_size(entry.content.len() as u64);
        header.set_mode(0o4777);
        if matches!(entry.kind, tar::EntryType::Symlink | tar::EntryType::Link) {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        builder.append(&header, entry.content).unwrap();
    }
    gzip(&builder.into_inner().unwrap())
}

/// The archive in small chunks, as a network gives it.
pub fn stream(archive: Vec<u8>) -> Content {
    let chunks: Vec<_> = archive.chunks(1000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    Content::archive(futures::stream::iter(chunks))
}

pub fn files(files: &[(&str, &str)]) -> Content {
    Content::Files(
        files.iter().map(|(p, text)| ((*p).to_owned(), Bytes::copy_from_slice(text.as_bytes()))).collect(),
    )
}

/// A server with one live release, and all that stands behind it.
pub struct Server {
    pub releases: Releases,
    pub resources: Arc<Resources>,
    pub sites: Sites,
    pub address: SocketAddr,
    pub stop: CancellationToken,
    pub task: JoinHandle<()>,
    pub dir: TempDir,
}

impl Server {
    pub async fn start(content: &[(&str, &str)], options: ServeOptions) -> Self {
        let dir = TempDir::new().unwrap();
        let releases = Releases::open(dir.path().join("sites")).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sites, stop) = (Sites::default(), CancellationToken::new());
        let task = tokio::spawn(dhow_static::web::serve(listener, sites.clone(), 100, stop.clone()));
        let server = Self { releases, resources: Arc::default(), sites, address, stop, task, dir };
        let live = server.load("1", files(content), options).await;
        server.releases.switch(&id(), hash("1")).await.unwrap();
        server.sites.set_live(live).unwrap();
        server
    }

    /// Prepares a release, without making it live.
    pub async fn load(&self, version: &str, content: Content, options: ServeOptions) -> Arc<LiveRelease> {
        let release = self.releases.prepare(&id(), hash(version), content, options).await.unwrap();
        LiveRelease::new(&release, &self.resources)
    }
}
