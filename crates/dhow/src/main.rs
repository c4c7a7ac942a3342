//! Dhow.
fn main() {}
