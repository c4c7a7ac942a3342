use super::super::{Policy, Rule, ranked, select};
use super::*;

/// Versions in the range, versions out of it.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

fn check(cases: &[Case<'_>]) {
    for (range, inside, outside) in cases {
        let parsed = SemverRange::parse(range).unwrap();
        for version in *inside {
            assert!(parsed.matches(&full_version(version).unwrap()), "{range} must accept {version}");
        }
        for version in *outside {
            assert!(!parsed.matches(&full_version(version).unwrap()), "{range} must not accept {version}");
        }
    }
}

#[test]
fn open_parts_stand_for_any_number() {
    check(&[
        ("*", &["0.0.0", "1.2.3", "99.0.0"], &["1.0.0-rc.1"]),
        ("1.x", &["1.0.0", "1.99.3"], &["0.9.9", "2.0.0"]),
        ("1.0.x", &["1.0.0", "1.0.9"], &["1.1.0", "0.9.0"]),
        ("1.X.*", &["1.4.2"], &["2.0.0"]),
        ("1.x.3", &["1.0.0", "1.4.2"], &["2.0.3"]),
        ("x", &["3.4.5"], &[]),
        ("2", &["2.1.1"], &["1.0.0", "3.4.5"]),
        ("2.1", &["2.1.1"], &["2.2.1"]),
        ("= 2.0", &["2.0.0", "2.0.1"], &["1.2.3", "2.1.0"]),
        ("v1.2", &["1.2.9"], &["1.3.0"]),
        ("2024.01.x", &["2024.1.7"], &["2024.2.0"]),
    ]);
}

#[test]
fn caret_keeps_the_leftmost_part_that_is_not_zero() {
    check(&[
        ("^1.2.3", &["1.2.3", "1.8.9"], &["1.2.2", "2.0.0"]),
        ("^1.0", &["1.0.0", "1.9.0"], &["2.0.0", "0.9.0"]),
        ("^1.2.x", &["1.2.0", "1.3.0"], &["1.1.9", "2.0.0"]),
        ("^1", &["1.8.9"], &["2.8.9"]),
        ("^0.2.3", &["0.2.3", "0.2.5"], &["0.2.2", "0.3.0", "1.2.3"]),
        ("^0.2", &["0.2.0", "0.2.5"], &["0.5.6", "0.1.9", "1.2.0"]),
        ("^0.0.3", &["0.0.3"], &["0.0.4", "0.0.2", "0.1.3", "1.0.3"]),
        ("^0.0", &["0.0.0", "0.0.3"], &["0.1.4", "1.0.4"]),
        ("^0", &["0.0.1", "0.2.3"], &["1.1.4"]),
        ("^0.0.0", &["0.0.0"], &["0.0.1", "1.2.3"]),
        ("^*", &["0.1.0", "7.0.0"], &[]),
    ]);
}

#[test]
fn tilde_keeps_the_minor_number_where_it_is_given() {
    check(&[
        ("~1.2.3", &["1.2.3", "1.2.9"], &["1.2.2", "1.3.0", "2.2.3"]),
        ("~1.0", &["1.0.0", "1.0.9"], &["1.1.0"]),
        ("~1", &["1.0.0", "1.3.5"], &["2.0.0", "0.9.0"]),
        ("~1.x", &["1.3.5"], &["2.1.1"]),
        ("~>1.2.x", &["1.2.7"], &["1.3.0"]),
        ("~0", &["0.9.1"], &["1.0.0"]),
        ("~0.2.3", &["0.2.5"], &["0.3.5"]),
        ("~*", &["2.1.1"], &[]),
        ("~0.0.0", &["1.2.3"], &[]),
    ]);
}

#[test]
fn comparisons_with_open_parts_take_the_whole_of_them() {
    check(&[
        (">1.2", &["1.3.0", "2.0.0"], &["1.2.0", "1.2.9", "1.1.0"]),
        (">11", &["12.0.0"], &["11.1.0", "11.0.0"]),
        (">1.2.3", &["1.2.4"], &["1.2.3"]),
        (">0", &["1.0.0"], &["0.0.0", "0.9.0"]),
        (">=11", &["11.0.0", "11.1.2"], &["10.9.9"]),
        (">=1.0", &["1.0.0", "4.1.0"], &["0.0.9"]),
        ("=> 1.2", &["1.2.0"], &["1.1.9"]),
        ("<1.1", &["1.0.500"], &["1.1.0", "1.1.500"]),
        ("<1.x", &["0.1.1"], &["1.0.0", "2.0.0"]),
        ("<=2.x", &["2.9.9", "1.0.0"], &["3.0.0"]),
        ("<=1.1", &["1.1.1", "0.9.0"], &["1.2.0", "2.0.0"]),
        ("=< 1.1.1", &["1.1.1"], &["1.1.2"]),
        ("!=4.1", &["4.2.0", "5.1.0"], &["4.1.0", "4.1.1"]),
        ("!=4.x", &["5.1.0"], &["4.1.0"]),
        ("!=4.1.0", &["4.1.1"], &["4.1.0"]),
        (">=*", &["0.0.0", "3.0.0"], &[]),
    ]);
}

#[test]
fn comparisons_are_joined_by_and_or_and_hyphens() {
    check(&[
        (">0, <2.0", &["1.0.0", "1.9.9"], &["0.5.0", "2.0.0"]),
        (">= 1 < 2", &["1.0.0", "1.5.0"], &["0.9.0", "2.0.0"]),
        (">=1.1    <2    !=1.2.3", &["1.2.4"], &["1.2.3", "2.0.0"]),
        ("1.x || >=3", &["1.5.0", "3.0.0", "4.0.0"], &["2.0.0", "0.1.0"]),
        ("1.x||>=3", &["1.5.0", "3.0.0"], &["2.0.0"]),
        (">=1.1, <2, !=1.2.3 || > 3", &["4.1.2", "1.3.0"], &["3.1.2", "1.2.3", "3.0.0"]),
        ("1.2 - 2.3.4", &["1.2.0", "2.3.4"], &["1.1.9", "2.3.5"]),
        ("1.5.0 - 4.5", &["3.7.0", "4.5.9"], &["4.6.0"]),
        ("1.0.0 - 2.0.0, !=1.5.0", &["1.4.0"], &["1.5.0", "2.0.1"]),
        ("1.0.0 - 2.0.0 <1.9 || 5", &["1.8.0", "5.1.0"], &["1.9.0"]),
        ("12.3.34 ~12.3", &["12.3.34"], &["12.3.35"]),
    ]);
}

#[test]
fn pre_releases_are_accepted_only_where_their_group_names_one() {
    check(&[
        (">=1.0", &["1.1.0"], &["1.1.0-rc.1", "1.0.0-0"]),
        (">=1.0.0-0", &["1.0.0-alpha", "1.0.0", "3.4.5-beta.1"], &["0.9.0"]),
        (">1.0-0", &["1.1.0-rc.1", "2.0.0-a"], &["1.0.5", "1.0.0-a"]),
        ("*-0", &["1.2.3-alpha.1", "1.2.3"], &[]),
        ("^1.2.0-alpha.2", &["1.2.0-alpha.2", "1.2.1-alpha.1", "1.9.0"], &["1.2.0-alpha.1", "2.0.0"]),
        ("~1.2.3-beta.2", &["1.2.3-beta.4", "1.2.4-beta.2"], &["1.3.4-beta.2", "1.2.3-beta.1"]),
        (">= 1.0.0  <= 2.0.0-beta", &["1.0.1-beta", "1.0.1"], &["2.0.0", "3.0.0"]),
        (">= 1.0.0 <= 2.0.0-beta || > 3", &["1.0.1-beta", "4.0.0"], &["4.0.1-beta", "3.0.1-beta"]),
        (">=1.0.0-0 <2.0.0-0", &["1.9.0-rc"], &["2.0.0-rc"]),
        ("!=4.1-alpha", &["4.1.0"], &["4.1.0-alpha", "4.1.1-alpha"]),
        ("1.2.3-rc.1", &["1.2.3-rc.1", "1.2.3-rc.1+b7"], &["1.2.3", "1.2.3-rc.2"]),
        ("1.1-3", &["1.1.0-3", "1.1.0"], &["4.3.2", "1.1.0-2"]),
        ("<0-z", &["0.0.0-alpha"], &["0.0.0"]),
    ]);
}

#[test]
fn what_cannot_be_read_is_refused_and_named() {
    for (bad, says) in [
        ("", "is empty"),
        ("  ", "is empty"),
        ("foo", "\"foo\" is no version"),
        (">= bar", "\"bar\" is no version"),
        ("BAR >= 1.2.3", "\"BAR\""),
        ("1.2.3.4", "\"1.2.3.4\""),
        ("12.3.34~ 1.2.3", "\"12.3.34~\""),
        (">=1<2", "space or a comma"),
        ("1.x ||", "one side of ||"),
        ("|| 1.x", "one side of ||"),
        ("1.x | 2.x", "\"|\""),
        ("1.0,", "last comma"),
        (",1.0", "version is missing"),
        ("1.0,,2.0", "version is missing"),
        (">=", "version is missing"),
        ("1.0 - ", "version is missing"),
        ("1.0 -, 2", "\"-\" is no version"),
        ("=1.0 - 2.0", "operator before it"),
        ("1.0 - >2.0", "\">2.0\""),
        ("1.0 - 2.0 - 3.0", "\"-\""),
        ("==1.0", "\"==\" is no operator"),
        (">~1.0", "no operator"),
        ("v1.2.3-beta.01", "no pre-release"),
        ("1.2.3-", "is no version"),
        ("1.2.3+", "is no version"),
        ("1.2.3+b1<2.0", "space or a comma"),
        ("1..3", "is no version"),
        ("1.", "is no version"),
        ("vv1", "is no version"),
        ("1x", "is no version"),
        ("18446744073709551616.0.0", "is no version"),
        (">*", "says nothing"),
        ("!=x", "says nothing"),
        ("<=*", "says nothing"),
    ] {
        let message = SemverRange::parse(bad).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains(says), "{bad:?}: {message}");
    }
    let long = "1.x || ".repeat(300) + "1.x";
    assert!(SemverRange::parse(&long).unwrap_err().to_string().contains("at most 1024"));
}

#[test]
fn a_range_survives_its_text() {
    for text in [">=1.0,  <2 ||  3.x", " v1.2 - 3 ", "=>1"] {
        let range = SemverRange::parse(text).unwrap();
        assert_eq!(range.to_string(), text);
        let json = serde_json::to_string(&range).unwrap();
        assert_eq!(serde_json::from_str::<SemverRange>(&json).unwrap(), range);
    }
    assert!(serde_json::from_str::<SemverRange>("\"nonsense\"").is_err());
}

#[test]
fn a_leading_v_is_accepted_and_kept_and_incomplete_versions_are_ignored() {
    let rule = Rule::from(Policy::semver("1.x").unwrap());
    let tags =
        ["1", "1.9", "v1.2.0", "1.1.0", "latest", "V1.8.0", "vv1.7.0", "1.06.0", "1.5.0.1", "2.0.0", ""];
    assert_eq!(ranked(&rule, tags.into_iter()), Ok(vec!["v1.2.0", "1.1.0"]));
}

#[test]
fn versions_are_ordered_by_precedence_and_equals_by_text() {
    let rule = Rule::from(Policy::semver("*-0").unwrap());
    let tags = ["1.0.0-rc.10", "1.0.0", "1.0.0-rc.9", "1.0.0-alpha", "1.10.0", "1.9.0"];
    let best_first = ["1.10.0", "1.9.0", "1.0.0", "1.0.0-rc.10", "1.0.0-rc.9", "1.0.0-alpha"];
    assert_eq!(ranked(&rule, tags.into_iter()), Ok(best_first.to_vec()));
    for tags in [["1.0.0", "v1.0.0", "1.0.0+b2"], ["1.0.0+b2", "v1.0.0", "1.0.0"]] {
        assert_eq!(select(&rule, tags.into_iter()), Ok(Some("v1.0.0")));
    }
}
