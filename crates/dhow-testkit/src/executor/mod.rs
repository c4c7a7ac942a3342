//! The contract of `Executor`: what every place must keep. Each function panics where a promise is broken; `scratch` is an
//! absolute path at the place that need not exist, and is left behind.

pub mod commands;
pub mod files;
pub mod locks;

use std::time::Duration;

use dhow_core::port::{Command, Executor, Lines, Output, Stream};
use tokio::sync::mpsc;

/// Passes on each line of standard output as it comes.
pub struct Told(mpsc::UnboundedSender<String>);

impl Told {
    /// A listener, and what it hears.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }
}

impl Lines for Told {
    fn line(&self, stream: Stream, line: &str) {
        if stream == Stream::Out {
            // Nobody need listen any more.
            let _ = self.0.send(line.to_owned());
        }
    }
}

/// A shell command of a test.
#[must_use]
pub fn sh(text: &str, args: &[&str]) -> Command {
    let mut command = Command::new(["sh", "-c", text, "test"].iter().chain(args).copied());
    command.limit = Duration::from_secs(30);
    command
}

/// Runs it and expects it to end well.
///
/// # Panics
///
/// Where it does not.
pub async fn good(executor: &dyn Executor, command: &Command) -> Output {
    let output = executor.run(command, &()).await.expect("it runs");
    assert!(output.ok(), "{command:?}: {:?} {}", output.code, String::from_utf8_lossy(&output.stderr));
    output
}

/// Returns when a process of the place is no more.
///
/// # Panics
///
/// Where it is still there after 20 s.
pub async fn gone(executor: &dyn Executor, pid: &str) {
    let text = r#"n=0; while grep -qs "^State:.[^Z]" "/proc/$1/status"; do n=$((n+1)); [ $n -lt 200 ] || exit 9; sleep 0.1; done"#;
    let output = executor.run(&sh(text, &[pid]), &()).await.expect("it runs");
    assert!(output.ok(), "process {pid} still runs");
}
