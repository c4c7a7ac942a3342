//! What a server's shell says, and known hosts.

use dhow_core::port::Stream;

use super::HostKey;
use super::answer::Half;
use super::stream::{Sink, Splitter};

/// All that came through, in its order.
#[derive(Default, PartialEq, Debug)]
struct All {
    bytes: Vec<u8>,
    lines: Vec<String>,
    controls: Vec<String>,
}

impl Sink for All {
    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn line(&mut self, line: &str) {
        self.lines.push(line.to_owned());
    }

    fn control(&mut self, line: &str) {
        self.controls.push(line.to_owned());
    }
}

pub(crate) fn answer(data: &[u8]) {
    // What a network cuts is no part of the meaning, as long as lines are short.
    let short = data.split(|b| *b == b'\n').all(|line| line.len() < 4000);
    let whole = split(data, data.len().max(1));
    for cut in [1, 7, 1000] {
        let parts = split(data, cut);
        assert!(!short || parts == whole, "read in parts of {cut} bytes it is another answer: {parts:?}");
    }
    for which in [Stream::Out, Stream::Err] {
        let mut half = Half::new(which, &());
        let mut splitter = Splitter::new("M1");
        splitter.push(data, &mut half);
        splitter.finish(&mut half);
        assert!(half.into_kept().len() <= data.len());
    }
    known_hosts(data);
}

fn split(data: &[u8], cut: usize) -> All {
    let (mut all, mut splitter) = (All::default(), Splitter::new("M1"));
    data.chunks(cut).for_each(|chunk| splitter.push(chunk, &mut all));
    splitter.finish(&mut all);
    all
}

/// A file of known hosts keeps every line of other hosts.
fn known_hosts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let key = HostKey {
        fingerprint: "SHA256:x".into(),
        host: "[web1]:2222".into(),
        kind: "ssh-ed25519".into(),
        key: "AAAA".into(),
    };
    let new = key.in_place_of_others(text);
    let ours = |line: &str| line.starts_with("[web1]:2222 ssh-ed25519 ");
    assert_eq!(new.lines().filter(|line| ours(line)).count(), 1, "{text:?} became {new:?}");
    for line in text.lines().filter(|line| !line.contains("[web1]:2222")) {
        assert!(new.lines().any(|kept| kept.trim_end() == line.trim_end()), "{line:?} is lost: {new:?}");
    }
}
