//! A door to the private parsers, for `tests/fuzz` alone.

/// Reads a line as each thing that a visitor may send. Panics where a promise is broken.
pub fn line(text: &str) {
    crate::web::fuzz::line(text);
}
