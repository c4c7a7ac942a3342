//! What the commands of a step say: the rollout's log. It is stored while the step runs, so that people can follow it.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dhow_core::noun::DeploymentId;
use dhow_core::port::{Lines, Stream};
use dhow_core::rollout::Event;

use crate::engine::Inner;
use crate::journal::Entry;

/// How often it is stored.
const STORE_EVERY: Duration = Duration::from_secs(1);
/// Most lines of one step.
const MAX_LINES: usize = 500;
/// Most characters of one line.
const MAX_LINE: usize = 500;

/// The lines of one step that are not stored yet.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<String>,
    heard: usize,
}

/// Whose step it is.
pub(super) struct About {
    pub deployment: DeploymentId,
    pub rollout: u64,
    pub key: String,
}

impl Lines for Said {
    fn line(&self, _: Stream, line: &str) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.heard += 1;
        if waiting.heard <= MAX_LINES {
            waiting.lines.push(line.chars().take(MAX_LINE).collect());
        } else if waiting.heard == MAX_LINES + 1 {
            waiting.lines.push(format!("(more than {MAX_LINES} lines; the rest is not kept)"));
        }
    }
}

impl Said {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).lines)
    }
}

impl Inner {
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
}
