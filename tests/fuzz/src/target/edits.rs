//! Edits: whatever the file, an edit changes the bytes of the version and no others, and the version is there then.

use dhow_core::edit::{self, EditError, FindRequest, Form, Site, SiteKey};
use dhow_core::noun::{Digest, Pin, Tag};
use dhow_core::yaml::{self, Kind, Node};

use crate::text;

/// The first line names the file, the new tag, and `oob` paths.
pub(super) fn body(data: &[u8]) {
    let Ok(all) = std::str::from_utf8(data) else { return };
    let (head, text) = text::head(all);
    let mut words = head.split(' ');
    let file = words.next().filter(|file| !file.is_empty()).unwrap_or("compose.yaml");
    let tag = words.next().and_then(|tag| Tag::new(tag).ok());
    let oob = words.map(str::to_owned).collect();
    let request = FindRequest { oob, env_file: file.ends_with(".env"), ..FindRequest::default() };
    let tag = tag.unwrap_or_else(|| Tag::new("2.0").expect("a tag"));
    let found = edit::find(file, text, &request);
    for (number, site) in found.sites.iter().enumerate() {
        assert!(site.line >= 1 && site.column >= 1 && site.line <= yaml::lines(text).count().max(1));
        one(file, text, &request, (number, site), &tag);
    }
    together(text, &found.sites, &tag);
}

fn pin(site: &Site, tag: &Tag) -> Pin {
    let repository = match &site.key {
        SiteKey::Repository(repository) => Some(repository.clone()),
        _ => site.repository.clone(),
    };
    let repository = repository.unwrap_or_else(|| "ghcr.io/acme/web".parse().expect("a repository"));
    Pin { repository, tag: Some(tag.clone()), digest: Digest::of(b"new") }
}

/// One site: its bytes change, and it holds the version then.
fn one(file: &str, text: &str, request: &FindRequest, (number, site): (usize, &Site), tag: &Tag) {
    let pin = pin(site, tag);
    let new = edit::set(text, std::slice::from_ref(site), &pin)
        .unwrap_or_else(|error| panic!("{site:?} of {text:?} cannot be set: {error}"));
    only_versions_differ(text, &new, &pin);
    if site.form != Form::Env {
        same_tree(text, &new, &pin);
    }
    let again = edit::find(file, &new, request);
    let Some(written) = again.sites.get(number).filter(|written| written.line == site.line) else {
        panic!("{site:?} is not found again in {new:?}, which was {text:?}");
    };
    if site.holds_digest() {
        assert_eq!(written.digest, Some(pin.digest), "{new:?} was {text:?}");
    }
    if site.holds_tag() {
        assert_eq!(written.tag.as_ref(), Some(tag), "{new:?} was {text:?}");
    }
    let twice = edit::set(&new, std::slice::from_ref(written), &pin);
    assert_eq!(twice.as_deref().ok(), Some(new.as_str()), "the same edit again changes nothing");
}

/// All sites in one edit: refused where two want one scalar to differ, else nothing is lost.
fn together(text: &str, sites: &[Site], tag: &Tag) {
    let edits: Vec<_> = sites.iter().map(|site| (site.clone(), pin(site, tag))).collect();
    match edit::apply(text, &edits) {
        Ok(new) => assert_eq!(new.lines().count(), text.lines().count(), "{text:?} became {new:?}"),
        Err(EditError::Conflict { .. } | EditError::Unproved { .. }) => {}
        Err(error) => panic!("{text:?} cannot be edited: {error}"),
    }
}

/// The texts differ, line by line, in what is a part of the version.
fn only_versions_differ(old: &str, new: &str, pin: &Pin) {
    let whole = pin.reference().to_string();
    assert_eq!(old.split('\n').count(), new.split('\n').count(), "{old:?} became {new:?}");
    for (old, new) in old.split('\n').zip(new.split('\n')).filter(|(old, new)| old != new) {
        let front = old.bytes().zip(new.bytes()).take_while(|(old, new)| old == new).count();
        let rest = (&old.as_bytes()[front..], &new.as_bytes()[front..]);
        let back = rest.0.iter().rev().zip(rest.1.iter().rev()).take_while(|(old, new)| old == new).count();
        let gone = &rest.0[..rest.0.len() - back];
        let came = String::from_utf8_lossy(&rest.1[..rest.1.len() - back]).into_owned();
        // Where a plain value would be read as a number, quotes come with it.
        let came = came.trim_matches(['"', '\'']);
        assert!(whole.contains(came), "{came:?} came into {old:?}: {new:?}");
        // Between quotes these are letters like any other.
        let within = |quote: u8| {
            let opened = old.bytes().take(front).filter(|b| *b == quote).count() % 2 == 1;
            opened && !gone.contains(&quote)
        };
        if within(b'"') || within(b'\'') {
            continue;
        }
        assert!(!gone.windows(2).any(|two| matches!(two, b" #" | b"\t#" | b": ")), "{old:?} became {new:?}");
    }
}

/// Dhow's other reader of YAML sees the same tree, but for the version.
fn same_tree(old: &str, new: &str, pin: &Pin) {
    let (before, after) = (yaml::parse("x", old.as_bytes()), yaml::parse("x", new.as_bytes()));
    assert_eq!(before.problems.len(), after.problems.len(), "{old:?} became {new:?}");
    assert_eq!(before.documents.len(), after.documents.len(), "{old:?} became {new:?}");
    for (before, after) in before.documents.iter().zip(&after.documents) {
        same_node(before, after, pin);
    }
}

fn same_node(old: &Node, new: &Node, pin: &Pin) {
    match (&old.kind, &new.kind) {
        (Kind::Map(old), Kind::Map(new)) => {
            assert_eq!(old.len(), new.len());
            for ((old_key, old), (new_key, new)) in old.iter().zip(new) {
                assert_eq!(old_key.text, new_key.text);
                same_node(old, new, pin);
            }
        }
        (Kind::Seq(old), Kind::Seq(new)) => {
            assert_eq!(old.len(), new.len());
            old.iter().zip(new).for_each(|(old, new)| same_node(old, new, pin));
        }
        (Kind::Scalar { text: old, .. }, Kind::Scalar { text: new, .. }) => {
            let digest = pin.digest.to_string();
            let tag = pin.tag.as_ref().expect("a tag").as_str();
            let is_version =
                new.contains(&digest) || new.ends_with(tag) || *new == pin.repository.to_string();
            assert!(old == new || is_version, "{old:?} became {new:?}");
        }
        (old, new) => panic!("{old:?} became {new:?}"),
    }
}
