//! The paths of `oob` entries: `.services.api.image`, `spec.containers[0].image`, `$['a.b']["c"]`.

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Item(usize),
}

/// The steps of a path, or what is wrong with it, as the end of a sentence.
pub(super) fn parse(path: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    while !rest.is_empty() {
        rest = match rest.strip_prefix('[') {
            Some(inner) => bracket(inner, &mut steps)?,
            None => {
                let key = match rest.strip_prefix('.') {
                    Some(key) => key,
                    None if steps.is_empty() => rest,
                    None => return Err(format!("has {rest:?} where '.' or '[' is expected")),
                };
                let end = key.find(['.', '[']).unwrap_or(key.len());
                if end == 0 && !(key.starts_with('[') && steps.is_empty()) {
                    return Err("has an empty step".to_owned());
                }
                if end > 0 {
                    steps.push(Step::Key(key[..end].to_owned()));
                }
                &key[end..]
            }
        };
    }
    if steps.is_empty() { Err("is empty".to_owned()) } else { Ok(steps) }
}

/// `0]`, `'key']` or `"key"]`; gives what stands behind it.
fn bracket<'a>(inner: &'a str, steps: &mut Vec<Step>) -> Result<&'a str, String> {
    for quote in ['\'', '"'] {
        if let Some(quoted) = inner.strip_prefix(quote) {
            let closing = format!("{quote}]");
            let (key, rest) = quoted.split_once(&closing).ok_or("has a '[' that is not closed")?;
            steps.push(Step::Key(key.to_owned()));
            return Ok(rest);
        }
    }
    let (number, rest) = inner.split_once(']').ok_or("has a '[' that is not closed")?;
    let number =
        number.parse().map_err(|_| format!("has {number:?} where a number or a quoted key is expected"))?;
    steps.push(Step::Item(number));
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_write_a_path_are_read() {
        let key = |key: &str| Step::Key(key.to_owned());
        let image = vec![key("services"), key("api"), key("image")];
        assert_eq!(parse(".services.api.image"), Ok(image.clone()));
        assert_eq!(parse("services.api.image"), Ok(image.clone()));
        assert_eq!(parse("$.services['api'][\"image\"]"), Ok(image));
        assert_eq!(parse("a[0][12].b-c"), Ok(vec![key("a"), Step::Item(0), Step::Item(12), key("b-c")]));
        assert_eq!(parse(".[0].a"), Ok(vec![Step::Item(0), key("a")]));
        assert_eq!(parse("['a.b/c']"), Ok(vec![key("a.b/c")]));
    }

    #[test]
    fn a_path_that_is_none_says_what_is_wrong() {
        for bad in ["", ".", "$", "a..b", "a.", "a[", "a[x]", "a[-1]", "a['b]", "a[0]b"] {
            assert!(parse(bad).is_err(), "{bad:?} was read");
        }
    }
}
