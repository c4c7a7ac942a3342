//! What holds for the tree as a whole.

mod arrows;
mod hosts;
mod length;
mod tree;
