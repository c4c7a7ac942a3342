//! What goes wrong at a server, as the kinds that the engine acts on.

use dhow_core::noun::DeploymentId;
use dhow_core::port::{ExecutorError, Output, Place, TargetError};

use super::{LACKS, TAKEN};

/// What the way to the server says.
pub(crate) fn executor_error(error: ExecutorError) -> TargetError {
    match error {
        ExecutorError::Fenced { seen, ours } => TargetError::Fenced { seen, ours },
        ExecutorError::Refused(message) => TargetError::Blocked(message),
        ExecutorError::Unreachable { .. } | ExecutorError::TimedOut { .. } | ExecutorError::Broken { .. } => {
            TargetError::Passing(error.to_string())
        }
    }
}

/// What one of our scripts complained about.
pub(super) fn of_script(
    id: &DeploymentId,
    directory: &str,
    place: &Place,
    what: &str,
    output: &Output,
) -> TargetError {
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    let advice = if output.code == Some(TAKEN) {
        return TargetError::Blocked(format!(
            "{directory} on {place} cannot be the folder of {id}: it is that of {said} (environment/service); give one of \
             them another folder with `directory:`"
        ));
    } else if output.code == Some(LACKS) {
        return TargetError::Blocked(format!("{place} lacks {said}: install it there, then resume {id}"));
    } else if said.contains("No space left") || said.contains("quota") {
        "the disk there is full: make room, and it goes on by itself within a minute".to_owned()
    } else if said.contains("Permission denied") || said.contains("Operation not permitted") {
        format!(
            "the user that Dhow logs in as may not write there: as root, \
             `install -d -o USER -m 755 {directory}`, or give another folder with `directory:`"
        )
    } else if said.contains("is no link") {
        "move it away: Dhow needs this name for its own link".to_owned()
    } else {
        "mend it there, and it goes on by itself within a minute".to_owned()
    };
    TargetError::Blocked(format!("{directory} of {id} on {place} cannot {what}: {said}; {advice}"))
}

/// Somebody else's file or folder has our name.
pub(super) fn foreign(id: &DeploymentId, directory: &str, place: &Place) -> TargetError {
    TargetError::Blocked(format!(
        "{directory}/current on {place} is no link, so it is not what Dhow wrote for {id}; move it away, or give another \
         folder with `directory:`"
    ))
}

/// What a comparison printed, in words.
pub(super) fn difference(printed: &[u8], wanted: usize) -> String {
    let text = String::from_utf8_lossy(printed);
    let mut lines = text.lines();
    let found = lines.next().and_then(|count| count.trim().parse::<usize>().ok()).unwrap_or(0);
    let bad: Vec<&str> = lines.map(|line| line.split(": ").next().unwrap_or(line)).collect();
    let bad: Vec<&str> = bad.into_iter().map(|name| name.trim_start_matches("./")).collect();
    let count = format!("{found} files where {wanted} should be");
    match (bad.is_empty(), found == wanted) {
        (true, _) => count,
        (false, true) => format!("changed or missing are {}", bad.join(", ")),
        (false, false) => format!("{count}; changed or missing are {}", bad.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_the_files() {
        assert_eq!(difference(b"3\n", 2), "3 files where 2 should be");
        let told = difference(b"2\n./a/b.html: FAILED\n./c: FAILED open or read\n", 2);
        assert_eq!(told, "changed or missing are a/b.html, c");
        assert!(difference(b"1\n./a: FAILED\n", 2).starts_with("1 files where 2 should be; "));
    }

    #[test]
    fn a_folder_that_may_not_be_written_says_how_to_make_it() {
        let output =
            Output { code: Some(1), stdout: Vec::new(), stderr: b"mkdir: Permission denied\n".to_vec() };
        let (id, place) = ("a/static_file/stage".parse().unwrap(), Place::Server("web1".parse().unwrap()));
        let error = of_script(&id, "/srv/www/a", &place, "be made", &output).to_string();
        assert!(error.contains("on web1 cannot be made") && error.contains("install -d -o USER"), "{error}");
    }
}
