//! Times as people write them: `30m`, `1h30m`, `50ms`.

use std::time::Duration;

use thiserror::Error;

/// Text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no duration; write a number with d, h, m, s or ms, such as 30m, 1h30m or 50ms")]
pub struct InvalidDuration(String);

/// Reads a duration. `0` needs no unit. At most 10 years.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = || InvalidDuration(text.chars().take(40).collect());
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut total, mut rest) = (0_u64, text);
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
        let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(invalid()),
        };
        rest = &rest[letters..];
        let part = number.checked_mul(unit).ok_or_else(invalid)?;
        total = total.checked_add(part).filter(|t| *t <= 315_576_000_000).ok_or_else(invalid)?;
    }
    Ok(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in
            [("30m", 1_800_000), ("1h30m", 5_400_000), ("50ms", 50), ("0", 0), ("0s", 0), ("2d", 172_800_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_has_no_unit_or_overflows_is_refused() {
        for bad in ["", "30", "m", "-1s", "1.5h", "1x", "99999999999999999999s", "99999999d", "1 h", "1é"] {
            assert!(parse_duration(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
