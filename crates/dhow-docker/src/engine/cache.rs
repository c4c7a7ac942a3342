//! What Compose and `docker stack` answered before: the same files and the same question have the same answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use dhow_core::noun::Digest;
use dhow_core::port::{Command, Output, TargetError};

use crate::compose::site::Site;

/// Answers that are kept; when there are more, all are forgotten.
const MOST: usize = 512;

/// Answers by the hash of their question.
#[derive(Default)]
pub(crate) struct Cache(Mutex<BTreeMap<Digest, Vec<u8>>>);

impl Cache {
    /// The key of a question.
    pub(crate) fn key(argv: &[String], input: &[u8]) -> Digest {
        let mut text = argv.join("\0").into_bytes();
        text.extend(b"\0\0");
        text.extend(input);
        Digest::of(&text)
    }

    /// Runs a command whose answer depends on nothing but itself and its place, once.
    ///
    /// # Errors
    /// The place does not answer, or what `failed` makes of another exit code than 0.
    pub(crate) async fn ask(
        &self,
        site: &Site,
        command: Command,
        failed: impl Fn(&Output) -> TargetError,
    ) -> Result<Vec<u8>, TargetError> {
        let place = format!("{:?}{:?}", site.place(), command.env);
        let input = [place.as_bytes(), command.stdin.as_deref().unwrap_or_default()].concat();
        let key = Self::key(&command.argv, &input);
        if let Some(answer) = self.get(&key) {
            return Ok(answer);
        }
        let output = site.run(&command).await?;
        if !output.ok() {
            return Err(failed(&output));
        }
        self.put(key, output.stdout.clone());
        Ok(output.stdout)
    }

    /// A known answer.
    pub(crate) fn get(&self, key: &Digest) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Keeps an answer.
    pub(crate) fn put(&self, key: Digest, answer: Vec<u8>) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MOST {
            answers.clear();
        }
        answers.insert(key, answer);
    }
}
