use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

use crate::chunk::{Buffer, Buffers, CHUNK};

/// A part of a file, in pieces of at most 128 KiB.
///
/// It ends after exactly `length` bytes. A file that is shorter ends it with [`io::ErrorKind::UnexpectedEof`]: whoever
/// was promised a length must not take a shorter body for whole. Needs a runtime of tokio.
#[derive(Debug)]
pub struct FileBytes {
    file: Arc<File>,
    at: u64,
    left: u64,
    buffers: Buffers,
    reading: Option<JoinHandle<io::Result<(Buffer, usize)>>>,
}

impl FileBytes {
    /// `length` bytes from the offset `first` on.
    pub fn new(buffers: &Buffers, file: impl Into<Arc<File>>, first: u64, length: u64) -> Self {
        Self { file: file.into(), at: first, left: length, buffers: buffers.clone(), reading: None }
    }

    /// The bytes that are still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// What is next, where nothing has to be waited for.
    fn read_now(&mut self) -> Option<io::Result<Bytes>> {
        let size = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
        let mut buffer = self.buffers.take(size);
        let slices = &mut [IoSliceMut::new(&mut buffer[..size])];
        match preadv2(&*self.file, slices, self.at, ReadWriteFlags::NOWAIT) {
            Ok(length) => Some(self.got(buffer, length)),
            Err(Errno::INTR | Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                let (file, at) = (Arc::clone(&self.file), self.at);
                let read = move || {
                    let length = loop {
                        match file.read_at(&mut buffer[..size], at) {
                            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                            read => break read?,
                        }
                    };
                    Ok((buffer, length))
                };
                self.reading = Some(tokio::task::spawn_blocking(read));
                None
            }
            Err(error) => Some(Err(error.into())),
        }
    }

    fn got(&mut self, buffer: Buffer, length: usize) -> io::Result<Bytes> {
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += length as u64;
        self.left -= length as u64;
        Ok(self.buffers.lend(buffer, length))
    }
}

impl Stream for FileBytes {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.reading.is_none()
            && let Some(now) = self.read_now()
        {
            return Poll::Ready(Some(self.ended(now)));
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
        let read = read.and_then(|(buffer, length)| self.got(buffer, length));
        Poll::Ready(Some(self.ended(read)))
    }
}

impl FileBytes {
    /// After an error there is nothing more.
    fn ended(&mut self, read: io::Result<Bytes>) -> io::Result<Bytes> {
        if read.is_err() {
            self.left = 0;
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, TryStreamExt as _};

    use super::*;

    fn file(size: usize) -> (tempfile::NamedTempFile, Vec<u8>) {
        let bytes: Vec<u8> = (0..size).map(|number| (number % 251) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        (file, bytes)
    }

    async fn read(stream: FileBytes) -> io::Result<Vec<u8>> {
        let chunks: Vec<Bytes> = stream.try_collect().await?;
        Ok(chunks.concat())
    }

    #[tokio::test]
    async fn every_part_comes_whole_and_in_order() {
        let (kept, bytes) = file(3 * CHUNK + 17);
        for (first, length) in [(0, bytes.len()), (5, CHUNK), (CHUNK, 2 * CHUNK + 17), (9, 0)] {
            let stream =
                FileBytes::new(&Buffers::default(), kept.reopen().unwrap(), first as u64, length as u64);
            assert_eq!(read(stream).await.unwrap(), bytes[first..first + length]);
        }
    }

    #[tokio::test]
    async fn what_is_not_in_memory_comes_from_the_disk() {
        let (kept, bytes) = file(2 * CHUNK);
        let opened = kept.reopen().unwrap();
        opened.sync_all().unwrap();
        rustix::fs::fadvise(&opened, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        assert_eq!(
            read(FileBytes::new(&Buffers::default(), opened, 0, bytes.len() as u64)).await.unwrap(),
            bytes
        );
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_than_promised_is_an_error_and_no_end() {
        let (kept, bytes) = file(1_000);
        let mut stream = FileBytes::new(&Buffers::default(), kept.reopen().unwrap(), 0, 2_000);
        assert_eq!(stream.next().await.unwrap().unwrap(), bytes);
        let error = stream.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(stream.next().await.is_none());
    }
}
