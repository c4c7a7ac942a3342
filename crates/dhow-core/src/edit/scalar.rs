//! How a string is written as a YAML scalar so that every reader gives the same string back.

use super::site::Quote;

/// The text of a scalar: the quotes stay; a plain one is quoted where it would not be read as a string.
/// `None` where the value has characters that versions never have, and that quotes would have to escape.
pub(super) fn render(value: &str, quote: Quote) -> Option<String> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._-:/@[]".contains(c);
    if value.is_empty() || !value.chars().all(harmless) {
        return None;
    }
    Some(match quote {
        Quote::Plain if is_plain_string(value) => value.to_owned(),
        Quote::Plain | Quote::Double => format!("\"{value}\""),
        Quote::Single => format!("'{value}'"),
    })
}

/// Whether a plain scalar of this text is a string in YAML 1.2 and in YAML 1.1. Compose and Kubernetes read 1.1,
/// where `yes`, `1_000`, `12e3456`, `1:30` and `2024-01-01` are no strings.
pub(super) fn is_plain_string(value: &str) -> bool {
    let starts_well = value.starts_with(|c: char| c.is_ascii_alphanumeric() || "_/.".contains(c));
    starts_well
        && !value.ends_with(':')
        && !value.contains(['[', ']'])
        && !is_word(value)
        && !is_number(value)
        && !is_date(value)
}

/// Null and booleans, of both versions.
fn is_word(value: &str) -> bool {
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    WORDS.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Integers (decimal, octal, hexadecimal, binary, base 60), floats, infinity and not-a-number, of both versions.
fn is_number(value: &str) -> bool {
    let unsigned = value.strip_prefix(['+', '-']).unwrap_or(value);
    if [".inf", ".nan"].iter().any(|name| unsigned.eq_ignore_ascii_case(name)) {
        return true;
    }
    let text: String = unsigned.chars().filter(|c| *c != '_').collect();
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return false;
    }
    is_radix(&text) || is_base_60(&text) || text.parse::<f64>().is_ok()
}

fn is_radix(text: &str) -> bool {
    [("0x", 16), ("0o", 8), ("0b", 2), ("0X", 16), ("0O", 8), ("0B", 2)].iter().any(|(prefix, radix)| {
        text.strip_prefix(prefix).is_some_and(|digits| digits.chars().all(|c| c.is_digit(*radix)))
    })
}

fn is_base_60(text: &str) -> bool {
    text.contains(':') && text.split(':').all(|part| part.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

/// `2024-01-01`, with or without a time behind it. Says yes to a little more than a date.
fn is_date(value: &str) -> bool {
    let mut parts = value.splitn(3, '-');
    let digits = |part: Option<&str>, lengths: &[usize]| {
        part.is_some_and(|p| lengths.contains(&p.len()) && p.chars().all(|c| c.is_ascii_digit()))
    };
    digits(parts.next(), &[4])
        && digits(parts.next(), &[1, 2])
        && parts.next().is_some_and(|day| {
            let end = day.find(|c: char| !c.is_ascii_digit()).unwrap_or(day.len());
            (1..=2).contains(&end) && (end == day.len() || day[end..].starts_with(['T', 't']))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_reader_would_take_for_no_string_is_quoted() {
        let texts = "1.10 1 010 0x1f 0b1 0o7 1_000 1e3 12e4567 1234567 1:30 yes No ON off y null True .5 2024-01-01 \
                     2024-01-01T10 [::1]:5000/x";
        for text in texts.split_whitespace() {
            assert_eq!(render(text, Quote::Plain), Some(format!("\"{text}\"")), "{text}");
        }
    }

    #[test]
    fn versions_that_are_strings_stay_plain() {
        for text in
            ["1.2.3", "v1.10", "nginx", "nginx:1.27", "localhost:5000/a:1", "_x", "1e3f", "0.1.0-rc.1", "a@b"]
        {
            assert_eq!(render(text, Quote::Plain).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_quotes_would_have_to_escape_is_refused() {
        for text in ["", "a b", "a\"b", "a'b", "a\\b", "a\nb", "a#b", "é"] {
            assert_eq!(render(text, Quote::Double), None, "{text:?}");
        }
    }
}
