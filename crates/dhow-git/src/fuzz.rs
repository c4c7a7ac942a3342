//! A door to the private parsers, for `tests/fuzz` alone.

use dhow_core::port::BranchName;
use secrecy::SecretString;

use crate::command::Output;
use crate::remote::Remote;
use crate::{config, identity, network, outcome, redact};

/// Reads an answer as each thing that git may print. Panics where a promise is broken.
pub fn answer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let branch = BranchName::new("main").ok();
    let _ = network::read_refs(&text, None, "HEAD");
    let _ = network::read_refs(&text, branch.as_ref(), "refs/heads/main");
    let _ = identity::parsed(&text);
    let _ = config::subfolder(Some(&text));
    let (stdout, stderr) = text.split_once('\0').unwrap_or((&text, &text));
    if let Ok(remote) = Remote::parse(&SecretString::from("https://a:geheim@h/x")) {
        for ok in [true, false] {
            let output = Output { ok, stdout: stdout.to_owned(), stderr: stderr.to_owned() };
            let _ = outcome::of_push(&output, &remote);
        }
    }
    let _ = Remote::parse(&SecretString::from(text.as_ref()));
    text.lines().for_each(password);
}

/// No password of a URL is shown, whatever is in it.
fn password(line: &str) {
    let hidden = "fatal: unable to access 'https://***@host/path': no https://user:***@host/path";
    let apart = |c: char| c.is_whitespace() || c.is_control() || "'\"<>".contains(c);
    let password = line.get(..40).unwrap_or(line);
    if password.len() < 6 || password.contains(apart) || hidden.contains(password) {
        return;
    }
    let url = format!("https://user:{password}@host/path");
    let said = redact::words(&format!("fatal: unable to access '{url}': no"), &[]);
    assert!(!said.contains(password), "{url:?} is shown as {said:?}");
    if let Ok(remote) = Remote::parse(&SecretString::from(url.clone())) {
        assert!(!remote.shown.contains(password), "{url:?} is shown as {:?}", remote.shown);
    }
}
