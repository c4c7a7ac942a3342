use std::borrow::Cow;
use std::cmp::Ordering;

use regex::CaptureLocations;

use super::error::cut;
use super::numerical::Decimal;
use super::{Filter, Policy, Rule, SelectError, alphabetical, digest, semver};

/// A tag that the rule accepts, with what it is ranked by.
struct Candidate<'a> {
    tag: &'a str,
    rank: Rank<'a>,
}

enum Rank<'a> {
    Version(::semver::Version),
    Text(Cow<'a, str>),
    Number(Decimal<'a>),
    /// There is only one such tag.
    Only,
}

/// The newest tag that the rule accepts; `None` where it accepts none. One pass, nothing is sorted.
///
/// # Errors
/// Policy `numerical` with a candidate that is no number.
pub fn select<'a>(rule: &Rule, tags: impl Iterator<Item = &'a str>) -> Result<Option<&'a str>, SelectError> {
    let mut best: Option<Candidate<'a>> = None;
    for candidate in candidates(rule, tags) {
        let candidate = candidate?;
        if best.as_ref().is_none_or(|best| compare(&rule.policy, &candidate, best).is_gt()) {
            best = Some(candidate);
        }
    }
    Ok(best.map(|candidate| candidate.tag))
}

/// All tags that the rule accepts, best first, each once: the caller takes the first one that nothing forbids.
///
/// # Errors
/// As [`select`].
pub fn ranked<'a>(rule: &Rule, tags: impl Iterator<Item = &'a str>) -> Result<Vec<&'a str>, SelectError> {
    let mut all = candidates(rule, tags).collect::<Result<Vec<_>, _>>()?;
    all.sort_unstable_by(|left, right| compare(&rule.policy, right, left));
    let mut tags: Vec<&str> = all.into_iter().map(|candidate| candidate.tag).collect();
    tags.dedup();
    Ok(tags)
}

/// Whether the rule would take this tag if it were the only one. A tag that policy `numerical` cannot read is
/// not accepted.
pub fn accepts(rule: &Rule, tag: &str) -> bool {
    candidates(rule, std::iter::once(tag)).any(|candidate| candidate.is_ok())
}

fn candidates<'a, 'r>(
    rule: &'r Rule,
    tags: impl Iterator<Item = &'a str> + 'r,
) -> impl Iterator<Item = Result<Candidate<'a>, SelectError>> + 'r
where
    'a: 'r,
{
    let mut scratch = rule.filter.as_ref().map(Filter::scratch);
    tags.filter_map(move |tag| {
        let value = judged(rule.filter.as_ref(), scratch.as_mut(), tag)?;
        rank(&rule.policy, tag, value).map(|rank| rank.map(|rank| Candidate { tag, rank })).transpose()
    })
}

fn judged<'a>(
    filter: Option<&Filter>,
    scratch: Option<&mut CaptureLocations>,
    tag: &'a str,
) -> Option<Cow<'a, str>> {
    match (filter, scratch) {
        (Some(filter), Some(scratch)) => filter.apply(tag, scratch),
        _ => Some(Cow::Borrowed(tag)),
    }
}

fn rank<'a>(policy: &Policy, tag: &'a str, value: Cow<'a, str>) -> Result<Option<Rank<'a>>, SelectError> {
    Ok(match policy {
        Policy::Semver { range } => {
            semver::full_version(&value).filter(|version| range.matches(version)).map(Rank::Version)
        }
        Policy::Alphabetical(_) => Some(Rank::Text(value)),
        Policy::Numerical(_) => match Decimal::parse(value.clone()) {
            Some(number) => Some(Rank::Number(number)),
            None => return Err(SelectError::NotANumber { tag: cut(tag), value: cut(&value) }),
        },
        Policy::Digest { tag: followed } => digest::accepts(followed, tag).then_some(Rank::Only),
    })
}

/// The greater one is the newer one. Equals are told apart by their tags' text, the greater text being the
/// newer one, so that the same tags always give the same result.
fn compare(policy: &Policy, left: &Candidate<'_>, right: &Candidate<'_>) -> Ordering {
    let by_rank = match (policy, &left.rank, &right.rank) {
        (_, Rank::Version(left), Rank::Version(right)) => left.cmp_precedence(right),
        (Policy::Alphabetical(order), Rank::Text(left), Rank::Text(right)) => {
            alphabetical::compare(*order, left, right)
        }
        (Policy::Numerical(order), Rank::Number(left), Rank::Number(right)) => {
            order.apply(left.compare(right))
        }
        _ => Ordering::Equal,
    };
    by_rank.then_with(|| left.tag.cmp(right.tag))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn many() -> Vec<String> {
        let mixed = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        (0..100_000_u64)
            .map(|n| format!("v{}.{}.{}", mixed(n) % 50, mixed(n) % 97, mixed(n + 1) % 89))
            .collect()
    }

    fn time_of_each_policy() -> Vec<(String, Duration)> {
        let versions = many();
        let builds: Vec<String> = versions
            .iter()
            .enumerate()
            .map(|(n, _)| format!("main-{n:040x}-{}", 1_700_000_000_000 + (n as u64 * 7919) % 100_003))
            .collect();
        let ts = "^main-[0-9a-f]+-(?<ts>[0-9]+)$";
        let rule =
            |policy: Result<Policy, _>, filter, extract| Rule::new(policy.unwrap(), filter, extract).unwrap();
        let cases = [
            (rule(Policy::semver(">=1.0 <40 || ^45"), None, None), &versions),
            (rule(Policy::semver("1.x"), Some(r"^v(.*)$"), Some("$1")), &versions),
            (rule(Policy::alphabetical("asc"), None, None), &versions),
            (rule(Policy::alphabetical("asc"), Some(ts), Some("x${ts}y")), &builds),
            (rule(Policy::numerical("asc"), Some(ts), Some("$ts")), &builds),
            (rule(Policy::digest("v1.2.3"), None, None), &versions),
        ];
        let timed = |(rule, tags): (Rule, &Vec<String>)| {
            let start = Instant::now();
            assert!(select(&rule, tags.iter().map(String::as_str)).is_ok());
            (rule.policy.to_string(), start.elapsed())
        };
        cases.into_iter().map(timed).collect()
    }

    #[test]
    fn a_hundred_thousand_tags_are_no_burden() {
        for (policy, took) in time_of_each_policy() {
            assert!(took < Duration::from_secs(10), "{policy} took {took:?}");
        }
    }

    #[test]
    #[ignore = "the promised time holds in release builds on an idle machine"]
    fn a_hundred_thousand_tags_take_at_most_100_ms() {
        for (policy, took) in time_of_each_policy() {
            eprintln!("{policy}: {took:?}");
            assert!(took <= Duration::from_millis(100), "{policy} took {took:?}");
        }
    }

    #[test]
    fn no_tags_select_nothing() {
        let rule = Rule::from(Policy::semver("*").unwrap());
        assert_eq!(select(&rule, std::iter::empty()), Ok(None));
        assert_eq!(ranked(&rule, std::iter::empty()), Ok(vec![]));
    }

    #[test]
    fn a_tag_that_is_listed_twice_is_ranked_once() {
        let rule = Rule::from(Policy::alphabetical("desc").unwrap());
        assert_eq!(ranked(&rule, ["b", "a", "b"].into_iter()), Ok(vec!["a", "b"]));
    }

    #[test]
    fn equals_are_told_apart_whatever_their_order() {
        let rule =
            Rule::new(Policy::numerical("desc").unwrap(), Some("^[a-z]([0-9]+)$"), Some("$1")).unwrap();
        for tags in [["a1", "b1", "c2"], ["c2", "b1", "a1"], ["b1", "a1", "c2"]] {
            assert_eq!(select(&rule, tags.into_iter()), Ok(Some("b1")));
            assert_eq!(ranked(&rule, tags.into_iter()), Ok(vec!["b1", "a1", "c2"]));
        }
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let policy = prop_oneof![
            prop::sample::select(vec!["*", "*-0", "1.x", "^0.2", ">=1 <3", "~1.2 || >=2.0.0-0", "!=1.0.0"])
                .prop_map(|range| Policy::semver(range).unwrap()),
            prop::sample::select(vec!["asc", "desc"]).prop_map(|o| Policy::alphabetical(o).unwrap()),
            prop::sample::select(vec!["asc", "desc"]).prop_map(|o| Policy::numerical(o).unwrap()),
            Just(Policy::digest("1.2.0").unwrap()),
        ];
        let filter = prop::sample::select(vec![
            None,
            Some(("^v?[0-9]", None)),
            Some(("^v?([0-9.]+)", Some("$1"))),
            Some(("^v?([0-9]+)", Some("${1}.5"))),
        ]);
        (policy, filter).prop_map(|(policy, filter)| {
            Rule::new(policy, filter.map(|(p, _)| p), filter.and_then(|(_, e)| e)).unwrap()
        })
    }

    fn any_tag() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "v?[0-3]\\.[0-3]\\.[0-3](-(rc|alpha)\\.[0-9])?",
            2 => "[0-9]{1,22}",
            1 => "[a-z0-9.-]{0,8}",
        ]
    }

    proptest! {
        #[test]
        fn select_is_the_best_of_ranked_and_is_accepted(
            rule in any_rule(),
            tags in prop::collection::vec(any_tag(), 0..40),
        ) {
            let selected = select(&rule, tags.iter().map(String::as_str));
            let ranked = ranked(&rule, tags.iter().map(String::as_str));
            prop_assert_eq!(&selected, &ranked.as_ref().map(|all| all.first().copied()).map_err(Clone::clone));
            for tag in ranked.iter().flatten() {
                prop_assert!(accepts(&rule, tag), "{} is ranked and not accepted", tag);
            }
            let mut backwards = tags.clone();
            backwards.reverse();
            if selected.is_ok() {
                prop_assert_eq!(selected, select(&rule, backwards.iter().map(String::as_str)));
            }
        }
    }
}
