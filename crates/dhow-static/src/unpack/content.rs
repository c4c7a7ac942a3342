use std::fmt;
use std::io::{self, Read};

use bytes::{Buf, Bytes};
use futures::stream::{BoxStream, StreamExt};
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio_util::io::ReaderStream;

/// Chunks that wait between the stream and the thread that unpacks.
const QUEUE: usize = 8;

/// What a release is made of.
pub enum Content {
    /// The bytes of a tar.gz archive.
    Archive(BoxStream<'static, io::Result<Bytes>>),
    /// Files by path, such as those that stand in the fleet.
    Files(Vec<(String, Bytes)>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(_) => f.write_str("Archive"),
            Self::Files(files) => write!(f, "Files({})", files.len()),
        }
    }
}

impl Content {
    /// An archive that arrives as a stream of chunks. Nothing is read before it is unpacked.
    pub fn archive(stream: impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self::Archive(stream.boxed())
    }

    /// An archive that is read from a file, a pipe or a connection.
    pub fn reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Self::archive(ReaderStream::with_capacity(reader, 64 << 10))
    }
}

/// The same, for the thread that unpacks.
pub(crate) enum BlockingContent {
    Archive(StreamReader),
    Files(Vec<(String, Bytes)>),
}

/// Runs blocking work and feeds it the content. When the returned future is dropped, the work sees its stream end
/// with [`SourceEnd::Cancelled`], so that it can tidy up behind itself.
pub(crate) async fn run_with_content<T: Send + 'static>(
    content: Content,
    work: impl FnOnce(BlockingContent) -> T + Send + 'static,
) -> Result<T, JoinError> {
    let mut stream = match content {
        Content::Files(files) => {
            return tokio::task::spawn_blocking(move || work(BlockingContent::Files(files))).await;
        }
        Content::Archive(stream) => stream,
    };
    let (sender, receiver) = mpsc::channel(QUEUE);
    let reader = StreamReader { receiver, chunk: Bytes::new(), end: None };
    let work = tokio::task::spawn_blocking(move || work(BlockingContent::Archive(reader)));
    loop {
        let message = tokio::select! {
            () = sender.closed() => break,
            next = stream.next() => match next {
                Some(Ok(chunk)) => Message::Chunk(chunk),
                Some(Err(error)) => Message::Failed(error),
                None => Message::End,
            },
        };
        let more = matches!(message, Message::Chunk(_));
        if sender.send(message).await.is_err() || !more {
            break;
        }
    }
    work.await
}

enum Message {
    Chunk(Bytes),
    Failed(io::Error),
    End,
}

/// How the stream ended. Kept apart from the `io::Error`s that come out of the decoders, which cannot tell a
/// damaged archive from a broken connection.
pub(crate) enum SourceEnd {
    Whole,
    Failed(io::Error),
    Cancelled,
}

/// The blocking end of the stream.
pub(crate) struct StreamReader {
    receiver: mpsc::Receiver<Message>,
    chunk: Bytes,
    pub(crate) end: Option<SourceEnd>,
}

impl StreamReader {
    /// Reads what is left, and why it ended early if it did.
    pub(crate) fn failure(&mut self) -> Option<io::Error> {
        let mut buffer = vec![0; 64 << 10];
        while self.read(&mut buffer).is_ok_and(|read| read > 0) {}
        match self.end.take() {
            Some(SourceEnd::Failed(error)) => Some(error),
            _ => None,
        }
    }
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match &self.end {
                Some(SourceEnd::Whole) => return Ok(0),
                Some(_) => return Err(io::ErrorKind::BrokenPipe.into()),
                None => {}
            }
            match self.receiver.blocking_recv() {
                Some(Message::Chunk(chunk)) => self.chunk = chunk,
                Some(Message::End) => self.end = Some(SourceEnd::Whole),
                Some(Message::Failed(error)) => self.end = Some(SourceEnd::Failed(error)),
                None => self.end = Some(SourceEnd::Cancelled),
            }
        }
        let length = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
