//! Reading a window's text. Whether it is open is decided where there is a clock.

/// What is wrong with `open: "Mon-Fri 08:00-17:00"`; `None` where it is well written: weekdays, single or as a range,
/// separated by commas (none: every day), then a time of day, `-`, and the time at which it ends.
pub(crate) fn problem_of_open(text: &str) -> Option<String> {
    let expected = || Some(format!("{text:?} is no window; write it like \"Mon-Fri 08:00-17:00\""));
    let words: Vec<&str> = text.split_whitespace().collect();
    let (days, hours) = match words[..] {
        [hours] => ("", hours),
        [days, hours] => (days, hours),
        _ => return expected(),
    };
    for day in days.split([',', '-']).filter(|_| !days.is_empty()) {
        if !["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&day) {
            return Some(format!("{day:?} is no weekday; there are Mon, Tue, Wed, Thu, Fri, Sat and Sun"));
        }
    }
    if days.split(',').any(|range| range.split('-').count() > 2) {
        return expected();
    }
    let Some((from, to)) = hours.split_once('-') else { return expected() };
    for time in [from, to] {
        if !is_time(time) {
            return Some(format!("{time:?} is no time of day; write it like 08:00"));
        }
    }
    (from == to).then(|| format!("{text:?} is never open: its end is its start"))
}

/// What is wrong with a time zone's name.
pub(crate) fn problem_of_zone(text: &str) -> Option<String> {
    let legal = text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c));
    (!legal).then(|| format!("{text:?} is no time zone; write an IANA name such as Europe/Berlin or UTC"))
}

fn is_time(text: &str) -> bool {
    let Some((hour, minute)) = text.split_once(':') else { return false };
    let two = |part: &str, limit: u32| {
        part.len() == 2
            && part.bytes().all(|b| b.is_ascii_digit())
            && part.parse::<u32>().is_ok_and(|n| n < limit)
    };
    (two(hour, 24) && two(minute, 60)) || text == "24:00"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_as_people_write_them_are_read() {
        for good in ["Mon-Fri 08:00-17:00", "Sat,Sun 22:00-06:00", "00:00-24:00", "Mon,Wed-Fri 09:30-10:00"] {
            assert_eq!(problem_of_open(good), None, "{good}");
        }
        for bad in
            ["", "Mon-Fri", "Mo-Fr 08:00-17:00", "Mon 8-17", "Mon 25:00-26:00", "Mon 08:00-08:00", "x y z"]
        {
            assert!(problem_of_open(bad).is_some(), "{bad:?} was accepted");
        }
    }
}
