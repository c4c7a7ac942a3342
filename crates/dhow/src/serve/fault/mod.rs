//! Death at a chosen instant: what the tests of crashes need inside of the process. Debug builds only.
//!
//! Every call that changes the world passes a point: it has a class, and a number in its class, from 1, in this process.
//! `DHOW_CRASH_LOG=FILE` notes each, a line a point. `DHOW_CRASH_AT=CLASS:NUMBER:SIDE` kills the process (SIGKILL)
//! there: `before` the call, `after` it, or `+N`, that is N microseconds after it began; of a bundle's content, N bytes.
//! `DHOW_BREAK=VARIANT` makes it break a promise, to show that the tests see it.

mod at;
mod broken;
mod fleet;
mod source;
mod store;
mod target;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use dhow_core::port::Store;
use dhow_engine::Ports;
use rustix::process::{Signal, getpid, kill_process};

use at::{At, Class, Side};
use broken::Broken;

/// What is to go wrong in this process. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Faults {
    inner: Arc<Inner>,
}

struct Inner {
    at: Option<At>,
    log: Option<PathBuf>,
    file: Option<Mutex<File>>,
    broken: Option<Broken>,
    passed: Mutex<BTreeMap<Class, u64>>,
}

impl Faults {
    /// Reads the variables; none of them set: nothing is disturbed, and nothing noted.
    ///
    /// # Errors
    /// A variable cannot be read, or the file not be written.
    pub fn from_env() -> Result<Self> {
        let said = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let log = said("DHOW_CRASH_LOG").map(PathBuf::from);
        let file = log.as_ref().map(|path| {
            let file = File::options().create(true).append(true).open(path);
            file.with_context(|| format!("DHOW_CRASH_LOG: {} cannot be written", path.display()))
        });
        let inner = Inner {
            at: said("DHOW_CRASH_AT").map(|text| text.parse()).transpose()?,
            file: file.transpose()?.map(Mutex::new),
            log,
            broken: said("DHOW_BREAK").map(|text| text.parse()).transpose()?,
            passed: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The store, disturbed.
    pub fn store(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        if self.is_quiet() { store } else { Arc::new(store::Disturbed::new(store, self.clone())) }
    }

    /// The other ports, disturbed. The store must have been before.
    pub fn ports(&self, mut ports: Ports) -> Ports {
        if self.is_quiet() {
            return ports;
        }
        ports.fleet = Arc::new(fleet::Disturbed::new(ports.fleet, self.clone()));
        ports.source = Arc::new(source::Disturbed::new(ports.source, self.clone()));
        for target in ports.targets.values_mut() {
            *target = Arc::new(target::Disturbed::new(Arc::clone(target), self.clone()));
        }
        ports
    }

    fn is_quiet(&self) -> bool {
        self.inner.at.is_none() && self.inner.file.is_none() && self.inner.broken.is_none()
    }

    fn broken(&self, variant: Broken) -> bool {
        self.inner.broken == Some(variant)
    }

    /// A file beside the log, which outlives the process.
    fn beside(&self, end: &str) -> Option<PathBuf> {
        self.inner.log.as_ref().map(|log| log.with_extension(end))
    }

    /// Passes a point: does the effect, unless the process ends first.
    async fn pass<T>(&self, class: Class, words: String, effect: impl Future<Output = T>) -> T {
        let side = self.arrive(class, &words);
        match side {
            Some(Side::Before) => self.die(),
            Some(Side::Within(micros)) => {
                let faults = self.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_micros(micros));
                    faults.die();
                });
            }
            _ => {}
        }
        let result = effect.await;
        if side == Some(Side::After) {
            self.die();
        }
        result
    }

    /// Counts and notes a point; where the process is to end there, the side.
    fn arrive(&self, class: Class, words: &str) -> Option<Side> {
        let number = {
            let mut passed = self.inner.passed.lock().unwrap_or_else(PoisonError::into_inner);
            let number = passed.entry(class).or_default();
            *number += 1;
            *number
        };
        self.note(&format!("{class} {number} {words}"));
        self.inner.at.filter(|at| at.class == class && at.number == number).map(|at| at.side)
    }

    fn note(&self, line: &str) {
        if let Some(file) = &self.inner.file {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = file.write_all(format!("{line}\n").as_bytes()) {
                tracing::error!(%error, "the log of points cannot be written");
            }
        }
    }

    /// The end of this process, as if somebody had pulled the plug.
    fn die(&self) -> ! {
        self.note("died");
        loop {
            if let Err(error) = kill_process(getpid(), Signal::KILL) {
                tracing::error!(%error, "this process cannot kill itself");
            }
            std::thread::park_timeout(Duration::from_secs(1));
        }
    }
}
