//! Seeds are text wherever that is possible, in parts that a line of equals signs divides.

/// The parts of an input.
pub(crate) fn parts(data: &[u8]) -> Vec<&[u8]> {
    const LINE: &[u8] = b"\n=====\n";
    let mut parts = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(LINE.len()).position(|window| window == LINE) {
        parts.push(&rest[..at]);
        rest = &rest[at + LINE.len()..];
    }
    parts.push(rest);
    parts
}

/// The first line, and what follows it.
pub(crate) fn head(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}
