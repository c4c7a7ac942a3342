use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

/// A decimal number of any length, compared exactly.
///
/// Flux reads floating-point numbers, in which timestamps of 17 digits and more become equal. Here the digits
/// themselves are compared. Accepted is `[+-]digits[.digits]`. An exponent, a hexadecimal number, `inf` and `NaN`
/// are no numbers here, although Flux reads them: `12e4` in a tag is the beginning of a commit far more often
/// than 120000.
#[derive(Debug, Clone)]
pub(super) struct Decimal<'a> {
    text: Cow<'a, str>,
    negative: bool,
    /// The digits before the point, without leading zeros.
    whole: Range<usize>,
    /// The digits after the point, without trailing zeros.
    fraction: Range<usize>,
}

impl<'a> Decimal<'a> {
    /// Reads a number; `None` where the text is none.
    pub(super) fn parse(text: Cow<'a, str>) -> Option<Self> {
        let bytes = text.as_bytes();
        let start = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
        let minus = bytes.first() == Some(&b'-');
        let point = bytes.iter().position(|b| *b == b'.');
        let whole = start..point.unwrap_or(bytes.len());
        let fraction = point.map_or(bytes.len()..bytes.len(), |at| at + 1..bytes.len());
        let digits = |range: Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
        let empty_side = whole.is_empty() || (point.is_some() && fraction.is_empty());
        if empty_side || !digits(whole.clone()) || !digits(fraction.clone()) {
            return None;
        }
        let leading = bytes[whole.clone()].iter().take_while(|b| **b == b'0').count();
        let trailing = bytes[fraction.clone()].iter().rev().take_while(|b| **b == b'0').count();
        let whole = whole.start + leading..whole.end;
        let fraction = fraction.start..fraction.end - trailing;
        let zero = whole.is_empty() && fraction.is_empty();
        Some(Self { negative: minus && !zero, whole, fraction, text })
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        let (mine, theirs) = (&self.text[self.whole.clone()], &other.text[other.whole.clone()]);
        let whole = mine.len().cmp(&theirs.len()).then_with(|| mine.cmp(theirs));
        whole.then_with(|| self.text[self.fraction.clone()].cmp(&other.text[other.fraction.clone()]))
    }

    /// The order of the numbers; `1`, `01` and `1.0` are equal.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Policy, Rule, SelectError, accepts, select};
    use super::*;

    fn number(text: &str) -> Decimal<'_> {
        Decimal::parse(text.into()).unwrap_or_else(|| panic!("{text} was refused"))
    }

    #[test]
    fn numbers_too_long_for_a_float_are_still_told_apart() {
        let rule = Rule::from(Policy::numerical("asc").unwrap());
        let tags = ["20261121142959000001", "20261121142959000003", "20261121142959000002"];
        assert_eq!(select(&rule, tags.into_iter()), Ok(Some("20261121142959000003")));
        assert_eq!(number("99999999999999999999").compare(&number("100000000000000000000")), Ordering::Less);
    }

    #[test]
    fn desc_selects_the_smallest() {
        let rule = Rule::from(Policy::numerical("desc").unwrap());
        assert_eq!(select(&rule, ["10", "9", "100"].into_iter()), Ok(Some("9")));
    }

    #[test]
    fn signs_zeros_and_fractions_compare_as_numbers() {
        for (left, order, right) in [
            ("-1.5", Ordering::Less, "-1.25"),
            ("-2", Ordering::Less, "1"),
            ("1.0", Ordering::Equal, "01"),
            ("-0", Ordering::Equal, "0.00"),
            ("+3", Ordering::Equal, "3"),
            ("0.10", Ordering::Greater, "0.09"),
            ("1.05", Ordering::Less, "1.5"),
        ] {
            assert_eq!(number(left).compare(&number(right)), order, "{left} and {right}");
        }
    }

    #[test]
    fn what_is_no_plain_decimal_is_refused() {
        for bad in
            ["", "-", "+", ".", "1.", ".5", "1e3", "0x10", "inf", "NaN", "1_000", " 1", "1.2.3", "--1", "١"]
        {
            assert!(Decimal::parse(bad.into()).is_none(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn one_tag_that_is_no_number_fails_the_policy_and_is_named() {
        let rule = Rule::from(Policy::numerical("asc").unwrap());
        let error = select(&rule, ["1", "latest", "2"].into_iter()).unwrap_err();
        assert_eq!(error, SelectError::NotANumber { tag: "latest".into(), value: "latest".into() });
        assert!(error.to_string().contains("\"latest\""), "{error}");
        assert!(!accepts(&rule, "latest"));
        assert!(accepts(&rule, "2"));
    }

    proptest! {
        #[test]
        fn integers_compare_as_integers_do(left: i128, right: i128) {
            prop_assert_eq!(number(&left.to_string()).compare(&number(&right.to_string())), left.cmp(&right));
        }
    }
}
