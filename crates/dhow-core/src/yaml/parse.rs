//! Bytes in, documents and problems out.

use std::borrow::Cow;

use granit_parser::{Parser, ScanError};

use super::build::{Builder, Problem};
use super::node::{Node, Position};
use crate::diagnostic::Diagnostic;

/// Longest file that is read, in bytes.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A file that was read.
#[derive(Debug)]
pub struct Parsed<'a> {
    /// Its text; what is not UTF-8 is replaced.
    pub text: Cow<'a, str>,
    /// Its documents, as far as they could be read. Empty where the file is.
    pub documents: Vec<Node>,
    /// What is wrong with it as YAML.
    pub problems: Vec<Diagnostic>,
}

/// Reads a file. Never fails: what is wrong is in [`Parsed::problems`], and then the documents may be incomplete.
/// Time and memory are bounded by the length of the file and the limits of this module.
pub fn parse<'a>(file: &str, bytes: &'a [u8]) -> Parsed<'a> {
    if bytes.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_BYTES} are read", bytes.len());
        return failed(Cow::Borrowed(""), Diagnostic::error(file, message).help("split the file"));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return not_utf8(file, bytes, error.valid_up_to()),
    };
    let mut builder = Builder::default();
    let mut fatal = None;
    let options = granit_parser::options! { emit_comments: false };
    for next in Parser::new_from_str_with_options(text, options) {
        let step = match next {
            Ok((event, span)) => {
                let at = Position { line: span.start.line(), column: span.start.col() + 1 };
                builder.take(event, at)
            }
            Err(error) => Err(syntax(text, &error)),
        };
        if let Err(problem) = step {
            fatal = Some(problem);
            break;
        }
    }
    let problems =
        builder.problems.into_iter().chain(fatal).map(|problem| diagnostic(file, text, problem)).collect();
    Parsed { text: Cow::Borrowed(text), documents: builder.documents, problems }
}

fn failed<'a>(text: Cow<'a, str>, problem: Diagnostic) -> Parsed<'a> {
    Parsed { text, documents: Vec::new(), problems: vec![problem] }
}

fn not_utf8<'a>(file: &str, bytes: &'a [u8], offset: usize) -> Parsed<'a> {
    let text = String::from_utf8_lossy(bytes);
    let before = String::from_utf8_lossy(&bytes[..offset]);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    let problem = Diagnostic::error(file, format!("byte {offset} is no UTF-8"))
        .at(&text, line, column)
        .help("save the file as UTF-8");
    failed(text, problem)
}

fn syntax(text: &str, error: &ScanError) -> Problem {
    let line = error.marker().line();
    let tab = |line: &usize| {
        let found = super::lines(text).nth(line.wrapping_sub(1))?;
        let indent: Vec<char> = found.chars().take_while(|c| c.is_whitespace()).collect();
        Some((*line, indent.iter().position(|c| *c == '\t')? + 1))
    };
    if let Some((line, column)) = [line, line.saturating_sub(1), line + 1].iter().find_map(tab) {
        return Problem {
            at: Position { line, column },
            message: "a tab indents this line; YAML is indented with spaces".into(),
            help: Some("replace the tab by spaces"),
        };
    }
    Problem {
        at: Position { line, column: error.marker().col() + 1 },
        message: format!("this is no valid YAML: {}", error.info()),
        help: None,
    }
}

fn diagnostic(file: &str, text: &str, problem: Problem) -> Diagnostic {
    let found = Diagnostic::error(file, problem.message).at(text, problem.at.line, problem.at.column);
    match problem.help {
        Some(help) => found.help(help),
        None => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Kind;

    fn one(text: &str) -> Diagnostic {
        let parsed = parse("f.yaml", text.as_bytes());
        assert_eq!(parsed.problems.len(), 1, "{:?}", parsed.problems);
        parsed.problems[0].clone()
    }

    #[test]
    fn scalars_keep_their_text() {
        let parsed = parse("f", b"a: 1.10\nb: yes\nc: 010\nd: ~\n");
        let root = &parsed.documents[0];
        let texts: Vec<_> = ["a", "b", "c"].iter().map(|k| root.get(k).unwrap().as_str().unwrap()).collect();
        assert_eq!(texts, ["1.10", "yes", "010"]);
        assert!(root.get("d").unwrap().is_null());
        assert_eq!(root.get("b").unwrap().at, Position { line: 2, column: 4 });
    }

    #[test]
    fn every_duplicate_key_is_told_with_both_lines() {
        let parsed = parse("f", b"a: 1\na: 2\nb: {c: 1, c: 2}\n");
        let told: Vec<_> = parsed.problems.iter().map(|d| (d.line, d.message.clone())).collect();
        assert_eq!(told.len(), 2);
        assert!(told.iter().any(|(line, m)| *line == 2 && m.contains("\"a\"") && m.contains("line 1")));
    }

    #[test]
    fn duplicate_keys_of_a_long_mapping_are_told() {
        let mut text: String = (0..100).map(|n| format!("k{n}: 1\n")).collect();
        text.push_str("k3: 2\n");
        assert_eq!(one(&text).line, 101);
    }

    #[test]
    fn a_tab_is_named_as_such() {
        let found = one("a:\n\tb: 1\n");
        assert!(found.message.contains("tab"), "{found}");
        assert_eq!(found.line, 2);
    }

    #[test]
    fn invalid_utf8_has_its_byte_and_line() {
        let parsed = parse("f", b"a: 1\nb: \xff\n");
        assert!(parsed.problems[0].message.contains("byte 8"), "{}", parsed.problems[0]);
        assert_eq!((parsed.problems[0].line, parsed.problems[0].column), (2, 4));
    }

    #[test]
    fn ten_megabytes_are_refused_before_they_are_parsed() {
        let bytes = vec![b'a'; 10_000_000];
        let parsed = parse("f", &bytes);
        assert!(parsed.problems[0].message.contains("10000000 bytes"));
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let row = vec![format!("*a{}", n - 1); 9].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{row}]\n"));
        }
        assert!(one(&text).message.contains("aliases"));
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1_000_000), vec!["*a"; 5000].join(","));
        assert!(one(&long).message.contains("aliases"));
    }

    #[test]
    fn deep_nesting_and_aliases_to_themselves_are_refused() {
        assert!(one(&format!("{}{}", "[".repeat(150), "]".repeat(150))).message.contains("deeper"));
        assert!(!parse("f", b"a: &a [*a]\n").problems.is_empty());
    }

    #[test]
    fn aliases_are_followed() {
        let parsed = parse("f", b"a: &x [1]\nb: *x\n");
        assert!(matches!(&parsed.documents[0].get("b").unwrap().kind, Kind::Seq(items) if items.len() == 1));
    }
}
