//! What the core promises, over its public face.

mod fleet;
