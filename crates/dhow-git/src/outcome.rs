//! What `git push --porcelain` says, as an outcome.

use dhow_core::port::{FleetRepoError, PushOutcome};

use crate::command::Output;
use crate::remote::Remote;

/// Reasons for which git itself holds a push back: the branch is elsewhere than we thought.
const MOVED: [&str; 5] = [
    "(stale info)",
    "(non-fast-forward)",
    "(fetch first)",
    "(needs force)",
    "(remote ref updated since checkout)",
];
/// The remote found, while it wrote, that the branch is elsewhere.
const RACED: [&str; 3] = ["but expected", "incorrect old value", "reference already exists"];

/// Reads the outcome of a push of one reference.
pub(crate) fn of_push(output: &Output, remote: &Remote) -> Result<PushOutcome, FleetRepoError> {
    let Some(summary) = rejection(&output.stdout) else {
        // A branch that is to be removed and is not there is what was wanted.
        if output.ok || output.stderr.contains("remote ref does not exist") {
            return Ok(PushOutcome::Pushed);
        }
        return Err(remote.unreachable(&output.stderr));
    };
    if MOVED.iter().any(|reason| summary.contains(reason)) {
        return Ok(PushOutcome::Moved);
    }
    let lock = ["failed to update ref", "cannot lock ref", "incorrect old value", "reference already exists"];
    if lock.iter().any(|reason| summary.contains(reason)) {
        let said = format!("{summary}\n{}", output.stderr);
        if RACED.iter().any(|reason| said.contains(reason)) {
            return Ok(PushOutcome::Moved);
        }
        if !said.contains("cannot create") {
            return Err(remote.unreachable(&output.stderr));
        }
    }
    if summary.contains("[remote failure]") {
        return Err(remote.unreachable(&format!("{summary}\n{}", output.stderr)));
    }
    Ok(PushOutcome::Refused(remote.words(&refusal(summary, &output.stderr))))
}

/// The summary of the reference that was not accepted.
fn rejection(stdout: &str) -> Option<&str> {
    let line = stdout.lines().find(|line| line.starts_with("!\t"))?;
    Some(line.rsplit('\t').next().unwrap_or(line))
}

/// The reason in brackets and what the remote printed.
fn refusal(summary: &str, stderr: &str) -> String {
    let reason = summary.trim_start_matches("[remote rejected]").trim_start_matches("[rejected]").trim();
    let reason = reason.strip_prefix('(').and_then(|r| r.strip_suffix(')')).unwrap_or(reason);
    let said = stderr.lines().filter_map(|line| line.strip_prefix("remote:")).map(str::trim);
    std::iter::once(reason).chain(said.filter(|line| !line.is_empty())).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;

    fn outcome(ok: bool, stdout: &str, stderr: &str) -> Result<PushOutcome, FleetRepoError> {
        let remote = Remote::parse(&SecretString::from("https://a:geheim@h/x")).unwrap();
        of_push(&Output { ok, stdout: stdout.into(), stderr: stderr.into() }, &remote)
    }

    fn rejected(summary: &str, stderr: &str) -> Result<PushOutcome, FleetRepoError> {
        outcome(false, &format!("To x\n!\tabc:refs/heads/main\t{summary}\nDone\n"), stderr)
    }

    #[test]
    fn every_way_of_having_moved_is_seen() {
        for summary in
            ["[rejected] (stale info)", "[rejected] (fetch first)", "[rejected] (non-fast-forward)"]
        {
            assert_eq!(rejected(summary, "").unwrap(), PushOutcome::Moved, "{summary}");
        }
        let raced = "remote: error: cannot lock ref 'refs/heads/main': is at 1 but expected 2";
        assert_eq!(rejected("[remote rejected] (failed to update ref)", raced).unwrap(), PushOutcome::Moved);
        assert_eq!(
            rejected("[remote rejected] (incorrect old value provided)", "").unwrap(),
            PushOutcome::Moved
        );
    }

    #[test]
    fn a_lock_that_is_held_is_worth_another_try() {
        let held =
            "remote: error: cannot lock ref 'refs/heads/main': Unable to create 'main.lock': File exists.";
        let error = rejected("[remote rejected] (failed to update ref)", held).unwrap_err();
        assert!(matches!(error, FleetRepoError::Unreachable { .. }));
    }

    #[test]
    fn a_refusal_carries_the_remotes_words_without_secrets() {
        let said = "remote: No pushes on Fridays.   \nremote: \nremote: geheim\nTo https://a:geheim@h/x\nerror: failed";
        let Ok(PushOutcome::Refused(words)) = rejected("[remote rejected] (pre-receive hook declined)", said)
        else {
            panic!("not refused")
        };
        assert_eq!(words, "pre-receive hook declined\nNo pushes on Fridays.\n***");
    }

    #[test]
    fn no_answer_is_no_outcome() {
        let error =
            outcome(false, "", "fatal: unable to access 'https://a:geheim@h/x': no route").unwrap_err();
        assert!(error.to_string().contains("no route") && !error.to_string().contains("geheim"), "{error}");
        assert_eq!(outcome(true, "To x\n \ta:b\t1..2\nDone\n", "").unwrap(), PushOutcome::Pushed);
        let gone = "error: unable to delete 'dhow/a/b': remote ref does not exist";
        assert_eq!(outcome(false, "", gone).unwrap(), PushOutcome::Pushed);
    }
}
