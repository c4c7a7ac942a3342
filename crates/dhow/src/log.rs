//! The log, on stderr. Whoever reads it may be slow or stop reading: lines then wait in memory, and beyond a limit they
//! are lost and counted. No rollout and no stop waits for its log.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that may wait: some thousand lines.
const WAITING: usize = 1 << 20;
/// How long the end of the process waits for its last lines.
const LAST: Duration = Duration::from_secs(1);
/// Between two looks whether a writer that takes nothing for the moment takes more.
const AGAIN: Duration = Duration::from_millis(20);

/// Where lines go. They are written by a thread of their own, in their order.
#[derive(Debug, Clone)]
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
        let log = Self { shared: Arc::default() };
        let shared = Arc::clone(&log.shared);
        std::thread::Builder::new().name("log".into()).spawn(move || {
            loop {
                let lines = shared.next();
                let lost = write(&mut writer, &lines);
                let mut now = shared.lock();
                now.writing = false;
                now.lost += lost;
                drop(now);
                shared.changed.notify_all();
            }
        })?;
        Ok(log)
    }

    /// A line for whoever started the process, in its place among the others.
    pub fn line(&self, text: &str) {
        self.shared.add(format!("{text}\n").as_bytes());
    }

    /// Panics are told here too: whoever catches one goes on, also where nobody reads.
    pub fn takes_panics(&self) {
        let log = self.clone();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            let trace = Backtrace::capture();
            log.line(&format!("thread {:?}: {panic}", thread.name().unwrap_or("unnamed")));
            if trace.status() == BacktraceStatus::Captured {
                log.line(&trace.to_string());
            }
            if thread.name() == Some("main") {
                // The process ends with it.
                log.flush();
            }
        }));
    }

    /// Waits until every line is written, at most a second: not for a reader that does not read.
    pub fn flush(&self) {
        let open = |lines: &mut Lines| lines.writing || !lines.waiting.is_empty() || lines.lost > 0;
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), LAST, open);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Writes lines, and tells how many of them were lost: on a full disk, for example.
fn write(writer: &mut impl Write, lines: &[u8]) -> u64 {
    let mut rest = lines;
    while !rest.is_empty() {
        match writer.write(rest) {
            Ok(0) => break,
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(AGAIN),
            Err(_) => break,
        }
    }
    let _ = writer.flush();
    rest.iter().filter(|byte| **byte == b'\n').count() as u64
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &[u8]) {
        let mut lines = self.lock();
        // One that is longer than all that may wait is no reader's fault.
        if lines.waiting.is_empty() || lines.waiting.len() + line.len() <= WAITING {
            lines.waiting.extend_from_slice(line);
        } else {
            lines.lost += 1;
        }
        drop(lines);
        self.changed.notify_all();
    }

    /// What waits, as soon as something does, with a word of what was lost after it.
    fn next(&self) -> Vec<u8> {
        let nothing = |lines: &mut Lines| lines.waiting.is_empty() && lines.lost == 0;
        let waited = self.changed.wait_while(self.lock(), nothing);
        let mut lines = waited.unwrap_or_else(PoisonError::into_inner);
        lines.writing = true;
        let mut taken = std::mem::take(&mut lines.waiting);
        let lost = std::mem::take(&mut lines.lost);
        drop(lines);
        if lost > 0 {
            let told = format!(
                "{lost} lines of the log were lost about here: it was written faster than it was taken\n"
            );
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
        let (told, finished) = std::sync::mpsc::channel();
        let written = log.clone();
        std::thread::spawn(move || {
            let long = "x".repeat(1023);
            (0..4096).for_each(|_| written.line(&long));
            told.send(()).unwrap();
        });
        finished.recv_timeout(Duration::from_secs(60)).expect("it waits for its reader");
        let (mut lost, mut seen) = (0, 0);
        for line in BufReader::new(reader).lines().map(Result::unwrap) {
            match line.split_once(" lines of the log were lost") {
                Some((count, _)) => lost += count.parse::<u64>().unwrap(),
                None => seen += 1,
            }
            if seen + lost == 4096 {
                break;
            }
        }
        // What waits, what is being written, and what a pipe holds.
        assert!(seen <= 1024 + 1024 + 64, "{seen} lines were kept");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_when_it_can() {
        struct Full(io::PipeWriter, usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 += 1;
                match self.1 {
                    1 => Err(io::ErrorKind::StorageFull.into()),
                    2 => Err(io::ErrorKind::WouldBlock.into()),
                    _ => self.0.write(bytes),
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (reader, writer) = io::pipe().unwrap();
        let log = Log::to(Full(writer, 0)).unwrap();
        log.line("lost");
        log.flush();
        let lines: Vec<String> = BufReader::new(reader).lines().take(1).map(Result::unwrap).collect();
        assert!(lines[0].starts_with("1 lines of the log were lost"), "{lines:?}");
    }

    #[test]
    fn lines_are_written_in_their_order_before_the_process_ends() {
        #[derive(Clone, Default)]
        struct Slow(Arc<Mutex<Vec<u8>>>);
        impl Write for Slow {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let part = bytes.len().min(50);
                std::thread::yield_now();
                self.0.lock().unwrap().extend_from_slice(&bytes[..part]);
                Ok(part)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let slow = Slow::default();
        let log = Log::to(slow.clone()).unwrap();
        (0..1_000).for_each(|number| log.line(&number.to_string()));
        log.flush();
        let written = String::from_utf8(slow.0.lock().unwrap().clone()).unwrap();
        assert!(written.lines().eq((0..1_000).map(|number| number.to_string())), "{written}");
    }
}
