//! One command's answer as it comes in: its bytes within their limits, and what the place says of it.

use dhow_core::port::{Lines, Stream};
use tokio::sync::Notify;

use super::stream::Sink;

/// Most bytes of standard output.
const MOST_OUT: usize = 16 << 20;
/// Bytes of standard error that are kept: the last ones.
const KEPT_ERR: usize = 64 << 10;
/// Bytes that are kept of what was said before the command began.
const KEPT_NOISE: usize = 8 << 10;

/// What the place says of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// It ended with this code; or it was ended, because of its time.
    End { code: i32, timed_out: bool },
    /// Programs that the place does not have.
    Missing(String),
    /// A higher epoch was there.
    Fenced(u64),
    /// A later command of ours was there.
    Stale,
    /// The lock is held by a rollout.
    Busy { rollout: String, epoch: String },
    /// An older command cannot be ended.
    Stuck(String),
    /// The command's program is not there.
    Program(String),
    /// Its folder cannot be entered.
    Folder(String),
    /// Something of Dhow's own could not be written.
    Refused(String),
}

impl Word {
    fn read(line: &str) -> Option<Self> {
        let (head, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        Some(match head {
            "end" => {
                let (code, why) = rest.split_once(' ')?;
                Self::End { code: code.parse().ok()?, timed_out: why == "time" }
            }
            "missing" => Self::Missing(rest.split_whitespace().collect::<Vec<_>>().join(", ")),
            "fenced" => Self::Fenced(rest.parse().ok()?),
            "stale" => Self::Stale,
            "busy" => {
                let (rollout, epoch) = rest.split_once(' ')?;
                Self::Busy { rollout: rollout.into(), epoch: epoch.into() }
            }
            "stuck" => Self::Stuck(rest.into()),
            "program" => Self::Program(rest.into()),
            "folder" => Self::Folder(rest.into()),
            "refused" => Self::Refused(rest.into()),
            _ => return None,
        })
    }
}

/// One of the two streams.
pub(crate) struct Half<'a> {
    which: Stream,
    lines: &'a dyn Lines,
    /// The command's bytes.
    pub(crate) kept: Vec<u8>,
    /// What came before it began: a login shell's greeting, or SSH's complaint.
    pub(crate) noise: Vec<u8>,
    /// It began.
    pub(crate) began: bool,
    /// Is told when it begins.
    pub(crate) begun: Option<&'a Notify>,
    /// What the place said of it; the stream is complete.
    pub(crate) word: Option<Word>,
    /// More came than is taken.
    pub(crate) overflow: bool,
}

impl<'a> Half<'a> {
    pub(crate) fn new(which: Stream, lines: &'a dyn Lines) -> Self {
        Self {
            which,
            lines,
            kept: Vec::new(),
            noise: Vec::new(),
            began: false,
            begun: None,
            word: None,
            overflow: false,
        }
    }

    /// The last bytes of standard error, and no more.
    pub(crate) fn into_kept(mut self) -> Vec<u8> {
        if self.which == Stream::Err {
            keep_last(&mut self.kept, KEPT_ERR);
        }
        self.kept
    }
}

impl Sink for Half<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        if self.word.is_some() {
            return;
        }
        if !self.began {
            self.noise.extend_from_slice(bytes);
            return keep_last(&mut self.noise, KEPT_NOISE);
        }
        if self.which == Stream::Out && self.kept.len() + bytes.len() > MOST_OUT {
            self.overflow = true;
            return;
        }
        self.kept.extend_from_slice(bytes);
        if self.which == Stream::Err && self.kept.len() > 4 * KEPT_ERR {
            keep_last(&mut self.kept, KEPT_ERR);
        }
    }

    fn line(&mut self, line: &str) {
        if self.began && self.word.is_none() {
            self.lines.line(self.which, line);
        }
    }

    fn control(&mut self, line: &str) {
        if line.trim_end() == "began" {
            self.began = true;
            if let Some(begun) = self.begun {
                begun.notify_one();
            }
        } else if self.word.is_none() {
            self.word = Word::read(line);
        }
    }
}

fn keep_last(bytes: &mut Vec<u8>, most: usize) {
    if bytes.len() > most {
        bytes.drain(..bytes.len() - most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_place_says_is_read() {
        assert_eq!(Word::read("end 3 itself"), Some(Word::End { code: 3, timed_out: false }));
        assert_eq!(Word::read("end 143 time"), Some(Word::End { code: 143, timed_out: true }));
        assert_eq!(Word::read("missing  flock setsid"), Some(Word::Missing("flock, setsid".into())));
        assert_eq!(Word::read("busy 7 3"), Some(Word::Busy { rollout: "7".into(), epoch: "3".into() }));
        assert_eq!(Word::read("nonsense"), None);
    }

    #[test]
    fn of_the_complaints_the_last_are_kept() {
        let mut half = Half::new(Stream::Err, &());
        half.control("began");
        for _ in 0..100 {
            half.bytes(&[b'x'; 10_000]);
        }
        half.bytes(b"the end");
        let kept = half.into_kept();
        assert_eq!(kept.len(), KEPT_ERR);
        assert!(kept.ends_with(b"the end"));
    }
}
