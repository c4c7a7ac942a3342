//! `.env` files: `KEY=value`, `export KEY="value"`, with comments.

use std::ops::Range;

use crate::edit::problem::{Problem, ProblemKind};
use crate::edit::site::{Form, Part, Quote, Role, Site, SiteKey};
use crate::noun::ImageReference;

use super::{FindRequest, Found, is_interpolated, read_parts, role_of};

/// One `KEY=value`.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::edit) struct EnvValue<'a> {
    pub key: &'a str,
    /// Without quotes.
    pub value: &'a str,
    pub quote: Quote,
    /// The value's bytes, quotes included.
    pub span: Range<usize>,
    pub line: usize,
    pub column: usize,
}

/// The values of a text on one line each, in its order. Values over several lines are passed over whole, as text.
pub(in crate::edit) fn values(text: &str) -> Vec<EnvValue<'_>> {
    let mut found = Vec::new();
    let mut open: Option<char> = None;
    let mut start = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let content = line.trim_end_matches(['\n', '\r']);
        if let Some(quote) = open {
            if content.contains(quote) {
                open = None;
            }
        } else if let Some((key, at)) = key_of(content) {
            match value_of(content, at) {
                Ok((value, quote, span)) => found.push(EnvValue {
                    key,
                    value,
                    quote,
                    span: start + span.start..start + span.end,
                    line: number + 1,
                    column: content[..span.start].trim_start_matches('\u{feff}').chars().count() + 1,
                }),
                Err(quote) => open = Some(quote),
            }
        }
        start += line.len();
    }
    found
}

/// The key of a line, and where its value begins.
fn key_of(line: &str) -> Option<(&str, usize)> {
    let (left, right) = line.split_once('=')?;
    let key = left.trim_start_matches('\u{feff}').trim();
    let key = key.strip_prefix("export ").map_or(key, str::trim_start);
    let legal = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    let blanks = right.len() - right.trim_start().len();
    legal.then_some((key, left.len() + 1 + blanks))
}

/// The value that begins at `at`; or the quote that is not closed on this line.
fn value_of(line: &str, at: usize) -> Result<(&str, Quote, Range<usize>), char> {
    let rest = &line[at..];
    for (mark, quote) in [('"', Quote::Double), ('\'', Quote::Single)] {
        if let Some(inner) = rest.strip_prefix(mark) {
            let end = closing(inner, mark).ok_or(mark)?;
            return Ok((&inner[..end], quote, at..at + end + 2));
        }
    }
    let comment = rest
        .char_indices()
        .zip(rest.chars().skip(1))
        .find(|((_, c), next)| c.is_whitespace() && *next == '#');
    let value = rest[..comment.map_or(rest.len(), |((end, _), _)| end)].trim_end();
    let value = if value.starts_with('#') { "" } else { value };
    Ok((value, Quote::Plain, at..at + value.len()))
}

/// Where a quoted value ends; a backslash keeps a double quote from ending it.
fn closing(inner: &str, mark: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' && mark == '"' {
            escaped = true;
        } else if c == mark {
            return Some(at);
        }
    }
    None
}

pub(super) fn find(file: &str, text: &str, request: &FindRequest) -> Found {
    let values = values(text);
    let mut found = Found::default();
    for path in &request.oob {
        let name = path.strip_prefix('.').unwrap_or(path);
        if !values.iter().any(|value| value.key == name) {
            let message = format!("the file has no value {name}");
            let help = "add it, or correct the oob path";
            found.problems.push(problem(file, (1, 1), SiteKey::Oob { path: path.clone() }, message, help));
        }
    }
    for (number, value) in values.iter().enumerate().filter(|(_, value)| !is_interpolated(value.value)) {
        let named = request.oob.iter().find(|path| path.strip_prefix('.').unwrap_or(path) == value.key);
        let (key, role) = match named {
            Some(path) => (SiteKey::Oob { path: path.clone() }, role_of(value.value, request)),
            None => match by_repository(value.value, request) {
                Some(key) => (key, Some(Role::Whole)),
                None => continue,
            },
        };
        let Some(role) = role else {
            let message = format!("{} is neither a reference, nor a tag, nor a digest", value.key);
            let help = "write a version there, or correct the oob path";
            found.problems.push(problem(file, (value.line, value.column), key, message, help));
            continue;
        };
        found.sites.push(site(file, key, role, number, value));
    }
    found
}

fn by_repository(value: &str, request: &FindRequest) -> Option<SiteKey> {
    let reference: ImageReference = value.parse().ok()?;
    let certain = value.contains('/') && (reference.tag.is_some() || reference.digest.is_some());
    let wanted = match &request.repositories {
        Some(wanted) => wanted.contains(&reference.repository),
        None => certain,
    };
    wanted.then_some(SiteKey::Repository(reference.repository))
}

fn site(file: &str, key: SiteKey, role: Role, node: usize, value: &EnvValue<'_>) -> Site {
    let EnvValue { quote, line, column, .. } = *value;
    let part = Part { role, span: value.span.clone(), node, quote, value: value.value.to_owned(), line };
    let mut site = Site {
        file: file.to_owned(),
        form: Form::Env,
        key,
        repository: None,
        tag: None,
        digest: None,
        line,
        column,
        parts: vec![part],
    };
    read_parts(&mut site);
    site
}

fn problem(file: &str, (line, column): (usize, usize), key: SiteKey, message: String, help: &str) -> Problem {
    let kind = ProblemKind::NotEditable;
    Problem { file: file.to_owned(), line, column, message, help: help.to_owned(), kind, key: Some(key) }
}
