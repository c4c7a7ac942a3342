//! How answers are worded, and the time that a try has.

use std::time::Duration;

use tokio::time::Instant;

/// Characters of an answer.
pub(super) const LONGEST: usize = 500;

/// Characters of an outside text in an answer.
const EXCERPT: usize = 300;

/// No try is longer than this, so that no moment overflows.
const LONGEST_TRY: Duration = Duration::from_secs(24 * 60 * 60);

/// The end of a try.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    time: Duration,
}

impl Deadline {
    /// A try that begins now.
    pub(super) fn after(time: Duration) -> Self {
        Self { at: Instant::now() + time.min(LONGEST_TRY), time }
    }

    /// What the future gives, or `None` where the time is over first.
    pub(super) async fn wait<T>(self, future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout_at(self.at, future).await.ok()
    }

    /// The time of the whole try, for people.
    pub(super) fn words(self) -> String {
        words(self.time)
    }
}

/// A duration for people: `5 s`, `50 ms`.
pub(super) fn words(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}

/// The first `longest` characters at most; an ellipsis tells that there were more.
pub(super) fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(longest.saturating_sub(1)).chain(['…']).collect()
}

/// The beginning of an outside text, in quotes, with everything escaped that could disturb a terminal.
pub(super) fn beginning(bytes: &[u8]) -> String {
    let bytes = bytes.get(..EXCERPT * 4).unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    format!("{:?}", cut(text.trim(), EXCERPT))
}

/// The end of an outside text, likewise: where commands say what went wrong.
pub(super) fn ending(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    let extra = text.chars().count().saturating_sub(EXCERPT);
    if extra == 0 {
        return format!("{text:?}");
    }
    format!("{:?}", ['…'].into_iter().chain(text.chars().skip(extra + 1)).collect::<String>())
}
