//! Writing versions into the scalars that were found, and the proof that nothing else changed.

use std::collections::BTreeMap;

use crate::noun::{ImageReference, Pin};

use super::EditError;
use super::find::env_values;
use super::scalar::{is_plain_string, render};
use super::site::{Form, Part, Quote, Role, Site};
use super::tree::{Kind, NodeTag, Tree};

/// Writes one version at all these sites of one text, and gives the new text. See [`apply`].
pub fn set(text: &str, sites: &[Site], pin: &Pin) -> Result<String, EditError> {
    let edits: Vec<_> = sites.iter().map(|site| (site.clone(), pin.reference())).collect();
    write(text, &edits)
}

/// Writes several versions into one text, and gives the new text.
///
/// Where a scalar can hold it, `repo:tag@digest` is written, the repository as the file spells it; elsewhere the part
/// that the scalar stands for. All of it or nothing: an error says why nothing was written.
pub fn apply(text: &str, edits: &[(Site, Pin)]) -> Result<String, EditError> {
    let edits: Vec<_> = edits.iter().map(|(site, pin)| (site.clone(), pin.reference())).collect();
    write(text, &edits)
}

/// As [`apply`], with references that may have no digest, or no tag. Where a scalar needs the part that is missing,
/// that is an error; a whole reference is written without it, and so loses an old digest.
pub fn write(text: &str, edits: &[(Site, ImageReference)]) -> Result<String, EditError> {
    let changes = changes(text, edits)?;
    let (Some(first), false) = (edits.first(), changes.is_empty()) else {
        return Ok(text.to_owned());
    };
    let mut new = String::with_capacity(text.len() + 100 * changes.len());
    let mut copied = 0;
    for (start, change) in &changes {
        new.push_str(&text[copied..*start]);
        new.push_str(&change.raw);
        copied = change.part.span.end;
    }
    new.push_str(&text[copied..]);
    let wanted: BTreeMap<usize, &str> =
        changes.values().map(|change| (change.part.node, change.value.as_str())).collect();
    let proof = match first.0.form {
        Form::Env => prove_env(text, &new, &wanted),
        _ => prove_yaml(text, &new, &wanted),
    };
    match proof {
        Ok(()) => Ok(new),
        Err(problem) => Err(EditError::Unproved { file: first.0.file.clone(), problem }),
    }
}

/// What one scalar becomes.
struct Change<'a> {
    part: &'a Part,
    value: String,
    raw: String,
}

/// The changes by the place where they begin; scalars that hold their version already have none.
fn changes<'a>(
    text: &str,
    edits: &'a [(Site, ImageReference)],
) -> Result<BTreeMap<usize, Change<'a>>, EditError> {
    let mut all: BTreeMap<usize, Change<'a>> = BTreeMap::new();
    for (site, reference) in edits {
        check_repository(site, reference)?;
        for part in &site.parts {
            let old = text.get(part.span.clone());
            if old.is_none_or(|old| unquoted(old, part.quote) != Some(part.value.as_str())) {
                return Err(EditError::Stale { file: site.file.clone(), line: part.line });
            }
            let value = value_for(site, part, reference)?;
            let raw = match site.form {
                Form::Env if part.quote == Quote::Plain => Some(value.clone()),
                _ => render(&value, part.quote),
            };
            let Some(raw) = raw else {
                let problem = format!("{value:?} would have to be escaped");
                return Err(EditError::Unproved { file: site.file.clone(), problem });
            };
            if let Some(other) = all.get(&part.span.start)
                && other.value != value
            {
                let (file, first) = (site.file.clone(), other.value.clone());
                return Err(EditError::Conflict { file, line: part.line, first, second: value });
            }
            all.insert(part.span.start, Change { part, value, raw });
        }
    }
    all.retain(|_, change| text.get(change.part.span.clone()) != Some(change.raw.as_str()));
    Ok(all)
}

fn unquoted(raw: &str, quote: Quote) -> Option<&str> {
    let mark = match quote {
        Quote::Plain => return Some(raw),
        Quote::Single => '\'',
        Quote::Double => '"',
    };
    raw.strip_prefix(mark)?.strip_suffix(mark)
}

/// A site that was found by its repository takes versions of that repository only; a marker or a path takes any.
fn check_repository(site: &Site, reference: &ImageReference) -> Result<(), EditError> {
    match &site.key {
        super::SiteKey::Repository(found) if *found != reference.repository => {
            Err(EditError::OtherRepository {
                file: site.file.clone(),
                line: site.line,
                found: Box::new(found.clone()),
                wanted: Box::new(reference.repository.clone()),
            })
        }
        _ => Ok(()),
    }
}

/// The new value of one scalar.
fn value_for(site: &Site, part: &Part, reference: &ImageReference) -> Result<String, EditError> {
    let (file, line) = (site.file.clone(), part.line);
    match part.role {
        Role::Whole => {
            let mut value = spelled(part, reference);
            if let Some(tag) = &reference.tag {
                value = format!("{value}:{tag}");
            }
            if let Some(digest) = &reference.digest {
                value = format!("{value}@{digest}");
            }
            Ok(value)
        }
        Role::Name => Ok(spelled(part, reference)),
        Role::Tag => {
            reference.tag.as_ref().map(ToString::to_string).ok_or(EditError::NeedsTag { file, line })
        }
        Role::Digest => {
            reference.digest.as_ref().map(ToString::to_string).ok_or(EditError::NeedsDigest { file, line })
        }
    }
}

/// The repository as the file spells it, where it is the same one.
fn spelled(part: &Part, reference: &ImageReference) -> String {
    let old = part.value.as_str();
    match old.parse::<ImageReference>() {
        Ok(parsed) if parsed.repository == reference.repository => {
            let name = old.split_once('@').map_or(old, |(name, _)| name);
            match name.rsplit_once(':') {
                Some((name, tag)) if !tag.contains('/') => name.to_owned(),
                _ => name.to_owned(),
            }
        }
        _ => reference.repository.to_string(),
    }
}

/// That the new text has the old one's nodes and comments, and differs in the wanted values only.
fn prove_yaml(old: &str, new: &str, wanted: &BTreeMap<usize, &str>) -> Result<(), String> {
    let read = |text| Tree::parse(text).map_err(|error| format!("line {}: {}", error.line, error.message));
    let (old, new) = (read(old)?, read(new)?);
    if old.nodes.len() != new.nodes.len() || old.comments.len() != new.comments.len() {
        return Err("the file would have other keys, values or comments".to_owned());
    }
    if old.comments.iter().zip(&new.comments).any(|(old, new)| old.text != new.text) {
        return Err("a comment would change".to_owned());
    }
    for (at, (old, new)) in old.nodes.iter().zip(&new.nodes).enumerate() {
        let same_place = old.place == new.place
            && (old.parent, old.end, old.tag, old.anchored) == (new.parent, new.end, new.tag, new.anchored);
        let as_wanted = match (wanted.get(&at), &new.kind) {
            (None, kind) => old.kind == *kind,
            (Some(wanted), Kind::Scalar { value, style }) => {
                let string = *style != granit_parser::ScalarStyle::Plain
                    || new.tag == NodeTag::String
                    || is_plain_string(value);
                value == wanted && string
            }
            (Some(_), _) => false,
        };
        if !(same_place && as_wanted) {
            return Err(format!("line {} would mean something else", new.line));
        }
    }
    Ok(())
}

/// The same for an `.env` file.
fn prove_env(old: &str, new: &str, wanted: &BTreeMap<usize, &str>) -> Result<(), String> {
    let (old, new) = (env_values(old), env_values(new));
    if old.len() != new.len() {
        return Err("the file would have other values".to_owned());
    }
    for (at, (old, new)) in old.iter().zip(&new).enumerate() {
        let value = wanted.get(&at).copied().unwrap_or(old.value);
        if (old.key, value, old.quote, old.line) != (new.key, new.value, new.quote, new.line) {
            return Err(format!("line {} would mean something else", new.line));
        }
    }
    Ok(())
}
