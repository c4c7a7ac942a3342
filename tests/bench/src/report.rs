//! Figures beside their goals.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

/// What a figure should be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

impl Goal {
    fn words(self) -> (&'static str, f64) {
        match self {
            Self::AtMost(goal) => ("at most", goal),
            Self::AtLeast(goal) => ("at least", goal),
        }
    }

    fn met(self, value: f64) -> bool {
        match self {
            Self::AtMost(goal) => value <= goal,
            Self::AtLeast(goal) => value >= goal,
        }
    }
}

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What was measured, such as `voyage, alone: p50`.
    pub what: String,
    /// How much.
    pub value: f64,
    /// Of what: `ms`, `MiB`, `calls`, `times`.
    pub unit: &'static str,
    /// What it should be.
    pub goal: Option<Goal>,
}

/// All figures of a run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// In the order in which they were measured.
    pub figures: Vec<Figure>,
}

impl Report {
    /// A figure without a goal.
    pub fn tell(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.add(what, value, unit, None);
    }

    /// A figure, and its goal where it has one.
    pub fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str, goal: Option<Goal>) {
        let figure = Figure { what: what.into(), value, unit, goal };
        eprintln!("  {}", line(&figure));
        self.figures.push(figure);
    }

    /// Median, 95th percentile and maximum of times, in milliseconds.
    pub fn times(&mut self, what: &str, times: &[Duration], p50: Option<Goal>, p95: Option<Goal>) {
        let mut sorted: Vec<f64> = times.iter().map(|time| ms(*time)).collect();
        sorted.sort_by(f64::total_cmp);
        self.add(format!("{what}: p50 of {}", times.len()), percentile(&sorted, 50), "ms", p50);
        self.add(format!("{what}: p95"), percentile(&sorted, 95), "ms", p95);
        self.add(format!("{what}: maximum"), percentile(&sorted, 100), "ms", None);
    }

    /// For people.
    pub fn table(&self) -> String {
        self.figures.iter().fold(String::new(), |mut table, figure| {
            let _ = writeln!(table, "{}", line(figure));
            table
        })
    }

    /// For docs/performance.md.
    pub fn markdown(&self) -> String {
        let head = "| what | measured | goal | |\n| --- | ---: | ---: | --- |\n".to_owned();
        self.figures.iter().fold(head, |mut table, Figure { what, value, unit, goal }| {
            let digits = digits(*value);
            let (wanted, verdict) = match goal {
                None => (String::new(), ""),
                Some(of) => {
                    let (sign, wanted) = of.words();
                    (format!("{sign} {wanted} {unit}"), if of.met(*value) { "met" } else { "**missed**" })
                }
            };
            let _ = writeln!(table, "| {what} | {value:.digits$} {unit} | {wanted} | {verdict} |");
            table
        })
    }
}

/// Milliseconds, with their parts.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The smallest of sorted values that so many percent are not above.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Digits behind the point that say something.
fn digits(value: f64) -> usize {
    if value >= 100.0 || value.fract() == 0.0 { 0 } else { 2 }
}

fn line(figure: &Figure) -> String {
    let Figure { what, value, unit, goal } = figure;
    let digits = digits(*value);
    let goal = match goal {
        None => String::new(),
        Some(of) => {
            let (words, wanted) = of.words();
            let verdict = if of.met(*value) { "met" } else { "MISSED" };
            format!("   goal: {words} {wanted} {unit}: {verdict}")
        }
    };
    format!("{what:<72} {value:>12.digits$} {unit:<8}{goal}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!([50, 95, 100].map(|percent| percentile(&values, percent)), [10.0, 19.0, 20.0]);
        assert!(percentile(&[], 50).is_nan());
    }

    #[test]
    fn a_goal_that_is_missed_is_told() {
        let figure = |value, goal| Figure { what: "x".into(), value, unit: "ms", goal: Some(goal) };
        assert!(line(&figure(301.0, Goal::AtMost(300.0))).ends_with("at most 300 ms: MISSED"));
        assert!(line(&figure(0.8, Goal::AtLeast(0.8))).ends_with("met"));
    }
}
