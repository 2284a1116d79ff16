//! Builds the commit in, so that a result says which sources made it, wherever the program runs.
//!
//! It stands in this crate because a commit builds this one and the programs anew, and no larger one.

mod built_from;

use std::path::Path;

fn main() {
    let root = Path::new("..");
    println!("cargo::rustc-env=MMCOLLAPSE_BUILT_FROM={}", built_from::text(root));
    for path in built_from::watched(root) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}
