//! A door to the private parsers, for `tests/fuzz` alone.

/// Reads a line as each thing that a registry or its caller may send. Panics where a promise is broken.
pub fn line(text: &str) {
    crate::client::fuzz::line(text);
    crate::server::fuzz::line(text);
}
