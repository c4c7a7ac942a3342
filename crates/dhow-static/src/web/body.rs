use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use dhow_file::FileBytes;
use futures::Stream;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// The body of an answer.
pub(crate) enum SiteBody {
    /// From memory, in one piece.
    Bytes(Bytes),
    /// From disk. The length was promised: where the file is shorter, the connection breaks.
    File(FileBytes),
    /// From a thread that compresses, of unknown length.
    Channel(mpsc::Receiver<io::Result<Bytes>>),
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
            Self::File(stream) => {
                Poll::Ready(ready!(Pin::new(stream).poll_next(context)).map(|bytes| bytes.map(Frame::data)))
            }
            Self::Channel(receiver) => {
                Poll::Ready(ready!(receiver.poll_recv(context)).map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::File(stream) => stream.left() == 0,
            Self::Channel(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::File(stream) => SizeHint::with_exact(stream.left()),
            Self::Channel(_) => SizeHint::default(),
        }
    }
}
