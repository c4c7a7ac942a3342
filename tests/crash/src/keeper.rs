//! A `dhow serve` that is started again whenever it dies, as a service manager does.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::lab::clean;
use crate::point::Point;

/// How a process is started.
#[derive(Debug, Clone)]
pub struct Start {
    /// The binary.
    pub dhow: PathBuf,
    /// Its home.
    pub home: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment beside what is clean.
    pub environment: Vec<(String, String)>,
}

/// Where a running process listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// The API and the registry.
    pub api: String,
    /// The sites.
    pub sites: String,
}

enum Order {
    Kill(oneshot::Sender<()>),
    End(oneshot::Sender<()>),
}

#[derive(Default)]
struct Seen {
    deaths: usize,
    problems: Vec<String>,
    said: String,
    /// Which life it is, and how much was said before it. What an earlier one still says moves no door.
    life: usize,
    before: usize,
}

/// Keeps a process running. Dropped, it kills it.
pub struct Keeper {
    orders: mpsc::Sender<Order>,
    door: watch::Receiver<Option<Door>>,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keeper {
    /// Starts it. Each life ends at its point; when they are used up, nothing disturbs it any more.
    pub fn start(start: Start, lives: Vec<Point>) -> Self {
        let (orders, received) = mpsc::channel(4);
        let (sender, door) = watch::channel(None);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let life = Life { start, door: sender, seen: Arc::clone(&seen), orders: received };
        Self { orders, door, seen, task: tokio::spawn(life.run(lives)) }
    }

    /// Where it listens, once it does.
    ///
    /// # Errors
    /// It does not start in this time.
    pub async fn door(&self, patience: Duration) -> Result<Door> {
        let mut door = self.door.clone();
        let up = tokio::time::timeout(patience, door.wait_for(Option::is_some)).await;
        match up {
            Ok(Ok(door)) => door.clone().context("it went away"),
            _ => bail!("dhow does not start: {}", self.said()),
        }
    }

    /// `kill -9`, and it is started again.
    pub async fn kill(&self) {
        self.order(Order::Kill).await;
    }

    /// `kill -TERM`, and it is not started again.
    pub async fn end(&self) {
        self.order(Order::End).await;
    }

    async fn order(&self, order: fn(oneshot::Sender<()>) -> Order) {
        let (done, finished) = oneshot::channel();
        if self.orders.send(order(done)).await.is_ok() {
            drop(finished.await);
        }
    }

    /// How often it was killed.
    pub fn deaths(&self) -> usize {
        seen(&self.seen).deaths
    }

    /// What went wrong with the process itself: it ended when nobody killed it, or it panicked.
    pub fn problems(&self) -> Vec<String> {
        seen(&self.seen).problems.clone()
    }

    /// The last that it said on stderr.
    pub fn said(&self) -> String {
        seen(&self.seen).last_lines(0, 30).join("\n")
    }
}

struct Life {
    start: Start,
    door: watch::Sender<Option<Door>>,
    seen: Arc<Mutex<Seen>>,
    orders: mpsc::Receiver<Order>,
}

/// So often a process may end by itself before it is given up.
const ENDS: usize = 3;
/// How long the last words of one that ended are waited for.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Life {
    async fn run(mut self, lives: Vec<Point>) {
        let mut lives = lives.into_iter();
        let mut ends = 0;
        while ends < ENDS {
            let life = lives.next();
            let (mut child, mut reader) = match self.begin(life.as_ref()) {
                Ok(begun) => begun,
                Err(error) => return self.problem(format!("dhow cannot be started: {error:#}")),
            };
            let ended = tokio::select! {
                status = child.wait() => Some(status),
                order = self.orders.recv() => {
                    let Some(order) = order else { return };
                    if self.obey(order, &mut child).await { return }
                    None
                }
            };
            self.close_door();
            match ended {
                None => self.died(),
                Some(Ok(status)) if life.is_some() && is_killed(status) => self.died(),
                Some(status) => {
                    ends += 1;
                    // What it started may keep its stderr open.
                    drop(tokio::time::timeout(LAST_WORDS, &mut reader).await);
                    let words = {
                        let seen = seen(&self.seen);
                        seen.last_lines(seen.before, 3).join(" | ")
                    };
                    self.problem(format!("dhow ended by itself, {status:?}, and said: {words}"));
                }
            }
        }
    }

    fn died(&self) {
        seen(&self.seen).deaths += 1;
    }

    /// Nobody listens there any more, whatever the one that died still has to say.
    fn close_door(&self) {
        let mut seen = seen(&self.seen);
        seen.life += 1;
        self.door.send_replace(None);
    }

    /// True: it is not to be started again.
    async fn obey(&self, order: Order, child: &mut Child) -> bool {
        let (done, end) = match order {
            Order::Kill(done) => (done, false),
            Order::End(done) => (done, true),
        };
        if let (true, Some(pid)) = (end, child.id()) {
            let mut kill = Command::new("kill");
            drop(kill.args(["-TERM", &pid.to_string()]).status().await);
            let limit = Duration::from_secs(15);
            match tokio::time::timeout(limit, child.wait()).await {
                // One that has only just begun does not know the signal yet.
                Ok(Ok(status)) if status.success() || status.signal() == Some(15) => {}
                status => self.problem(format!("dhow did not stop as it should: {status:?}")),
            }
        }
        drop(child.kill().await);
        self.close_door();
        let _ = done.send(());
        end
    }

    /// A process, and what reads its stderr.
    fn begin(&self, life: Option<&Point>) -> Result<(Child, JoinHandle<()>)> {
        let mut command = clean(&self.start.dhow, &self.start.home);
        command.args(&self.start.arguments).envs(self.start.environment.iter().cloned());
        if let Some(point) = life {
            command.env("DHOW_CRASH_AT", point.at());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stderr = child.stderr.take().context("stderr is piped")?;
        let life = {
            let mut seen = seen(&self.seen);
            seen.before = seen.said.len();
            seen.life
        };
        let (told, door) = (Arc::clone(&self.seen), self.door.clone());
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut seen = seen(&told);
                if line.contains("panicked at") {
                    seen.problems.push(line.clone());
                }
                seen.said.push_str(&line);
                seen.said.push('\n');
                if let Some(found) = listens(&line).filter(|_| seen.life == life) {
                    door.send_replace(Some(found));
                }
            }
        });
        Ok((child, reader))
    }

    fn problem(&self, problem: String) {
        seen(&self.seen).problems.push(problem);
    }
}

fn seen(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    /// The last lines of what was said from a byte on.
    fn last_lines(&self, from: usize, count: usize) -> Vec<String> {
        let lines: Vec<&str> = self.said[from..].lines().collect();
        lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
    }
}

fn is_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

/// `dhow listens on http://A, sites on http://B`
fn listens(line: &str) -> Option<Door> {
    let (api, sites) = line.strip_prefix("dhow listens on http://")?.split_once(", sites on http://")?;
    Some(Door { api: api.replace("0.0.0.0", "127.0.0.1"), sites: sites.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_says_where_it_listens_is_read() {
        let door = listens("dhow listens on http://0.0.0.0:81, sites on http://127.0.0.1:82");
        assert_eq!(door, Some(Door { api: "127.0.0.1:81".into(), sites: "127.0.0.1:82".into() }));
        assert_eq!(listens("stopping"), None);
    }
}
