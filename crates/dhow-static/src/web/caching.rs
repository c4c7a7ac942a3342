//! Which names hold a hash of the content. Wrongly calling one hashed would pin old content in browsers for a
//! year, so a date, a word or a version is none.

/// Kinds of files that bundlers name with hashes in mixed letters.
const BUNDLED: [&str; 6] = ["js", "mjs", "css", "woff2", "wasm", "map"];
const SHORTEST: usize = 8;

/// Whether the file's name has a part such as `3f2a9c1b` or, for bundlers' output, `DfT3x9aQ`, between its stem and its ending.
pub(super) fn has_content_hash(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some((stem, ending)) = name.rsplit_once('.') else { return false };
    let (stem, ending) = match (ending, stem.rsplit_once('.')) {
        // `app.3f2a9c1b.js.map`
        ("map", Some((inner, "js" | "css" | "mjs"))) => (inner, ending),
        _ => (stem, ending),
    };
    let Some((_, last)) = stem.rsplit_once(['.', '-']) else { return false };
    is_hex_hash(last) || (BUNDLED.contains(&ending) && is_mixed_hash(last))
}

fn is_hex_hash(part: &str) -> bool {
    part.len() >= SHORTEST
        && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && part.bytes().any(|b| b.is_ascii_digit())
        && part.bytes().any(|b| b.is_ascii_alphabetic())
}

fn is_mixed_hash(part: &str) -> bool {
    part.len() >= SHORTEST
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && part.bytes().any(|b| b.is_ascii_digit())
        && part.bytes().any(|b| b.is_ascii_lowercase())
        && part.bytes().any(|b| b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_content_hash_are_known() {
        for hashed in
            ["app.3f2a9c1b.js", "a/b/index-DfT3x9aQ.css", "logo-3f2a9c1b77.svg", "app.3f2a9c1b.js.map"]
        {
            assert!(has_content_hash(hashed), "{hashed}");
        }
    }

    #[test]
    fn dates_words_and_versions_are_no_hashes() {
        for plain in [
            "report-20240101.pdf",
            "3f2a9c1b.js",
            "app.js",
            "jquery-3.7.1.min.js",
            "a-deadbeef.png",
            "photo-iPhone15.jpg",
            "x",
            "3f2a9c1b-dir/app.js",
        ] {
            assert!(!has_content_hash(plain), "{plain}");
        }
    }
}
