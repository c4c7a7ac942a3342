//! Visitors who come all the time: connections that are kept, requests of 5 s, WebSockets.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use dhow_testkit::asked_rounds;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::socket::Visitor;

/// What visitors saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Requests that were answered with 200.
    pub answered: AtomicU64,
    /// Of these, the ones of 5 s.
    pub long: AtomicU64,
    /// WebSockets that were open for as long as they were to be.
    pub sockets: AtomicU64,
    /// Requests that were not answered so.
    pub failed: AtomicU64,
    /// Connections that ended with something open on them.
    pub cut: AtomicU64,
    /// Connections that were reset before they had an answer, as soon as they were made: visitors see an error.
    pub reset: AtomicU64,
    /// Idle connections that the proxy closed when a request was on its way: any client sends it again.
    pub again: AtomicU64,
}

/// The load; ends when it is asked for what it saw.
pub struct Load {
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Begins.
    pub fn start(front: SocketAddr, host: &'static str) -> Self {
        let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        // In a test run other tests have the machine too.
        let slower = if asked_rounds().is_some() { 1 } else { 5 };
        for pause in [1, 1, 2, 3, 5, 10] {
            let pause = Duration::from_millis(pause * slower);
            tasks.spawn(kept(front, host, pause, seen.clone(), stop.clone()));
        }
        for n in 0..5 {
            tasks.spawn(long(front, host, n, seen.clone(), stop.clone()));
            tasks.spawn(socket(front, host, n, seen.clone(), stop.clone()));
        }
        Self { seen, stop, tasks }
    }

    /// Ends, when what is open is over.
    pub async fn end(mut self) -> Arc<Seen> {
        self.stop.store(true, SeqCst);
        while let Some(task) = self.tasks.join_next().await {
            task.unwrap();
        }
        self.seen
    }
}

/// A connection that ends this soon was never taken.
const SOON: Duration = Duration::from_millis(500);

async fn kept(front: SocketAddr, host: &str, pause: Duration, seen: Arc<Seen>, stop: Arc<AtomicBool>) {
    'connect: while !stop.load(SeqCst) {
        let Ok(mut visitor) = Visitor::connect(front, host).await else {
            seen.reset.fetch_add(1, SeqCst);
            continue;
        };
        let mut first = true;
        while !stop.load(SeqCst) {
            match visitor.get("/version", "").await {
                Ok(answer) if answer.status == 200 => {
                    seen.answered.fetch_add(1, SeqCst);
                    if answer.header("connection") == Some("close") {
                        continue 'connect;
                    }
                }
                Ok(answer) => {
                    eprintln!("failed: {answer:?}");
                    seen.failed.fetch_add(1, SeqCst);
                }
                Err(error) => {
                    let idle = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
                    let kind = match (idle.contains(&error.kind()), first) {
                        (true, false) => &seen.again,
                        (true, true) => &seen.reset,
                        (false, _) => &seen.failed,
                    };
                    kind.fetch_add(1, SeqCst);
                    continue 'connect;
                }
            }
            first = false;
            sleep(pause).await;
        }
    }
}

async fn long(front: SocketAddr, host: &str, n: u64, seen: Arc<Seen>, stop: Arc<AtomicBool>) {
    sleep(Duration::from_millis(n * 900)).await;
    while !stop.load(SeqCst) {
        let started = Instant::now();
        let answer = async { Visitor::connect(front, host).await?.get("/slow?ms=5000", "").await }.await;
        match answer {
            Ok(answer) if answer.status == 200 => {
                seen.answered.fetch_add(1, SeqCst);
                seen.long.fetch_add(1, SeqCst);
            }
            Ok(answer) => {
                eprintln!("failed: {answer:?}");
                seen.failed.fetch_add(1, SeqCst);
            }
            Err(error) => ended(&seen, started, &error),
        }
    }
}

async fn socket(front: SocketAddr, host: &str, n: u64, seen: Arc<Seen>, stop: Arc<AtomicBool>) {
    while !stop.load(SeqCst) {
        let started = Instant::now();
        let until = started + Duration::from_secs(3 + n % 4);
        let mut open = false;
        let visit = async {
            let mut visitor = Visitor::connect(front, host).await?;
            visitor.upgrade().await?;
            open = true;
            while Instant::now() < until {
                visitor.say("still here").await?;
                sleep(Duration::from_millis(100)).await;
            }
            std::io::Result::Ok(())
        };
        match visit.await {
            Ok(()) => {
                seen.sockets.fetch_add(1, SeqCst);
            }
            Err(error) if open => {
                eprintln!("cut: {error}");
                seen.cut.fetch_add(1, SeqCst);
            }
            Err(error) => ended(&seen, started, &error),
        }
    }
}

/// A request that had no answer: it was cut, or its connection was never taken.
fn ended(seen: &Seen, started: Instant, error: &std::io::Error) {
    eprintln!("ended after {:?}: {error}", started.elapsed());
    let kind = if started.elapsed() < SOON { &seen.reset } else { &seen.cut };
    kind.fetch_add(1, SeqCst);
}
