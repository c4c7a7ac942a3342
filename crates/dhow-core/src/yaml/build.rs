//! Events in, tree out, within limits.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, ScalarStyle};

use super::node::{Key, Kind, Node, Position};

/// How deep values may nest, aliases followed.
pub const MAX_DEPTH: usize = 100;

/// How many values a file may have, aliases followed; a long text counts as more than one.
pub const MAX_WEIGHT: usize = 400_000;

/// What is wrong at a place.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) at: Position,
    pub(super) message: String,
    pub(super) help: Option<&'static str>,
}

struct Anchored {
    node: Node,
    weight: usize,
    depth: usize,
}

struct Frame {
    at: Position,
    anchor: usize,
    open: Open,
    /// Deepest nesting below this value.
    depth: usize,
    /// Weight of the document when this value began.
    weight_before: usize,
}

enum Open {
    Map { entries: Vec<(Key, Node)>, key: Option<Key> },
    Seq(Vec<Node>),
}

/// Builds the trees of one file.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) documents: Vec<Node>,
    /// What is wrong without making the rest unreadable: duplicate keys.
    pub(super) problems: Vec<Problem>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    weight: usize,
}

fn weight_of(text: &str) -> usize {
    1 + text.len() / 32
}

impl Builder {
    /// Takes one event. An error ends the reading of the file.
    pub(super) fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), Problem> {
        match event {
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, _) => self.scalar(text, style, anchor, at),
            Event::MappingStart(_, anchor, _) => {
                self.open(at, anchor, Open::Map { entries: Vec::new(), key: None })
            }
            Event::SequenceStart(_, anchor, _) => self.open(at, anchor, Open::Seq(Vec::new())),
            Event::MappingEnd | Event::SequenceEnd => self.close(),
            Event::Alias(id) => self.alias(id, at),
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        at: Position,
    ) -> Result<(), Problem> {
        let weight = weight_of(&text);
        self.weigh(weight, at)?;
        let node =
            Node { at, kind: Kind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain } };
        self.value(node, anchor, weight, 1)
    }

    fn weigh(&mut self, weight: usize, at: Position) -> Result<(), Problem> {
        self.weight += weight;
        if self.weight > MAX_WEIGHT {
            return Err(Problem {
                at,
                message: format!("the file has more than {MAX_WEIGHT} values once its aliases are followed"),
                help: Some("split the file, or write fewer aliases"),
            });
        }
        Ok(())
    }

    fn open(&mut self, at: Position, anchor: usize, open: Open) -> Result<(), Problem> {
        let weight_before = self.weight;
        self.weigh(1, at)?;
        self.stack.push(Frame { at, anchor, open, depth: 0, weight_before });
        self.check_depth(self.stack.len(), at)
    }

    fn check_depth(&self, depth: usize, at: Position) -> Result<(), Problem> {
        if depth <= MAX_DEPTH {
            return Ok(());
        }
        Err(Problem { at, message: format!("values nest deeper than {MAX_DEPTH} levels"), help: None })
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let kind = match frame.open {
            Open::Map { entries, .. } => Kind::Map(self.unique(entries)),
            Open::Seq(items) => Kind::Seq(items),
        };
        let weight = self.weight - frame.weight_before;
        self.value(Node { at: frame.at, kind }, frame.anchor, weight, frame.depth + 1)
    }

    /// Keeps the first of equal keys and tells of the others.
    fn unique(&mut self, entries: Vec<(Key, Node)>) -> Vec<(Key, Node)> {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut kept: Vec<(Key, Node)> = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            let first = if kept.len() < 8 {
                kept.iter().find(|(k, _)| k.text == key.text).map(|(k, _)| k.at.line)
            } else {
                if seen.is_empty() {
                    seen.extend(kept.iter().map(|(k, _)| (k.text.clone(), k.at.line)));
                }
                let first = seen.get(&key.text).copied();
                seen.entry(key.text.clone()).or_insert(key.at.line);
                first
            };
            match first {
                Some(line) if key.text != "<<" => self.problems.push(Problem {
                    at: key.at,
                    message: format!("the key {:?} stands twice; the first is in line {line}", key.text),
                    help: Some("remove one of them"),
                }),
                _ => kept.push((key, node)),
            }
        }
        kept
    }

    fn alias(&mut self, id: usize, at: Position) -> Result<(), Problem> {
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(Problem {
                at,
                message: "an alias stands inside of what it refers to".into(),
                help: None,
            });
        };
        let (weight, depth) = (anchored.weight, anchored.depth);
        // Before the copy is made: the copy is what a bomb lives of.
        self.weigh(weight, at)?;
        self.check_depth(self.stack.len() + depth, at)?;
        let Some(node) = self.anchors.get(&id).map(|a| a.node.clone()) else { return Ok(()) };
        self.value(Node { at, ..node }, 0, weight, depth)
    }

    fn value(&mut self, node: Node, anchor: usize, weight: usize, depth: usize) -> Result<(), Problem> {
        if anchor != 0 {
            self.weigh(weight, node.at)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), weight, depth });
        }
        let Some(frame) = self.stack.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        frame.depth = frame.depth.max(depth);
        match &mut frame.open {
            Open::Seq(items) => items.push(node),
            Open::Map { entries, key } => match key.take() {
                Some(key) => entries.push((key, node)),
                None => match node.kind {
                    Kind::Scalar { text, .. } => *key = Some(Key { text, at: node.at }),
                    _ => {
                        return Err(Problem {
                            at: node.at,
                            message: "a key is a mapping or a list; only text can be a key".into(),
                            help: None,
                        });
                    }
                },
            },
        }
        Ok(())
    }
}
