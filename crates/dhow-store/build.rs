//! A new migration rebuilds the crate.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
