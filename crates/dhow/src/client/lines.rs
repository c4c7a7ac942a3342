//! An answer that goes on, one JSON document a line.

use anyhow::{Context as _, ensure};
use reqwest::Response;
use serde::de::DeserializeOwned;

/// Most bytes of a line: a piece of output in base64 fits many times.
const MOST: usize = 4 << 20;

/// The lines as they come.
pub struct Lines {
    response: Response,
    buffer: Vec<u8>,
    /// Of `buffer`, how much has been looked at and has no end of a line.
    seen: usize,
}

impl Lines {
    pub(super) fn new(response: Response) -> Self {
        Self { response, buffer: Vec::new(), seen: 0 }
    }

    /// The next document; none where the answer ended. Blank lines are signs of life.
    ///
    /// # Errors
    /// The connection broke, or this is not what the API gives.
    pub async fn next<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        loop {
            while let Some(end) = self.buffer[self.seen..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=self.seen + end).collect();
                self.seen = 0;
                if !line.trim_ascii().is_empty() {
                    let value = serde_json::from_slice(&line);
                    return value
                        .map(Some)
                        .context("this line is not as dhow writes it; is it the same version?");
                }
            }
            self.seen = self.buffer.len();
            ensure!(self.seen <= MOST, "a line of the answer is longer than {} MiB", MOST >> 20);
            match self.response.chunk().await.context("the answer was cut off")? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => {
                    ensure!(
                        self.buffer.trim_ascii().is_empty(),
                        "the answer was cut off in the middle of a line"
                    );
                    return Ok(None);
                }
            }
        }
    }
}
