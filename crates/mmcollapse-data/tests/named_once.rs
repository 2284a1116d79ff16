//! A data set is one manifest, one file and one line in a list: nothing else in the program names it (docs/add-a-data-set.md).

use std::fs;
use std::path::{Path, PathBuf};

/// Every file below `folder` that ends in `.rs`, tests apart.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_example_of_the_page_is_named_in_its_file_and_its_line_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for folder in ["crates", "experiments"] {
        sources(&root.join(folder), &mut files);
    }
    let mut named = Vec::new();
    for path in files.iter().filter(|path| !path.ends_with("sets/mfeat.rs")) {
        let text = fs::read_to_string(path).unwrap();
        let program = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = program.lines().filter(|line| line.to_lowercase().contains("mfeat"));
        named.extend(lines.map(|line| (path.strip_prefix(&root).unwrap().to_owned(), line.trim().to_owned())));
    }
    let of_list = |line: &str| (PathBuf::from("crates/mmcollapse-data/src/sets/mod.rs"), line.to_owned());
    assert!(files.len() > 100, "{}", files.len());
    assert_eq!(named, [of_list("mod mfeat;"), of_list("mfeat::FILE,")]);
}
