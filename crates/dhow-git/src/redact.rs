//! Git's words, made fit to be shown: no credentials, no control characters, not endless.

/// The longest text of git that is shown.
const LONGEST: usize = 2000;

/// Hides user information in every URL of a text.
pub(crate) fn urls(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "/'\"<>?#".contains(c)).unwrap_or(after.len());
        // A password may hold what nobody encoded, a slash or an '@' too: the last '@' of the word ends it.
        let word = after.find(|c: char| c.is_whitespace() || "'\"<>".contains(c)).unwrap_or(after.len());
        let host = match after[..end].rfind('@') {
            Some(at) if !after[..at].contains(':') => Some(at),
            _ => after[..word].rfind('@').filter(|_| after[..end].contains(':')),
        };
        if let Some(host) = host {
            let user = after[..host].split(':').next().unwrap_or_default();
            let is_ssh = before.ends_with("ssh://");
            shown.push_str(if is_ssh && !user.contains('/') { user } else { "***" });
            if is_ssh && after[..host].contains(':') {
                shown.push_str(":***");
            }
            rest = &after[host..];
        } else {
            rest = after;
        }
    }
    shown.push_str(rest);
    shown
}

/// What git said, to be shown to a person: `secrets` and credentials hidden, cut at a length that fits a page.
pub(crate) fn words(text: &str, secrets: &[String]) -> String {
    let mut text = urls(text);
    for secret in secrets.iter().filter(|s| s.len() > 3) {
        text = text.replace(secret.as_str(), "***");
    }
    let lines = text.split(['\n', '\r']).map(|line| {
        let clean: String = line.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        clean.trim_end().to_owned()
    });
    let mut text = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    if text.len() > LONGEST {
        let cut = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push_str(" ...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credential_of_a_url_is_shown() {
        assert_eq!(urls("fatal: 'https://me:s3cret@h/x' not found"), "fatal: 'https://***@h/x' not found");
        assert_eq!(urls("https://token@h/x and http://a:b@c"), "https://***@h/x and http://***@c");
        assert_eq!(urls("ssh://git:pw@h:22/x"), "ssh://git:***@h:22/x");
        assert_eq!(urls("ssh://git@h/x"), "ssh://git@h/x");
        assert_eq!(urls("https://me:a/b@h/x"), "https://***@h/x");
        assert_eq!(urls("https://me:a@b#c@h/x"), "https://***@h/x");
        assert_eq!(urls("https://h:8443/a@b"), "https://***@b");
        assert_eq!(urls("file:///srv/a@b.git"), "file:///srv/a@b.git");
    }

    #[test]
    fn words_are_cut_and_cannot_steer_a_terminal() {
        assert_eq!(words("a\u{1b}[31mb\r\n\nc  \n", &[]), "a[31mb\nc");
        assert_eq!(words("pass hunter22 word", &["hunter22".into()]), "pass *** word");
        assert!(words(&"ä".repeat(5000), &[]).len() < 2100);
    }
}
