//! No file grows unseen.

use std::fs;

use crate::tree;

const LONGEST: usize = 600;

/// How far down the reason may stand.
const HEAD: usize = 20;

fn offence(text: &str) -> Option<String> {
    let lines = text.lines().count();
    let reason = text.lines().take(HEAD).find_map(|line| line.strip_prefix("//! Length:"));
    let has_reason = reason.is_some_and(|reason| !reason.trim().is_empty());
    (lines > LONGEST && !has_reason).then(|| format!("{lines} lines"))
}

#[test]
fn no_source_file_is_above_600_lines_without_a_reason() {
    let mut offences = Vec::new();
    for file in tree::files() {
        if file.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&file).expect("a source file can be read");
            offences.extend(offence(&text).map(|lines| format!("{}: {lines}", tree::shown(&file))));
        }
    }
    assert!(
        offences.is_empty(),
        "split these by concept, or say why not in a first line `//! Length: ...`:\n{}",
        offences.join("\n")
    );
}

#[test]
fn a_long_file_needs_words_behind_length() {
    let long = "x\n".repeat(LONGEST + 1);
    assert!(offence(&long).is_some());
    assert!(offence(&format!("//! Length:\n{long}")).is_some());
    assert!(offence(&format!("//! A table.\n//! Length: one table, read as one.\n{long}")).is_none());
    assert!(offence(&"x\n".repeat(LONGEST)).is_none());
}
