//! Connecting to a deployment.

use std::io;

use dhow_core::port::CheckAddress;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::answer::Deadline;

/// A connection of any kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects. The path of a unix socket is Dhow's own affair and is not named in answers.
pub(super) async fn connect(address: &CheckAddress, deadline: Deadline) -> Result<Box<dyn Stream>, String> {
    let (place, result) = match address {
        CheckAddress::Nowhere(why) => return Err(why.clone()),
        CheckAddress::Unix(path) => {
            let stream = deadline.wait(UnixStream::connect(path)).await;
            ("its socket".to_owned(), stream.map(|stream| stream.map(boxed)))
        }
        CheckAddress::Tcp(address) | CheckAddress::Tls(address) => {
            let stream = deadline.wait(TcpStream::connect(address)).await;
            (address.to_string(), stream.map(|stream| stream.map(boxed)))
        }
    };
    match result {
        Some(Ok(stream)) => Ok(stream),
        Some(Err(error)) => Err(format!("{}: {place}", reason(&error))),
        None => Err(format!("no connection within {}: {place}", deadline.words())),
    }
}

fn boxed(stream: impl Stream + 'static) -> Box<dyn Stream> {
    Box::new(stream)
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::NotFound => "nothing listens".to_owned(),
        _ => error.to_string(),
    }
}
