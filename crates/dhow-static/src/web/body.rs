use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;

const CHUNK: usize = 128 << 10;

/// The body of an answer.
pub(crate) enum SiteBody {
    /// From memory, in one piece.
    Bytes(Bytes),
    /// From disk, this many bytes.
    File { stream: ReaderStream<tokio::io::Take<tokio::fs::File>>, left: u64 },
    /// From a thread that compresses, of unknown length.
    Channel(mpsc::Receiver<io::Result<Bytes>>),
}

impl SiteBody {
    pub(super) fn file(file: tokio::fs::File, length: u64) -> Self {
        let reader = tokio::io::AsyncReadExt::take(file, length);
        Self::File { stream: ReaderStream::with_capacity(reader, CHUNK), left: length }
    }
}

impl Body for SiteBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::File { stream, left } => {
                let chunk = ready!(Pin::new(stream).poll_next(context));
                if let Some(Ok(bytes)) = &chunk {
                    *left = left.saturating_sub(bytes.len() as u64);
                }
                if chunk.is_none() && *left > 0 {
                    // The length was promised: the connection must break, not end as if all were well.
                    *left = 0;
                    return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                }
                Poll::Ready(chunk.map(|bytes| bytes.map(Frame::data)))
            }
            Self::Channel(receiver) => {
                Poll::Ready(ready!(receiver.poll_recv(context)).map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::File { left, .. } => *left == 0,
            Self::Channel(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::File { left, .. } => SizeHint::with_exact(*left),
            Self::Channel(_) => SizeHint::default(),
        }
    }
}
