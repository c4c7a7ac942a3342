/// What part of a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it; also where the header is no range that is understood, which is ignored (RFC 9110, 14.2).
    Whole,
    /// From the first byte to the last, both included.
    Part { first: u64, last: u64 },
    /// Nothing that the file has.
    Unsatisfiable,
}

/// Reads a Range header with one range. More than one at once is answered with the whole file.
pub(super) fn wanted(header: &str, size: u64) -> Wanted {
    let Some((unit, range)) = header.split_once('=') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let Some((first, last)) = range.trim().split_once('-') else { return Wanted::Whole };
    match (number(first), number(last)) {
        (Some(Some(first)), Some(last)) => {
            let last = last.unwrap_or(u64::MAX);
            if last < first {
                Wanted::Whole
            } else if first >= size {
                Wanted::Unsatisfiable
            } else {
                Wanted::Part { first, last: last.min(size - 1) }
            }
        }
        (Some(None), Some(Some(suffix))) => {
            if suffix == 0 || size == 0 {
                Wanted::Unsatisfiable
            } else {
                Wanted::Part { first: size.saturating_sub(suffix), last: size - 1 }
            }
        }
        _ => Wanted::Whole,
    }
}

/// `Some(None)` is no digits at all, `None` is no number.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_understood_in_its_three_forms() {
        assert_eq!(wanted("bytes=0-4", 10), Wanted::Part { first: 0, last: 4 });
        assert_eq!(wanted("bytes=5-", 10), Wanted::Part { first: 5, last: 9 });
        assert_eq!(wanted("bytes=-3", 10), Wanted::Part { first: 7, last: 9 });
        assert_eq!(wanted("bytes=-30", 10), Wanted::Part { first: 0, last: 9 });
        assert_eq!(wanted("bytes=5-99999999999999999999", 10), Wanted::Part { first: 5, last: 9 });
    }

    #[test]
    fn what_the_file_does_not_have_is_unsatisfiable() {
        for range in ["bytes=10-", "bytes=-0", "bytes=99-100"] {
            assert_eq!(wanted(range, 10), Wanted::Unsatisfiable, "{range}");
        }
        assert_eq!(wanted("bytes=0-", 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn what_is_no_single_range_is_ignored() {
        for range in
            ["bytes=0-1,3-4", "lines=1-2", "bytes", "bytes=4-2", "bytes=a-b", "bytes=-", "bytes=+1-2"]
        {
            assert_eq!(wanted(range, 10), Wanted::Whole, "{range}");
        }
    }
}
