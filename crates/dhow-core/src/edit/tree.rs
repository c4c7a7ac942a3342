//! A YAML text as a flat list of nodes in document order, each with its bytes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag, options};

use super::site::Quote;
use super::{MAX_DEPTH, MAX_NODES};

/// The nodes of a text, all its documents behind one another. A node's descendants follow it directly.
pub(super) struct Tree<'a> {
    pub nodes: Vec<Node<'a>>,
    pub comments: Vec<Comment<'a>>,
}

#[derive(Debug)]
pub(super) struct Node<'a> {
    pub kind: Kind<'a>,
    pub place: Place,
    pub tag: NodeTag,
    pub anchored: bool,
    pub parent: Option<usize>,
    /// One past its last descendant.
    pub end: usize,
    pub span: Range<usize>,
    pub line: usize,
    pub column: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Scalar {
        value: Cow<'a, str>,
        style: ScalarStyle,
    },
    Mapping,
    Sequence,
    /// Its anchor's node.
    Alias(usize),
}

/// Where a node stands in its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The root of the document of this number.
    Root(usize),
    Key,
    /// The value of the key at this node.
    Value(usize),
    Item(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeTag {
    None,
    String,
    Other,
}

#[derive(Debug)]
pub(super) struct Comment<'a> {
    /// What stands behind the first `#`.
    pub text: Cow<'a, str>,
    pub start: usize,
    pub line: usize,
    pub column: usize,
}

/// Why a text could not be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub line: usize,
    pub column: usize,
    pub message: String,
    /// Whether it is a limit of ours rather than a fault of the text.
    pub limit: bool,
}

struct Frame {
    node: usize,
    mapping: bool,
    key: Option<usize>,
    items: usize,
}

struct Builder<'a> {
    tree: Tree<'a>,
    open: Vec<Frame>,
    anchors: HashMap<usize, usize>,
    documents: usize,
}

impl<'a> Tree<'a> {
    /// Reads a text. Aliases are not followed, so a text costs what its length costs.
    pub fn parse(text: &'a str) -> Result<Self, Unreadable> {
        // The parser's own limit of 96 comments in a row would refuse files with a long header.
        let options = options! { max_buffered_comment_events: MAX_NODES };
        let tree = Tree { nodes: Vec::new(), comments: Vec::new() };
        let mut builder = Builder { tree, open: Vec::new(), anchors: HashMap::new(), documents: 0 };
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|error| Unreadable {
                line: error.marker().line(),
                column: error.marker().col() + 1,
                message: error.info(),
                limit: false,
            })?;
            builder.take(event, &span)?;
        }
        Ok(builder.tree)
    }

    /// The direct children of a node: of a mapping, keys and values in turn.
    pub fn children(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.nodes[node].end;
        let first = Some(node + 1).filter(|first| *first < end);
        std::iter::successors(first, move |child| Some(self.nodes[*child].end).filter(|next| *next < end))
    }

    /// The values that a mapping has under this key: more than one where the key stands twice.
    pub fn values_of<'s>(&'s self, mapping: usize, key: &'s str) -> impl Iterator<Item = usize> + 's {
        self.children(mapping).filter(move |child| self.key_of(*child) == Some(key))
    }

    /// The key whose value this node is, where that key is a scalar.
    pub fn key_of(&self, node: usize) -> Option<&str> {
        match self.nodes[node].place {
            Place::Value(key) => self.scalar(key),
            _ => None,
        }
    }

    /// A scalar's value.
    pub fn scalar(&self, node: usize) -> Option<&str> {
        match &self.nodes[node].kind {
            Kind::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The node that an alias stands for; any other node itself.
    pub fn resolve(&self, node: usize) -> usize {
        match self.nodes[node].kind {
            Kind::Alias(target) => target,
            _ => node,
        }
    }

    /// How a scalar is quoted, if its value can be replaced by bytes; else why not, as the end of a sentence.
    pub fn editable(&self, text: &str, node: usize) -> Result<Quote, &'static str> {
        let node = &self.nodes[node];
        let Kind::Scalar { value, style } = &node.kind else {
            return Err("is no single value");
        };
        if node.tag == NodeTag::Other {
            return Err("has a YAML tag of its own");
        }
        let raw = text.get(node.span.clone()).unwrap_or_default();
        let (quote, expected) = match style {
            ScalarStyle::Plain if raw.is_empty() => return Err("is empty"),
            ScalarStyle::Plain => (Quote::Plain, value.clone()),
            ScalarStyle::SingleQuoted => (Quote::Single, format!("'{value}'").into()),
            ScalarStyle::DoubleQuoted => (Quote::Double, format!("\"{value}\"").into()),
            _ => return Err("stands in a block scalar"),
        };
        if raw == expected { Ok(quote) } else { Err("is written with escapes or over several lines") }
    }
}

impl<'a> Builder<'a> {
    fn take(&mut self, event: Event<'a>, span: &Span) -> Result<(), Unreadable> {
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                self.add(Kind::Scalar { value, style }, anchor, tag.as_deref(), span)?;
            }
            Event::Alias(id) => {
                let target = self.anchors.get(&id).copied().unwrap_or_default();
                self.add(Kind::Alias(target), 0, None, span)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.enter(Kind::Mapping, anchor, tag.as_deref(), span)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.enter(Kind::Sequence, anchor, tag.as_deref(), span)?;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                if let Some(frame) = self.open.pop() {
                    self.tree.nodes[frame.node].end = self.tree.nodes.len();
                }
            }
            Event::DocumentEnd => self.documents += 1,
            Event::Comment(text, _) => self.tree.comments.push(Comment {
                text,
                start: span.byte_range().unwrap_or_default().start,
                line: span.start.line(),
                column: span.start.col() + 1,
            }),
            _ => {}
        }
        Ok(())
    }

    fn enter(
        &mut self,
        kind: Kind<'a>,
        anchor: usize,
        tag: Option<&Tag>,
        span: &Span,
    ) -> Result<(), Unreadable> {
        let mapping = kind == Kind::Mapping;
        let node = self.add(kind, anchor, tag, span)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(over(span, format!("it is nested deeper than {MAX_DEPTH} levels")));
        }
        self.open.push(Frame { node, mapping, key: None, items: 0 });
        Ok(())
    }

    fn add(
        &mut self,
        kind: Kind<'a>,
        anchor: usize,
        tag: Option<&Tag>,
        span: &Span,
    ) -> Result<usize, Unreadable> {
        let node = self.tree.nodes.len();
        if node >= MAX_NODES {
            return Err(over(span, format!("it has more than {MAX_NODES} values")));
        }
        let place = self.next_place(node);
        if anchor != 0 {
            self.anchors.insert(anchor, node);
        }
        self.tree.nodes.push(Node {
            kind,
            place,
            tag: match tag {
                None => NodeTag::None,
                Some(tag) if tag.is_yaml_core_schema_tag("str") => NodeTag::String,
                Some(_) => NodeTag::Other,
            },
            anchored: anchor != 0,
            parent: self.open.last().map(|frame| frame.node),
            end: node + 1,
            span: span.byte_range().unwrap_or_default(),
            line: span.start.line(),
            column: span.start.col() + 1,
        });
        Ok(node)
    }

    fn next_place(&mut self, node: usize) -> Place {
        let Some(frame) = self.open.last_mut() else {
            return Place::Root(self.documents);
        };
        if !frame.mapping {
            frame.items += 1;
            return Place::Item(frame.items - 1);
        }
        match frame.key.take() {
            Some(key) => Place::Value(key),
            None => {
                frame.key = Some(node);
                Place::Key
            }
        }
    }
}

fn over(span: &Span, message: String) -> Unreadable {
    Unreadable { line: span.start.line(), column: span.start.col() + 1, message, limit: true }
}
