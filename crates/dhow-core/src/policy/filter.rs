use std::borrow::Cow;

use regex::{CaptureLocations, Regex, RegexBuilder};

use super::PolicyError;
use super::error::cut;

/// Longest filter and longest extract, in bytes.
const MAX_TEXT: usize = 1024;
/// Largest compiled filter, in bytes.
const MAX_COMPILED: usize = 8 << 20;

/// What a tag must look like, and which part of it the policy judges: Flux's `filterTags`.
///
/// The pattern may match anywhere in a tag; anchor it with `^` and `$` where the whole tag is meant. Matching
/// takes time in proportion to the tag's length, whatever the pattern.
#[derive(Debug, Clone)]
pub struct Filter {
    pattern: Regex,
    extract: Option<Template>,
}

impl Filter {
    /// Reads a pattern and, where there is one, what to extract. Fails if the pattern is no regular expression,
    /// if it is too large, or if the extract names no group or one that the pattern does not have.
    pub fn new(pattern: &str, extract: Option<&str>) -> Result<Self, PolicyError> {
        let fail = |problem: String| PolicyError::Pattern { pattern: cut(pattern), problem };
        if pattern.len() > MAX_TEXT {
            return Err(fail(format!("it has {} bytes; at most {MAX_TEXT} are allowed", pattern.len())));
        }
        let regex = RegexBuilder::new(pattern).size_limit(MAX_COMPILED).build().map_err(|e| match e {
            regex::Error::CompiledTooBig(_) => {
                fail("it is too large once compiled; repeat less, or write [a-z0-9] in place of \\w".into())
            }
            other => fail(other.to_string()),
        })?;
        let extract = extract.map(|text| Template::parse(text, &regex)).transpose()?;
        Ok(Self { pattern: regex, extract })
    }

    /// The filter of the two keys `filter` and `extract` of a file, either of which may be absent.
    /// Fails as [`Filter::new`] does, and if there is an extract without a filter.
    pub fn from_parts(pattern: Option<&str>, extract: Option<&str>) -> Result<Option<Self>, PolicyError> {
        match (pattern, extract) {
            (Some(pattern), extract) => Self::new(pattern, extract).map(Some),
            (None, Some(extract)) => Err(PolicyError::ExtractWithoutFilter { extract: cut(extract) }),
            (None, None) => Ok(None),
        }
    }

    /// The pattern as it was written.
    pub fn pattern(&self) -> &str {
        self.pattern.as_str()
    }

    /// What is extracted, where something is.
    pub fn extract(&self) -> Option<&Template> {
        self.extract.as_ref()
    }

    /// Memory for [`Filter::apply`], made once and used for many tags.
    pub(super) fn scratch(&self) -> CaptureLocations {
        self.pattern.capture_locations()
    }

    /// What the policy judges of this tag; `None` where the pattern does not match.
    pub(super) fn apply<'a>(&self, tag: &'a str, scratch: &mut CaptureLocations) -> Option<Cow<'a, str>> {
        let Some(template) = &self.extract else {
            return self.pattern.is_match(tag).then_some(Cow::Borrowed(tag));
        };
        self.pattern.captures_read(scratch, tag)?;
        Some(template.expand(tag, scratch))
    }
}

/// Filters are equal when they were written the same.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.pattern() == other.pattern() && self.extract == other.extract
    }
}

impl Eq for Filter {}

/// What to extract from a tag that a filter matches: text with `$1`, `$name` or `${name}` in it.
///
/// As in Flux, `$` takes the longest name that can follow it (`$1x` is the group `1x`; write `${1}x`), `$$` is
/// a dollar sign, and a group that took no part in the match is empty. Unlike Flux, a name that the pattern
/// does not have is an error: it would be empty for every tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Group(usize),
}

impl Template {
    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn parse(text: &str, regex: &Regex) -> Result<Self, PolicyError> {
        let fail = |problem: String| PolicyError::Extract { extract: cut(text), problem };
        if text.len() > MAX_TEXT {
            return Err(fail(format!("it has {} bytes; at most {MAX_TEXT} are allowed", text.len())));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            let (name, next) = group_name(after);
            rest = next;
            match name {
                Some(name) => {
                    let group = find_group(regex, name).ok_or_else(|| fail(unknown_group(regex, name)))?;
                    parts.extend((!literal.is_empty()).then(|| Part::Literal(std::mem::take(&mut literal))));
                    parts.push(Part::Group(group));
                }
                None => {
                    literal.push('$');
                    rest = rest.strip_prefix('$').unwrap_or(rest);
                }
            }
        }
        literal.push_str(rest);
        if parts.is_empty() {
            return Err(fail("it names no group of the filter; write $1, $name or ${name}".into()));
        }
        parts.extend((!literal.is_empty()).then_some(Part::Literal(literal)));
        Ok(Self { text: text.to_owned(), parts })
    }

    fn expand<'a>(&self, tag: &'a str, groups: &CaptureLocations) -> Cow<'a, str> {
        let group = |index| groups.get(index).map_or("", |(start, end)| &tag[start..end]);
        if let [Part::Group(index)] = self.parts[..] {
            return Cow::Borrowed(group(index));
        }
        let mut value = String::new();
        for part in &self.parts {
            value.push_str(match part {
                Part::Literal(text) => text,
                Part::Group(index) => group(*index),
            });
        }
        Cow::Owned(value)
    }
}

/// The name at the start of what follows a `$`, and the rest after it.
fn group_name(after: &str) -> (Option<&str>, &str) {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some((name, rest)) = after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
        return (Some(name), rest);
    }
    let end = after.find(|c| !legal(c)).unwrap_or(after.len());
    let (name, rest) = after.split_at(end);
    ((!name.is_empty()).then_some(name), rest)
}

fn find_group(regex: &Regex, name: &str) -> Option<usize> {
    match name.parse::<usize>() {
        Ok(index) => (index < regex.captures_len()).then_some(index),
        Err(_) => regex.capture_names().position(|known| known == Some(name)),
    }
}

fn unknown_group(regex: &Regex, name: &str) -> String {
    let names: Vec<&str> = regex.capture_names().flatten().collect();
    let numbered = regex.captures_len() - 1;
    let has = match (numbered, names.is_empty()) {
        (0, _) => "no groups".to_owned(),
        (count, true) => format!("{count} without names"),
        (count, false) => format!("{count}, of which these have names: {}", names.join(", ")),
    };
    format!("the filter has no group {:?}; it has {has}", cut(name))
}

#[cfg(test)]
mod tests {
    use super::super::{Policy, Rule, accepts, ranked, select};
    use super::*;

    fn value(pattern: &str, extract: &str, tag: &str) -> Option<String> {
        let filter = Filter::new(pattern, Some(extract)).unwrap();
        filter.apply(tag, &mut filter.scratch()).map(Cow::into_owned)
    }

    #[test]
    fn tags_that_do_not_match_are_dropped_and_the_original_tag_is_selected() {
        let rule = Rule::new(
            Policy::numerical("asc").unwrap(),
            Some("^main-[a-f0-9]+-(?P<ts>[0-9]+)$"),
            Some("$ts"),
        )
        .unwrap();
        let tags = ["main-ffff-100", "latest", "main-0000-200", "dev-1111-900"];
        assert_eq!(select(&rule, tags.into_iter()), Ok(Some("main-0000-200")));
        assert!(accepts(&rule, "main-ffff-100"));
        assert!(!accepts(&rule, "dev-1111-900"));
    }

    #[test]
    fn without_an_extract_the_whole_tag_is_judged() {
        let rule = Rule::new(Policy::semver("*").unwrap(), Some("^1"), None).unwrap();
        assert_eq!(ranked(&rule, ["1.0.0", "2.0.0", "1.1.0"].into_iter()), Ok(vec!["1.1.0", "1.0.0"]));
    }

    #[test]
    fn groups_are_named_by_number_name_and_braces() {
        let pattern = "^(?<name>[a-z]+)-([0-9]+)$";
        assert_eq!(value(pattern, "$2", "a-7").as_deref(), Some("7"));
        assert_eq!(value(pattern, "$name", "a-7").as_deref(), Some("a"));
        assert_eq!(value(pattern, "${2}x${name}", "a-7").as_deref(), Some("7xa"));
        assert_eq!(value(pattern, "$0", "a-7").as_deref(), Some("a-7"));
        assert_eq!(value(pattern, "$$$2.$", "a-7").as_deref(), Some("$7.$"));
        assert_eq!(value(pattern, "$2", "A-7"), None);
        assert_eq!(value("^a(b)?", "$1", "ac").as_deref(), Some(""));
    }

    #[test]
    fn an_extract_that_could_not_work_is_refused_with_the_reason() {
        for (pattern, extract, says) in [
            ("^(a)$", "$2", "no group \"2\""),
            ("^(a)$", "$1x", "no group \"1x\""),
            ("^(?<ts>a)$", "$tz", "names: ts"),
            ("^a$", "$1", "no groups"),
            ("^(a)$", "1", "names no group"),
            ("^(a)$", "", "names no group"),
            ("^(a)$", "${}", "no group \"\""),
        ] {
            let message = Filter::new(pattern, Some(extract)).unwrap_err().to_string();
            assert!(message.contains(says), "{extract}: {message}");
        }
        let message = Filter::from_parts(None, Some("$1")).unwrap_err().to_string();
        assert!(message.contains("without a filter"), "{message}");
        assert_eq!(Filter::from_parts(None, None), Ok(None));
    }

    #[test]
    fn a_pattern_that_is_wrong_or_too_large_is_refused() {
        let message = Filter::new("(", None).unwrap_err().to_string();
        assert!(message.contains("unclosed group"), "{message}");
        let message = Filter::new(r"(\w{500}){500}", None).unwrap_err().to_string();
        assert!(message.contains("too large"), "{message}");
        let message = Filter::new(&"a".repeat(2000), None).unwrap_err().to_string();
        assert!(message.contains("2000 bytes"), "{message}");
        assert!(Filter::new(r"^[\w.-]{1,128}$", None).is_ok(), "an ordinary pattern is refused");
    }
}
