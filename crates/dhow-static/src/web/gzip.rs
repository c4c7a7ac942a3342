//! Compression on the fly, for files that came without a packed form.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::body::SiteBody;
use super::file::File;
use super::live::LiveRelease;
use super::load::{on_a_thread, open, read_checked};

/// Up to this size a file is compressed in one piece, and the result kept where there is room.
const WHOLE: u64 = 4 << 20;
/// Small enough for a busy server, and nearly as good as the best.
const LEVEL: Compression = Compression::new(5);
const CHUNK: usize = 64 << 10;
const QUEUE: usize = 4;

/// The file, compressed. The permit is given back when the work is done.
pub(super) async fn compress(
    live: &LiveRelease,
    file: &File,
    permit: OwnedSemaphorePermit,
) -> io::Result<SiteBody> {
    let (path, entry) = (live.dir.join(&*file.path), file.entry);
    if entry.size > WHOLE {
        let opened = on_a_thread(move || open(&path, &entry)).await?;
        return Ok(stream(opened, permit));
    }
    let packed = on_a_thread(move || {
        let _permit = permit;
        let bytes = read_checked(open(&path, &entry)?, &entry)?;
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), LEVEL);
        encoder.write_all(&bytes)?;
        let mut packed = encoder.finish()?;
        packed.shrink_to_fit();
        Ok(Bytes::from(packed))
    })
    .await?;
    if live.share.reserve(packed.len()) && file.gzipped.set(packed.clone()).is_err() {
        live.share.release(packed.len());
    }
    Ok(SiteBody::Bytes(packed))
}

fn stream(mut file: std::fs::File, permit: OwnedSemaphorePermit) -> SiteBody {
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut encoder = GzEncoder::new(Sender { sender: sender.clone(), chunk: Vec::new() }, LEVEL);
        let written = io::copy(&mut file, &mut encoder).and_then(|_| encoder.finish()?.flush());
        if let Err(error) = written {
            // Nobody listens any more, or the file cannot be read: then the connection must break.
            let _gone = sender.blocking_send(Err(error));
        }
    });
    SiteBody::Channel(receiver)
}

/// Hands compressed bytes over in chunks of some size.
struct Sender {
    sender: mpsc::Sender<io::Result<Bytes>>,
    chunk: Vec<u8>,
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.chunk));
        self.sender.blocking_send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
