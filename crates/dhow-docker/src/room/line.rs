//! What an engine says a container wrote, as lines with their times.

use bollard::container::LogOutput;
use dhow_core::port::{LogLine, Stream};

use super::Seen;

/// Most bytes of a line.
const MOST: usize = 16 << 10;

/// The lines of one message of the engine.
pub(super) fn lines(seen: &Seen, output: &LogOutput) -> Vec<LogLine> {
    let stream = match output {
        LogOutput::StdErr { .. } => Stream::Err,
        _ => Stream::Out,
    };
    let text = String::from_utf8_lossy(output.as_ref()).into_owned();
    let text = text.strip_suffix('\n').unwrap_or(&text);
    text.split('\n')
        .map(|line| {
            let (at, text) = split(line.strip_suffix('\r').unwrap_or(line));
            LogLine {
                component: seen.component.clone(),
                container: seen.name.clone(),
                stream,
                at: at.map(str::to_owned),
                text: cut(text).to_owned(),
            }
        })
        .collect()
}

/// The engine's time in front of a line: `2026-11-21T10:00:00.123456789Z`, always as long, so that times compare as
/// text.
fn split(line: &str) -> (Option<&str>, &str) {
    let (head, rest) = line.split_once(' ').unwrap_or((line, ""));
    let bytes = head.as_bytes();
    let time = (20..=35).contains(&bytes.len())
        && bytes.ends_with(b"Z")
        && bytes[4] == b'-'
        && bytes[10] == b'T'
        && bytes.iter().all(|b| b.is_ascii_digit() || b"-T:.Z".contains(b));
    if time { (Some(head), rest) } else { (None, line) }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<LogLine> {
        let seen = Seen { id: "1".into(), name: "n".into(), component: "web".into(), running: true };
        lines(&seen, &LogOutput::StdErr { message: text.to_owned().into() })
    }

    #[test]
    fn the_engines_time_is_taken_off_the_line_and_a_lines_own_is_not() {
        let found = read("2026-11-21T10:00:00.123456789Z 2026-11-21T09:00:00Z hello\n");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].at.as_deref(), Some("2026-11-21T10:00:00.123456789Z"));
        assert_eq!(found[0].text, "2026-11-21T09:00:00Z hello");
        assert_eq!(found[0].stream, Stream::Err);
        assert_eq!(read("no time\n")[0].text, "no time");
        let empty = read("2026-11-21T10:00:00.123456789Z \n");
        assert_eq!((empty.len(), empty[0].text.as_str()), (1, ""));
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let long = read(&"é".repeat(20_000));
        assert!(long[0].text.len() <= MOST && long[0].text.len() > MOST - 2);
    }
}
