//! What the tree of a fleet declares.
