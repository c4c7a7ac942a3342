//! Words for a POSIX shell. Nothing else in Dhow builds a line that a shell reads.

use thiserror::Error;

/// What the shell at the other end is started with, here and as the remote command of SSH: it reads one line, and runs
/// it. There is nothing in it that any login shell (fish, csh) reads in another way than sh, and no value.
pub(crate) const BOOT: &str = r#"N=$(printf "\012x"); N=${N%x}; LC_ALL=C; IFS= read -r line && eval "$line""#;

/// Text that cannot be an argument anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it holds a NUL byte")]
pub(crate) struct Nul;

/// A word that the shell started with [`BOOT`] reads as exactly this text. It has no line end in it.
pub(crate) fn word(text: &str) -> Result<String, Nul> {
    if text.contains('\0') {
        return Err(Nul);
    }
    let mut word = String::with_capacity(text.len() + 2);
    word.push('\'');
    for c in text.chars() {
        match c {
            '\'' => word.push_str(r"'\''"),
            '\n' => word.push_str(r#"'"$N"'"#),
            c => word.push(c),
        }
    }
    word.push('\'');
    Ok(word)
}

/// A word of a script, which may have line ends in it.
pub(crate) fn text(text: &str) -> Result<String, Nul> {
    match text.contains('\0') {
        true => Err(Nul),
        false => Ok(format!("'{}'", text.replace('\'', r"'\''"))),
    }
}

/// The command line for a login shell that starts [`BOOT`].
pub(crate) fn boot() -> String {
    format!("exec sh -c '{BOOT}'")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    /// What a real shell makes of the words.
    fn through(shell: &[&str], words: &[String]) -> Vec<String> {
        let mut line = String::from(r"printf '%s\000'");
        for text in words {
            line = format!("{line} {}", word(text).unwrap());
        }
        assert!(!line.contains('\n'));
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).args(["-c", &boot()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        text.strip_suffix('\0').unwrap().split('\0').map(str::to_owned).collect()
    }

    fn shells() -> Vec<Vec<&'static str>> {
        let mut all = vec![vec!["sh"]];
        for other in [vec!["bash", "--posix"], vec!["busybox", "sh"]] {
            if Command::new(other[0]).arg("--help").output().is_ok() {
                all.push(other);
            }
        }
        all
    }

    #[test]
    fn odd_words_arrive_as_they_are() {
        let words = [
            "",
            "'",
            "''",
            "$(reboot)",
            "`id`",
            "a\nb\n",
            "\\",
            "\\n",
            "!x",
            "\"$N\"",
            "\r\t ",
            "*",
            "ü — 船",
            "-n",
        ];
        let words = words.map(String::from).to_vec();
        for shell in shells() {
            assert_eq!(through(&shell, &words), words, "{shell:?}");
        }
    }

    #[test]
    fn a_nul_byte_is_refused() {
        assert_eq!(word("a\0b"), Err(Nul));
    }

    #[test]
    fn the_start_has_nothing_that_a_login_shell_could_read_in_its_own_way() {
        assert!(!BOOT.contains(['\'', '!', '\n']) && !BOOT.contains(r"\\"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn any_words_arrive_byte_for_byte(words in prop::collection::vec("[^\0]{0,40}|['\"\\\\\n$`!*\r -]{0,20}", 1..6)) {
            for shell in shells() {
                prop_assert_eq!(through(&shell, &words), words.clone());
            }
        }
    }
}
