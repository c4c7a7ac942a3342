//! What a place says, as an error for a person.

use dhow_core::port::{Command, ExecutorError};

use super::answer::Word;

/// The error of an answer that is no end, or of an end that its time brought.
pub(crate) fn of_word(word: &Word, label: &str, command: &Command, epoch: u64, lock: &str) -> ExecutorError {
    let program = command.argv.first().cloned().unwrap_or_default();
    let refused = |text: String| ExecutorError::Refused(text);
    match word {
        Word::End { .. } => ExecutorError::TimedOut { program, limit: command.limit },
        Word::Missing(tools) => refused(format!(
            "{label} lacks {tools}: install coreutils and util-linux there (`apt-get install coreutils util-linux`)"
        )),
        Word::Fenced(seen) => ExecutorError::Fenced { seen: *seen, ours: epoch },
        Word::Stale => ExecutorError::Broken {
            place: label.into(),
            program,
            reason: "a later command was there first; this one did nothing".into(),
        },
        Word::Busy { rollout, epoch } => ExecutorError::Unreachable {
            place: label.into(),
            reason: format!(
                "its lock {lock} is still held by rollout {rollout} (epoch {epoch}) after {:?}",
                command.limit
            ),
        },
        Word::Stuck(group) => refused(format!(
            "an older command under the lock {lock} on {label} cannot be ended (process group {group}): \
             look at it there with `ps -g {group}`; the disk or a mount may hang"
        )),
        Word::Program(name) => refused(format!(
            "`{name}` is not installed on {label}, or not in its PATH: install it there; \
             `dhow server check` tells all that is missing"
        )),
        Word::Folder(why) => refused(format!(
            "the folder {:?} on {label} cannot be entered: {why}",
            command.folder.as_deref().unwrap_or("of the user's home")
        )),
        Word::Refused(why) => of_text("Dhow's own files cannot be written", label, why),
    }
}

/// What a tool there complained about.
pub(crate) fn of_text(what: &str, label: &str, said: &str) -> ExecutorError {
    let said = said.trim();
    let advice = if said.contains("No space left on device") || said.contains("Disk quota exceeded") {
        "the disk is full: free space there (`df -h` and `docker system df` show where it went)"
    } else if said.contains("Permission denied") || said.contains("Operation not permitted") {
        "the user that Dhow logs in as may not: give it the right, or choose another folder or user"
    } else if said.contains("Read-only file system") {
        "the file system is read-only: see `dmesg` there"
    } else {
        "mend it there"
    };
    ExecutorError::Refused(format!("{what} on {label}: {said}; {advice}"))
}
