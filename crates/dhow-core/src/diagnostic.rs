//! What is wrong in a file: where, what was expected, what to do.
