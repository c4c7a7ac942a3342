//! What the tests of checks stand on: a server that answers by script, and a clock on which waiting takes no time.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dhow_core::fleet::{CheckSpec, Probe};
use dhow_core::port::{CheckAddress, Clock, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::task::AbortOnDropHandle;

use super::CheckContext;
use super::connect::Stream;

/// At the end of an answer: nothing more comes, and the connection stays open.
pub(super) const OPEN: &str = "<open>";

/// Answers each connection with the next text of its script, and with the last one from then on.
pub(super) struct Server {
    pub(super) address: CheckAddress,
    pub(super) requests: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    pub(super) async fn tcp(script: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = CheckAddress::Tcp(listener.local_addr().unwrap());
        let (requests, script) = (Arc::default(), owned(script));
        let heard = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            for count in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, script[count.min(script.len() - 1)].clone(), Arc::clone(&heard)));
            }
        });
        Self { address, requests, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) async fn unix(path: PathBuf, script: &[&str]) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let (requests, script) = (Arc::default(), owned(script));
        let heard = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            for count in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, script[count.min(script.len() - 1)].clone(), Arc::clone(&heard)));
            }
        });
        Self { address: CheckAddress::Unix(path), requests, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn context(&self) -> CheckContext<'_> {
        CheckContext { address: &self.address, host: "site.stage.localhost", allow_commands: false }
    }

    pub(super) fn heard(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn owned(script: &[&str]) -> Vec<String> {
    script.iter().map(ToString::to_string).collect()
}

async fn serve(mut stream: impl Stream, answer: String, heard: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    heard.lock().unwrap().push(String::from_utf8(request).unwrap());
    let open = answer.strip_suffix(OPEN);
    // The client may have seen enough already.
    let _ = stream.write_all(open.unwrap_or(&answer).as_bytes()).await;
    if open.is_some() {
        std::future::pending::<()>().await;
    }
}

/// An answer with a length.
pub(super) fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A check of `/health` that wants 200 and perhaps a text.
pub(super) fn http(contains: Option<&str>) -> CheckSpec {
    CheckSpec::new(Probe::Http {
        url: "https://{host}/health?deep=1".into(),
        status: 200,
        contains: contains.map(Into::into),
        headers: [("X-Probe".to_owned(), "yes".to_owned())].into(),
    })
}

/// A clock that goes forward only by sleeping, and then at once.
#[derive(Default)]
pub(super) struct Leaping {
    now: Mutex<Duration>,
    pub(super) slept: Mutex<Vec<Duration>>,
}

#[async_trait]
impl Clock for Leaping {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Instant {
        Instant(u64::try_from(self.now.lock().unwrap().as_millis()).unwrap())
    }

    async fn sleep(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
        self.slept.lock().unwrap().push(time);
    }
}
