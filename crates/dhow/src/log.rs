//! The log, on stderr. Whoever reads it may be slow or stop reading: lines then wait in memory, and beyond a limit they
//! are lost and counted. Nothing that Dhow does waits for its log.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that may wait: some thousand lines.
const WAITING: usize = 1 << 20;
/// How long the end of the process waits for its last lines.
const LAST: Duration = Duration::from_secs(1);

/// Where lines go. They are written by a thread of their own, in their order.
#[derive(Debug, Clone, Default)]
pub struct Log {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    waiting: Vec<u8>,
    lost: u64,
    /// Some lines were taken and are not written yet.
    writing: bool,
}

impl Log {
    /// A log whose lines go there; each also where its reader is slow, up to a limit.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn to(mut writer: impl Write + Send + 'static) -> io::Result<Self> {
        let log = Self::default();
        let shared = Arc::clone(&log.shared);
        std::thread::Builder::new().name("log".into()).spawn(move || {
            loop {
                let lines = shared.next();
                // A log that cannot be written has no place to say so.
                let _ = writer.write_all(&lines).and_then(|()| writer.flush());
                shared.lock().writing = false;
                shared.changed.notify_all();
            }
        })?;
        Ok(log)
    }

    /// A line for whoever started the process, in its place among the others.
    pub fn line(&self, text: &str) {
        self.shared.add(format!("{text}\n").as_bytes());
    }

    /// Waits until every line is written, but not for a reader that does not read.
    pub fn flush(&self) {
        let open = |lines: &mut Lines| lines.writing || !lines.waiting.is_empty();
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), LAST, open);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &[u8]) {
        let mut lines = self.lock();
        if lines.waiting.len() + line.len() > WAITING {
            lines.lost += 1;
            return;
        }
        lines.waiting.extend_from_slice(line);
        drop(lines);
        self.changed.notify_all();
    }

    /// What waits, as soon as something does, with a word of what was lost after it.
    fn next(&self) -> Vec<u8> {
        let nothing = |lines: &mut Lines| lines.waiting.is_empty();
        let waited = self.changed.wait_while(self.lock(), nothing);
        let mut lines = waited.unwrap_or_else(PoisonError::into_inner);
        lines.writing = true;
        let mut taken = std::mem::take(&mut lines.waiting);
        let lost = std::mem::take(&mut lines.lost);
        drop(lines);
        if lost > 0 {
            let told =
                format!("{lost} lines of the log are lost here: it was not read as fast as it was written\n");
            taken.extend_from_slice(told.as_bytes());
        }
        taken
    }
}

/// Takes one line at a time: the subscriber writes each in one piece.
pub struct Line<'a>(&'a Shared);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.shared)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

    use super::*;

    #[test]
    fn a_log_that_nobody_reads_holds_up_nobody_and_tells_what_it_lost() {
        let (reader, writer) = io::pipe().unwrap();
        let log = Log::to(writer).unwrap();
        let long = "x".repeat(1023);
        for _ in 0..4096 {
            log.line(&long);
        }
        log.line("the end");
        let mut lost = 0;
        let mut seen = 0;
        for line in BufReader::new(reader).lines().map(Result::unwrap) {
            if line == "again" {
                break;
            } else if let Some((count, _)) = line.split_once(" lines of the log are lost") {
                lost += count.parse::<u64>().unwrap();
                log.line("again");
            } else {
                seen += 1;
            }
        }
        assert!(lost > 2_000, "{lost} lines were lost");
        assert_eq!(seen + lost, 4097);
    }

    #[test]
    fn lines_are_written_in_their_order_before_the_process_ends() {
        let (reader, writer) = io::pipe().unwrap();
        let log = Log::to(writer).unwrap();
        (0..100).for_each(|number| log.line(&number.to_string()));
        log.flush();
        assert!(log.shared.lock().waiting.is_empty());
        let lines = BufReader::new(reader).lines().take(100).map(Result::unwrap);
        assert!(lines.eq((0..100).map(|number| number.to_string())));
    }
}
