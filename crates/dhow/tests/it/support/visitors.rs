//! Visitors: requests one after another, each counted, while something else happens.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{DEADLINE, Serve};

/// Between two requests of one visitor.
const PACE: Duration = Duration::from_millis(10);
/// A visitor who waits longer than this has gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Two people who ask for one page again and again: one keeps the connection, the other makes a new one each time.
pub struct Visitors {
    stop: CancellationToken,
    counted: Arc<Mutex<Counted>>,
    people: Vec<JoinHandle<()>>,
}

/// What they saw.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// Requests that were answered with 200.
    pub answered: usize,
    /// Requests that were not, each with what came in place of a page.
    pub failed: Vec<String>,
    /// The different pages, trimmed.
    pub pages: BTreeSet<String>,
}

impl Visitors {
    /// Visitors of a site that `serve` serves itself.
    pub fn of_site(serve: &Serve, host: &str) -> Self {
        Self::of(&format!("http://{}/", serve.sites), host, &[true, false])
    }

    /// One visitor who keeps the connection.
    pub fn kept(serve: &Serve, host: &str) -> Self {
        Self::of(&format!("http://{}/", serve.sites), host, &[true])
    }

    /// Visitors of an address; `keeping` says of each whether the connection is kept.
    pub fn of(url: &str, host: &str, keeping: &[bool]) -> Self {
        let (stop, counted): (_, Arc<Mutex<Counted>>) = (CancellationToken::new(), Arc::default());
        let people = keeping.iter().map(|keeps| {
            let (url, host) = (url.to_owned(), host.to_owned());
            let (stop, counted) = (stop.clone(), Arc::clone(&counted));
            let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
            let client = if *keeps { client } else { client.pool_max_idle_per_host(0) }.build().unwrap();
            tokio::spawn(async move {
                loop {
                    let seen = visit(&client, &url, &host).await;
                    note(&mut counted.lock().unwrap(), seen);
                    if stop.is_cancelled() {
                        return;
                    }
                    tokio::time::sleep(PACE).await;
                }
            })
        });
        let people = people.collect();
        Self { stop, counted, people }
    }

    /// What was counted so far.
    pub fn so_far(&self) -> Counted {
        self.counted.lock().unwrap().clone()
    }

    /// Waits until so many were answered, or one was not.
    pub async fn answered(&self, many: usize) {
        let look = async {
            while self.so_far().answered < many && self.so_far().failed.is_empty() {
                tokio::time::sleep(PACE).await;
            }
        };
        tokio::time::timeout(DEADLINE, look).await.unwrap();
    }

    /// Sends them home. Everybody was answered, and with these pages only.
    #[track_caller]
    pub fn saw_only(self, pages: &[&str]) -> impl Future<Output = usize> {
        let at = std::panic::Location::caller();
        self.stop.cancel();
        async move {
            for person in self.people {
                person.await.unwrap();
            }
            let Counted { answered, failed, pages: seen } = self.counted.lock().unwrap().clone();
            eprintln!("{}:{}: {answered} answered, {} failed", at.file(), at.line(), failed.len());
            assert!(failed.is_empty(), "{at}: {} of {answered} failed: {:?}", failed.len(), failed.first());
            assert!(answered > 0, "{at}: nobody asked");
            let unexpected: Vec<&String> =
                seen.iter().filter(|page| !pages.contains(&page.as_str())).collect();
            assert!(unexpected.is_empty(), "{at}: visitors saw {unexpected:?}");
            answered
        }
    }
}

async fn visit(client: &reqwest::Client, url: &str, host: &str) -> Result<String, String> {
    let response = client.get(url).header("host", host).send().await.map_err(|e| format!("{e:?}"))?;
    let status = response.status();
    let text = response.text().await.map_err(|e| format!("{e:?}"))?;
    if status == 200 { Ok(text.trim().to_owned()) } else { Err(format!("{status}: {text}")) }
}

fn note(counted: &mut Counted, seen: Result<String, String>) {
    match seen {
        Ok(page) => {
            counted.answered += 1;
            counted.pages.insert(page);
        }
        Err(why) => counted.failed.push(why),
    }
}
