//! The instants at which a process can be killed: the points that the binary notes as it passes them.

use std::collections::BTreeSet;
use std::fmt;

/// A point, and when of its call the process dies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// What kind of call: `batch`, `push`, `step`.
    pub class: String,
    /// Its number in the class, from 1, in one process.
    pub number: u64,
    /// `before`, `after`, or `+N`.
    pub side: String,
    /// What the call was in the undisturbed run, for people.
    pub words: String,
}

impl Point {
    /// The value of `DHOW_CRASH_AT`.
    pub fn at(&self) -> String {
        format!("{}:{}:{}", self.class, self.number, self.side)
    }

    /// The point of `DHOW_CRASH_AT`; none where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let [class, number, side] = parts[..] else { return None };
        Some(Self {
            class: class.into(),
            number: number.parse().ok()?,
            side: side.into(),
            words: String::new(),
        })
    }

    fn with(&self, side: impl Into<String>) -> Self {
        Self { side: side.into(), ..self.clone() }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.at(), self.words)
    }
}

/// The class of the deaths that a scenario brings about by itself, at instants that only it knows.
pub const OWN: &str = "own";

/// A scenario's own ways to die.
pub fn own(count: u64) -> Vec<Point> {
    let one = |number| Point { class: OWN.into(), number, side: "now".into(), words: String::new() };
    (1..=count).map(one).collect()
}

/// The points of a log, in their order, each without a side.
pub fn passed(log: &str) -> Vec<Point> {
    let line = |line: &str| {
        let mut parts = line.splitn(3, ' ');
        let (class, number) = (parts.next()?, parts.next()?.parse().ok()?);
        let words = parts.next().unwrap_or_default().to_owned();
        Some(Point { class: class.into(), number, side: String::new(), words })
    };
    log.lines().filter_map(line).collect()
}

/// Microseconds after which a process dies in the midst of an effect.
const WITHIN: [u64; 4] = [200, 2_000, 8_000, 30_000];
/// Bytes of a bundle after which it dies.
const BYTES: [u64; 2] = [0, 300];

/// All the ways to die in a run that passed these points.
pub fn deaths(passed: &[Point]) -> Vec<Point> {
    let mut all = Vec::new();
    for point in passed {
        match point.class.as_str() {
            "batch" | "branch" | "write" => all.extend(["before", "after"].map(|side| point.with(side))),
            "bundle" => all.extend(BYTES.map(|bytes| point.with(format!("+{bytes}")))),
            _ => {
                all.push(point.with("after"));
                all.extend(WITHIN.map(|micros| point.with(format!("+{micros}"))));
            }
        }
    }
    all
}

/// About so many of them: the first that says a thing comes before those that say it again.
pub fn sample(mut all: Vec<Point>, count: usize) -> Vec<Point> {
    if all.len() <= count {
        return all;
    }
    let mut said = BTreeSet::new();
    let (mut first, again): (Vec<_>, Vec<_>) =
        all.drain(..).partition(|point| said.insert((point.words.clone(), point.side.clone())));
    if first.len() < count {
        first.extend(again);
    }
    let total = first.len();
    (0..count).map(|n| first[n * total / count].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str =
        "batch 1 row/cursors\nwrite 1 shop stage: web 1.0.0\nbatch 2 commit_started\npush 1 \ndied\n";

    #[test]
    fn a_log_gives_its_points_and_each_of_them_its_deaths() {
        let points = passed(LOG);
        assert_eq!(points.len(), 4);
        assert_eq!(points[1].words, "shop stage: web 1.0.0");
        let deaths = deaths(&points);
        assert_eq!(deaths[0].at(), "batch:1:before");
        assert!(deaths.iter().any(|point| point.at() == "push:1:+200"));
        assert_eq!(Point::parse("push:1:+200").map(|point| point.at()).as_deref(), Some("push:1:+200"));
        assert_eq!(Point::parse("push:1"), None);
    }

    #[test]
    fn a_sample_is_spread_over_all_of_them() {
        let sample = sample(deaths(&passed(LOG)), 4);
        assert_eq!(sample.len(), 4);
        assert!(sample.iter().any(|point| point.class == "push"));
    }
}
