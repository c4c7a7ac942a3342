use ::semver::{BuildMetadata, Prerelease, Version};

use super::{Alternative, Comparator, Operator, Precision};

/// Longest range, in bytes.
const MAX_TEXT: usize = 1024;

/// The OR groups of a range, or what is wrong with it, as a sentence.
pub(super) fn alternatives(text: &str) -> Result<Vec<Alternative>, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("it has {} bytes; at most {MAX_TEXT} are allowed", text.len()));
    }
    if text.trim().is_empty() {
        return Err("it is empty; write * for any version".into());
    }
    text.split("||").map(alternative).collect()
}

fn alternative(text: &str) -> Result<Alternative, String> {
    let mut comparators = Vec::new();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("there is nothing on one side of ||".into());
    }
    loop {
        let (operator, after) = operator(rest)?;
        let (token, after) = token(after)?;
        let (token_high, after) = hyphen(after)?;
        match (operator, token_high) {
            (None, Some(high)) => {
                comparators.push(comparator(Operator::GreaterOrEqual, token)?);
                comparators.push(comparator(Operator::LessOrEqual, high)?);
            }
            (Some(_), Some(_)) => {
                return Err(format!("the hyphen range that starts at {token:?} has an operator before it"));
            }
            (operator, None) => comparators.push(comparator(operator.unwrap_or(Operator::Equal), token)?),
        }
        let after = after.trim_start();
        if after.is_empty() {
            break;
        }
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
        if rest.is_empty() {
            return Err("nothing follows the last comma".into());
        }
    }
    let pre_releases = comparators.iter().any(|comparator| !comparator.version.pre.is_empty());
    Ok(Alternative { comparators, pre_releases })
}

/// The operator at the start, where there is one, and what follows it.
fn operator(text: &str) -> Result<(Option<Operator>, &str), String> {
    let end = text.find(|c| !"=!<>~^".contains(c)).unwrap_or(text.len());
    let (sign, rest) = text.split_at(end);
    let operator = match sign {
        "" => None,
        "=" => Some(Operator::Equal),
        "!=" => Some(Operator::NotEqual),
        ">" => Some(Operator::Greater),
        ">=" | "=>" => Some(Operator::GreaterOrEqual),
        "<" => Some(Operator::Less),
        "<=" | "=<" => Some(Operator::LessOrEqual),
        "~" | "~>" => Some(Operator::Tilde),
        "^" => Some(Operator::Caret),
        _ => return Err(format!("{sign:?} is no operator; expected =, !=, >, >=, <, <=, ~ or ^")),
    };
    Ok((operator, rest))
}

/// The version at the start, up to a space or a comma, and what follows it.
fn token(text: &str) -> Result<(&str, &str), String> {
    let text = text.trim_start();
    let end = text.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(text.len());
    if end == 0 {
        return Err("a version is missing; expected one as in 1.2.3, 1.2 or 1.x".into());
    }
    Ok(text.split_at(end))
}

/// The upper end, where ` - ` follows.
fn hyphen(text: &str) -> Result<(Option<&str>, &str), String> {
    let Some(after) = text.starts_with(char::is_whitespace).then(|| text.trim_start()) else {
        return Ok((None, text));
    };
    match after.strip_prefix('-') {
        Some(high) if high.is_empty() || high.starts_with(char::is_whitespace) => {
            let (high, rest) = token(high)?;
            Ok((Some(high), rest))
        }
        _ => Ok((None, text)),
    }
}

fn comparator(operator: Operator, token: &str) -> Result<Comparator, String> {
    let (precision, version) = partial(token)?;
    let says_nothing =
        matches!(operator, Operator::Greater | Operator::Less | Operator::LessOrEqual | Operator::NotEqual);
    if precision == Precision::Any && says_nothing {
        return Err(format!("a comparison with {token:?} says nothing; write * for any version"));
    }
    Ok(Comparator { operator, precision, version })
}

/// A version whose last parts may be open or missing. Build metadata is dropped.
fn partial(token: &str) -> Result<(Precision, Version), String> {
    let no_version = || {
        let spaced = token.find(|c| "<>=!~^".contains(c));
        let hint = if spaced.is_some() { " (put a space or a comma between two comparisons)" } else { "" };
        format!("{token:?} is no version; expected one as in 1.2.3, 1.2, 1.x or 1.2.3-rc.1{hint}")
    };
    let bare = token.strip_prefix('v').unwrap_or(token);
    let bare = match bare.split_once('+') {
        Some((bare, build)) if !build.is_empty() && BuildMetadata::new(build).is_ok() => bare,
        Some(_) => return Err(no_version()),
        None => bare,
    };
    let (numbers, pre) = match bare.split_once('-') {
        Some((_, "")) => return Err(no_version()),
        Some((numbers, pre)) => {
            let problem = |e| format!("{pre:?} in {token:?} is no pre-release: {e}");
            (numbers, Prerelease::new(pre).map_err(problem)?)
        }
        None => (bare, Prerelease::EMPTY),
    };
    let mut parts = [None; 3];
    for (index, text) in numbers.split('.').enumerate() {
        *parts.get_mut(index).ok_or_else(no_version)? = part(text).ok_or_else(no_version)?;
    }
    let (precision, [major, minor, patch]) = match parts {
        [None, ..] => (Precision::Any, [0, 0, 0]),
        [Some(major), None, _] => (Precision::Major, [major, 0, 0]),
        [Some(major), Some(minor), None] => (Precision::Minor, [major, minor, 0]),
        [Some(major), Some(minor), Some(patch)] => (Precision::Full, [major, minor, patch]),
    };
    Ok((precision, Version { pre, ..Version::new(major, minor, patch) }))
}

/// One number: `Some(None)` where it is open, `None` where it is neither a number nor open. Leading zeros are
/// let pass, as in Masterminds: `2024.01.x` is `2024.1.x`.
fn part(text: &str) -> Option<Option<u64>> {
    if matches!(text, "x" | "X" | "*") {
        return Some(None);
    }
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok().map(Some) } else { None }
}
