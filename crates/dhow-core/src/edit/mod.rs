//! Edits of a fleet by byte span.
