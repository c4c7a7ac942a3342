//! Visitors of sites: whatever they send, no path leaves the release, and no range its file.

/// Lines: a path, a header of a range, and others.
pub(super) fn body(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for line in text.lines().take(100) {
        dhow_static::fuzz::line(line);
    }
}
