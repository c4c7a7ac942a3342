//! What the commands of a step say: the rollout's log. It is stored while the step runs, so that people can follow it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dhow_core::noun::DeploymentId;
use dhow_core::port::{Lines, Stream};
use dhow_core::rollout::Event;

use crate::engine::Inner;
use crate::journal::Entry;

/// How often it is stored.
const STORE_EVERY: Duration = Duration::from_secs(1);
/// Most lines of one step, all its tries together.
const MAX_LINES: usize = 500;
/// Most characters of one line.
const MAX_LINE: usize = 500;
/// Most lines of a try that the next one is compared with.
const COMPARED: usize = 2 * MAX_LINES;

/// What the steps of a rollout said, as long as its task lives.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    rollout: u64,
    steps: HashMap<String, Arc<Said>>,
}

impl Heard {
    /// What a step said so far; another rollout begins anew.
    fn of(&mut self, rollout: u64, key: &str) -> Arc<Said> {
        if self.rollout != rollout {
            *self = Self { rollout, steps: HashMap::new() };
        }
        Arc::clone(self.steps.entry(key.to_owned()).or_default())
    }
}

/// The lines of one step. What a try says again like the one before it is not stored again.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<Lined>);

#[derive(Debug, Default)]
struct Lined {
    /// Those that are not stored yet.
    waiting: Vec<String>,
    /// How many were kept.
    kept: usize,
    /// What the try before said.
    before: Vec<String>,
    /// What this one says.
    now: Vec<String>,
    /// It says something else than the one before.
    differs: bool,
}

/// Whose step it is.
pub(super) struct About {
    pub deployment: DeploymentId,
    pub rollout: u64,
    pub key: String,
}

impl Lines for Said {
    fn line(&self, _: Stream, line: &str) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line: String = line.chars().take(MAX_LINE).collect();
        let at = said.now.len();
        if at < COMPARED {
            said.now.push(line.clone());
        }
        said.differs |= said.before.get(at) != Some(&line);
        if !said.differs {
            return;
        }
        said.kept += 1;
        if said.kept <= MAX_LINES {
            said.waiting.push(line);
        } else if said.kept == MAX_LINES + 1 {
            said.waiting.push(format!("(more than {MAX_LINES} lines; the rest is not kept)"));
        }
    }
}

impl Said {
    /// Another try begins.
    fn begin(&self) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.before = std::mem::take(&mut said.now);
        said.differs = false;
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting)
    }
}

impl Inner {
    /// Who hears what a step says in a try that begins.
    pub(super) fn listener(&self, about: &About) -> Arc<Said> {
        let heard = self.worker(&about.deployment).heard;
        let said = heard.lock().unwrap_or_else(PoisonError::into_inner).of(about.rollout, &about.key);
        said.begin();
        said
    }

    /// Waits for an effect, and stores meanwhile what its commands say. A crash loses at most a second of it.
    pub(super) async fn telling<T>(
        &self,
        said: &Said,
        about: &About,
        effect: impl Future<Output = T> + Send,
    ) -> T {
        let mut effect = std::pin::pin!(effect);
        loop {
            let ended = tokio::select! {
                biased;
                ended = &mut effect => Some(ended),
                () = self.ports.clock.sleep(STORE_EVERY) => None,
            };
            let lines = said.take();
            if !lines.is_empty() {
                let About { deployment, rollout, key } = about;
                let (deployment, rollout, key) = (deployment.clone(), *rollout, key.clone());
                let mut entry = Entry::new();
                entry.event(Event::StepSaid { deployment, rollout, key, lines });
                if let Err(error) = self.journal.write(entry).await {
                    tracing::warn!(%error, "what a step said could not be stored; the step goes on");
                }
            }
            if let Some(ended) = ended {
                return ended;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_says_too_much_is_cut_and_says_so() {
        let said = Said::default();
        (0..MAX_LINES * 2).for_each(|_| said.line(Stream::Out, &"x".repeat(MAX_LINE * 2)));
        let lines = said.take();
        assert_eq!(lines.len(), MAX_LINES + 1);
        assert!(lines[MAX_LINES].contains("the rest is not kept"));
        assert!(lines.iter().all(|line| line.len() <= MAX_LINE));
        assert!(said.take().is_empty());
    }

    #[test]
    fn a_try_that_says_the_same_again_is_not_stored_again_and_all_tries_share_one_limit() {
        let said = Heard::default().of(1, "pull");
        let tell = |lines: &[&str]| {
            said.begin();
            lines.iter().for_each(|line| said.line(Stream::Err, line));
            said.take()
        };
        assert_eq!(tell(&["pulling", "no route"]), ["pulling", "no route"]);
        assert!(tell(&["pulling", "no route"]).is_empty());
        assert_eq!(tell(&["pulling", "denied", "no route"]), ["denied", "no route"]);
        let kept: usize = (0..MAX_LINES).map(|at| tell(&[&format!("try {at}")]).len()).sum();
        assert_eq!(kept, MAX_LINES - 4 + 1, "the limit is of each try");
        let mut heard = Heard::default();
        let first = heard.of(1, "pull");
        assert!(Arc::ptr_eq(&first, &heard.of(1, "pull")));
        assert!(!Arc::ptr_eq(&first, &heard.of(2, "pull")), "another rollout");
    }
}
