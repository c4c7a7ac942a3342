//! Reading values out of a tree. Each method says what is wrong and goes on: a file's errors come all at once.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::duration::parse_duration;
use super::node::{Key, Kind, Node, Position};
use crate::diagnostic::{Diagnostic, Severity, nearest};

/// Reads one file's tree and gathers what is wrong in it.
#[derive(Debug)]
pub struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    unknown: Severity,
    found: Vec<Diagnostic>,
}

/// The entries of a mapping whose keys are known.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'n> {
    /// Where the mapping starts.
    pub at: Position,
    entries: &'n [(Key, Node)],
}

impl<'n> Fields<'n> {
    /// The value of a key; `None` where it is absent or null.
    pub fn get(&self, key: &str) -> Option<&'n Node> {
        self.raw(key).filter(|node| !node.is_null())
    }

    /// The value of a key, null too.
    pub fn raw(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(k, _)| k.text == key).map(|(_, v)| v)
    }

    /// The keys that are there.
    pub fn keys(&self) -> impl Iterator<Item = &'n Key> + use<'n> {
        self.entries.iter().map(|(key, _)| key)
    }
}

impl<'a> Reader<'a> {
    /// A reader to which an unknown key is an error.
    pub fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, unknown: Severity::Error, found: Vec::new() }
    }

    /// A reader to which an unknown key is a warning.
    pub fn lenient(file: &'a str, text: &'a str) -> Self {
        Self { unknown: Severity::Warning, ..Self::new(file, text) }
    }

    /// What was found wrong.
    pub fn finish(self) -> Vec<Diagnostic> {
        self.found
    }

    /// An error at a place, not told yet: its message is to be filled in by whoever finds it is one.
    pub fn place(&self, at: Position) -> Diagnostic {
        Diagnostic::error(self.file, "").at(self.text, at.line, at.column)
    }

    /// Tells of an error.
    pub fn error(&mut self, at: Position, message: impl Into<String>) {
        self.found.push(Diagnostic { message: message.into(), ..self.place(at) });
    }

    /// Tells of an error, with what to do.
    pub fn error_help(&mut self, at: Position, message: impl Into<String>, help: impl Into<String>) {
        let found = Diagnostic { message: message.into(), ..self.place(at) };
        self.found.push(found.help(help));
    }

    /// Tells of an error without showing the line: it may hold a secret.
    pub fn error_unseen(&mut self, at: Position, message: impl Into<String>, help: impl Into<String>) {
        let found = Diagnostic { message: message.into(), snippet: None, ..self.place(at) };
        self.found.push(found.help(help));
    }

    /// Tells of what is legal but surely not meant.
    pub fn warn(&mut self, at: Position, message: impl Into<String>, help: impl Into<String>) {
        let found = Diagnostic { message: message.into(), severity: Severity::Warning, ..self.place(at) };
        self.found.push(found.help(help));
    }

    /// A mapping with these keys and no others. Null is an empty mapping.
    pub fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Fields<'n> {
        let entries = self.entries(node, what);
        for (key, _) in entries {
            if known.contains(&key.text.as_str()) {
                continue;
            }
            let shown: String = key.text.chars().take(80).collect();
            let mut found = self.place(key.at);
            found.severity = self.unknown;
            found.message = format!("{what} has no key {shown:?}");
            found.help = Some(match nearest(&shown, known.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("the keys are: {}", known.join(", ")),
            });
            self.found.push(found);
        }
        Fields { at: node.at, entries }
    }

    /// The entries of a mapping with names as keys. Null is an empty mapping.
    pub fn entries<'n>(&mut self, node: &'n Node, what: &str) -> &'n [(Key, Node)] {
        match &node.kind {
            Kind::Map(entries) => entries,
            _ if node.is_null() => &[],
            _ => {
                self.error(node.at, format!("{what} must be a mapping; this is {}", node.describe()));
                &[]
            }
        }
    }

    /// The items of a list. Null is an empty list.
    pub fn items<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.kind {
            Kind::Seq(items) => items,
            _ if node.is_null() => &[],
            Kind::Scalar { text, .. } => {
                let shown: String = text.chars().take(40).collect();
                let message = format!("{what} must be a list; this is a single value");
                self.error_help(node.at, message, format!("write [{shown}]"));
                &[]
            }
            Kind::Map(_) => {
                self.error(node.at, format!("{what} must be a list; this is a mapping"));
                &[]
            }
        }
    }

    /// A text.
    pub fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let text = node.as_str();
        if text.is_none() {
            self.error(node.at, format!("{what} must be a single value; this is {}", node.describe()));
        }
        text
    }

    /// A text that is a value of a type.
    pub fn parse<T: FromStr<Err: Display>>(&mut self, node: &Node, what: &str) -> Option<T> {
        let text = self.text(node, what)?;
        self.parse_text(text, node.at, what)
    }

    /// A text that a function reads.
    pub fn parse_with<T, E: Display>(
        &mut self,
        node: &Node,
        what: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match read(self.text(node, what)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(node.at, format!("{what}: {error}"));
                None
            }
        }
    }

    /// A text, such as a key, that is a value of a type.
    pub fn parse_text<T: FromStr<Err: Display>>(
        &mut self,
        text: &str,
        at: Position,
        what: &str,
    ) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(at, format!("{what}: {error}"));
                None
            }
        }
    }

    /// A list of values of a type; those that are wrong are left out.
    pub fn list<T: FromStr<Err: Display>>(&mut self, node: &Node, what: &str) -> Vec<T> {
        let mut values = Vec::new();
        for item in self.items(node, what) {
            values.extend(self.parse(item, what));
        }
        values
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        match &node.kind {
            Kind::Scalar { text, plain: true } if text == "true" => Some(true),
            Kind::Scalar { text, plain: true } if text == "false" => Some(false),
            _ => {
                self.error(node.at, format!("{what} must be true or false"));
                None
            }
        }
    }

    /// A whole number in a range.
    pub fn number(&mut self, node: &Node, what: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let number = node.as_str().and_then(|text| text.parse().ok()).filter(|n| range.contains(n));
        if number.is_none() {
            let message = format!("{what} must be a whole number from {} to {}", range.start(), range.end());
            self.error(node.at, message);
        }
        number
    }

    /// A duration of at most `limit`.
    pub fn duration(&mut self, node: &Node, what: &str, limit: Duration) -> Option<Duration> {
        let text = self.text(node, what)?;
        match parse_duration(text) {
            Ok(duration) if duration <= limit => Some(duration),
            Ok(_) => {
                self.error(node.at, format!("{what} must be at most {} s", limit.as_secs()));
                None
            }
            Err(error) => {
                self.error(node.at, format!("{what}: {error}"));
                None
            }
        }
    }
}
