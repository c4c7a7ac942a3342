//! What comes back: the command's own bytes, and between them the lines that carry our mark.

/// Longest line that a listener is told.
const MOST_LINE: usize = 4096;
/// A line that is longer than this is not ours.
const MOST_CONTROL: usize = 8192;

/// What the reader of a stream is told.
pub(crate) trait Sink {
    /// Bytes of the command.
    fn bytes(&mut self, bytes: &[u8]);
    /// A line of the command, cut.
    fn line(&mut self, line: &str);
    /// A line of ours, without its mark.
    fn control(&mut self, line: &str);
}

/// Splits a stream. Our lines stand between two line ends that are not the command's.
pub(crate) struct Splitter {
    mark: Vec<u8>,
    /// The line that is being read, as far as it was not passed on.
    line: Vec<u8>,
    /// What a listener will be told of a line that was passed on in parts.
    shown: Option<Vec<u8>>,
    /// A line end that is the command's unless a line of ours follows.
    owed: bool,
    /// An empty line that is the command's unless a line of ours follows.
    blank: bool,
}

impl Splitter {
    pub(crate) fn new(mark: &str) -> Self {
        Self {
            mark: format!("{mark} ").into_bytes(),
            line: Vec::new(),
            shown: None,
            owed: false,
            blank: false,
        }
    }

    /// Takes the next bytes of the stream.
    pub(crate) fn push(&mut self, mut bytes: &[u8], sink: &mut dyn Sink) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.end_line(sink);
        }
        self.line.extend_from_slice(bytes);
        if self.line.len() > MOST_CONTROL {
            self.pass(sink);
        }
    }

    /// Passes on what stands after the last line end.
    pub(crate) fn finish(&mut self, sink: &mut dyn Sink) {
        if !self.line.is_empty() || self.shown.is_some() {
            self.end_line(sink);
        }
        // The last line had no end.
        self.owed = false;
    }

    fn end_line(&mut self, sink: &mut dyn Sink) {
        if self.shown.is_none()
            && let Some(control) = self.line.strip_prefix(self.mark.as_slice())
        {
            let control = String::from_utf8_lossy(control).into_owned();
            self.line.clear();
            (self.owed, self.blank) = (false, false);
            sink.control(&control);
            return;
        }
        if std::mem::take(&mut self.blank) {
            sink.line("");
        }
        self.pass(sink);
        let shown = self.shown.take().unwrap_or_default();
        self.blank = shown.is_empty();
        if !self.blank {
            sink.line(&String::from_utf8_lossy(shown.strip_suffix(b"\r").unwrap_or(&shown)));
        }
        self.owed = true;
    }

    fn pass(&mut self, sink: &mut dyn Sink) {
        if std::mem::take(&mut self.owed) {
            sink.bytes(b"\n");
        }
        sink.bytes(&self.line);
        let shown = self.shown.get_or_insert_default();
        let room = MOST_LINE.saturating_sub(shown.len()).min(self.line.len());
        shown.extend_from_slice(&self.line[..room]);
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Heard {
        bytes: Vec<u8>,
        lines: Vec<String>,
        controls: Vec<String>,
    }

    impl Sink for Heard {
        fn bytes(&mut self, bytes: &[u8]) {
            self.bytes.extend_from_slice(bytes);
        }
        fn line(&mut self, line: &str) {
            self.lines.push(line.into());
        }
        fn control(&mut self, line: &str) {
            self.controls.push(line.into());
        }
    }

    fn hear(parts: &[&[u8]]) -> Heard {
        let (mut heard, mut splitter) = (Heard::default(), Splitter::new("M1"));
        for part in parts {
            splitter.push(part, &mut heard);
        }
        splitter.finish(&mut heard);
        heard
    }

    #[test]
    fn our_lines_are_taken_out_with_the_line_ends_around_them() {
        let heard = hear(&[b"noise\n\nM1 began\na\r\nb", b"\nM1 end 0 itself\n"]);
        assert_eq!(heard.controls, ["began", "end 0 itself"]);
        assert_eq!(heard.lines, ["noise", "a", "b"]);
        assert_eq!(heard.bytes, b"noise\na\r\nb");
    }

    #[test]
    fn a_long_line_is_kept_whole_and_told_cut() {
        let long = vec![b'x'; 3 * MOST_CONTROL];
        let heard = hear(&[&long, b"y\nz\n\nM1 end\n"]);
        assert_eq!(heard.bytes.len(), long.len() + 4);
        assert_eq!((heard.lines[0].len(), heard.lines[1].as_str()), (MOST_LINE, "z"));
    }

    proptest! {
        #[test]
        fn what_the_command_wrote_comes_out_byte_for_byte(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'M'), Just(b'1'), any::<u8>()], 0..200),
            at in 0usize..200,
        ) {
            prop_assume!(!text.windows(3).any(|w| w == b"M1 "));
            let mut all = b"\nM1 began\n".to_vec();
            all.extend_from_slice(&text);
            all.extend_from_slice(b"\nM1 end 0 itself\n");
            let (first, second) = all.split_at(at.min(all.len()));
            let heard = hear(&[first, second]);
            prop_assert_eq!(heard.bytes, text);
            prop_assert_eq!(heard.controls.len(), 2);
        }
    }
}
