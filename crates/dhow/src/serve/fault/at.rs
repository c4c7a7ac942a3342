//! Where a process ends: `CLASS:NUMBER:SIDE`.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, bail};

/// What kind of call a point is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A batch of the store.
    Batch,
    /// The objects of a commit.
    Write,
    /// A push to the fleet's branch.
    Push,
    /// A push of a proposal's branch.
    Branch,
    /// The content of a bundle.
    Bundle,
    /// A step of a rollout.
    Step,
    /// A step that is taken back.
    Undo,
    /// The removal of a deployment from a place.
    Remove,
}

/// All classes with their names.
const CLASSES: [(Class, &str); 8] = [
    (Class::Batch, "batch"),
    (Class::Write, "write"),
    (Class::Push, "push"),
    (Class::Branch, "branch"),
    (Class::Bundle, "bundle"),
    (Class::Step, "step"),
    (Class::Undo, "undo"),
    (Class::Remove, "remove"),
];

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = CLASSES.iter().find(|(class, _)| class == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

/// When, of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It does not begin.
    Before,
    /// It is done, and nobody learns of it.
    After,
    /// So many microseconds, or bytes, after it began.
    Within(u64),
}

/// The point at which the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// Its class.
    pub class: Class,
    /// Its number in the class, from 1.
    pub number: u64,
    /// When, of the call.
    pub side: Side,
}

impl FromStr for At {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let shown = || format!("DHOW_CRASH_AT={text:?} is no point; write batch:12:before, :after or :+500");
        let parts: Vec<&str> = text.split(':').collect();
        let [class, number, side] = parts[..] else { bail!(shown()) };
        let (class, _) = CLASSES.iter().find(|(_, name)| *name == class).with_context(shown)?;
        let side = match side {
            "before" => Side::Before,
            "after" => Side::After,
            within => {
                Side::Within(within.strip_prefix('+').with_context(shown)?.parse().with_context(shown)?)
            }
        };
        Ok(Self { class: *class, number: number.parse().with_context(shown)?, side })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_class_a_number_and_a_side() {
        let at: At = "step:3:+500".parse().unwrap();
        assert_eq!(at, At { class: Class::Step, number: 3, side: Side::Within(500) });
        assert_eq!("batch:12:before".parse::<At>().unwrap().side, Side::Before);
        for bad in ["", "batch", "batch:1", "batch:x:after", "boat:1:after", "push:1:5"] {
            assert!(bad.parse::<At>().is_err(), "{bad}");
        }
    }
}
