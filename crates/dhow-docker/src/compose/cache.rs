//! What Compose answered before: the same files and the same question have the same answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use dhow_core::noun::Digest;

/// Answers that are kept; when there are more, all are forgotten.
const MOST: usize = 512;

/// Answers by the hash of their question.
#[derive(Default)]
pub(super) struct Cache(Mutex<BTreeMap<Digest, Vec<u8>>>);

impl Cache {
    /// The key of a question.
    pub(super) fn key(argv: &[String], input: &[u8]) -> Digest {
        let mut text = argv.join("\0").into_bytes();
        text.extend(b"\0\0");
        text.extend(input);
        Digest::of(&text)
    }

    pub(super) fn get(&self, key: &Digest) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(super) fn put(&self, key: Digest, answer: Vec<u8>) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MOST {
            answers.clear();
        }
        answers.insert(key, answer);
    }
}
