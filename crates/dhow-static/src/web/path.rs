/// Why a path is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadPath(pub(super) &'static str);

/// The path of a request as text: decoded once, without its first slash. What could mean another folder is
/// refused here, although it could not be found in a manifest either.
pub(super) fn decode(raw: &str) -> Result<String, BadPath> {
    let raw = raw.strip_prefix('/').ok_or(BadPath("does not start with a slash"))?;
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let [high, low, tail @ ..] = tail else { return Err(BadPath("has an unfinished escape")) };
        let (Some(high), Some(low)) = (hex(*high), hex(*low)) else {
            return Err(BadPath("has an escape that is no hexadecimal number"));
        };
        let byte = high << 4 | low;
        if byte == b'/' {
            return Err(BadPath("has an escaped slash"));
        }
        bytes.push(byte);
        rest = tail;
    }
    let path = String::from_utf8(bytes).map_err(|_| BadPath("is not UTF-8"))?;
    if path.chars().any(|c| c.is_control() || c == '\\') {
        return Err(BadPath("has a backslash or a control character"));
    }
    if path.split('/').any(|part| part == ".." || part == ".") {
        return Err(BadPath("has '.' or '..' as a part"));
    }
    Ok(path)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once() {
        assert_eq!(decode("/a%20b/%C3%A9.html").unwrap(), "a b/é.html");
        assert_eq!(decode("/%252e%252e/x").unwrap(), "%2e%2e/x");
        assert_eq!(decode("/").unwrap(), "");
    }

    #[test]
    fn what_could_mean_another_folder_is_refused() {
        for bad in [
            "/../x",
            "/a/%2e%2e/x",
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/%",
            "/%4",
            "/%zz",
            "/%ff",
            "x",
            "*",
            "/./x",
        ] {
            assert!(decode(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
