//! Files as damage and slips of the hand leave them: what is read back is mutated, and no reader may panic or hang.

use proptest::prelude::*;

/// One change of a file; places are parts of its length.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Replace(f64, u8),
    Delete(f64, usize),
    Insert(f64, Vec<u8>),
    /// A stretch from one place is put in at another.
    Copy(f64, f64, usize),
    Cut(f64),
}

/// What means something to YAML or JSON, and numbers at the edge of what fits.
const TOKENS: [&str; 24] = [
    "*a",
    "&a ",
    "[",
    "]",
    "{",
    "}",
    ": ",
    "- ",
    "!!binary ",
    "? ",
    "|\n",
    "#",
    "\"",
    "'",
    "\n",
    "\t",
    "~",
    "null",
    "<<: ",
    "1e999",
    "-1",
    "18446744073709551616",
    ".nan",
    "\u{feff}",
];

/// One to four changes.
pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let place = || 0.0..1.0_f64;
    let edit = prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        (place(), 1..40_usize).prop_map(|(at, length)| Edit::Delete(at, length)),
        (place(), proptest::sample::select(&TOKENS[..])).prop_map(|(at, token)| Edit::Insert(at, token.into())),
        (place(), place(), 1..200_usize).prop_map(|(from, to, length)| Edit::Copy(from, to, length)),
        place().prop_map(Edit::Cut),
    ];
    proptest::collection::vec(edit, 1..5)
}

/// `bytes` after these changes.
pub(crate) fn mutated(bytes: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for edit in edits {
        let place = |at: f64| (at * bytes.len() as f64) as usize;
        match edit {
            Edit::Replace(at, byte) => {
                let at = place(*at);
                if let Some(there) = bytes.get_mut(at) {
                    *there = *byte;
                }
            }
            Edit::Delete(at, length) => {
                let from = place(*at);
                bytes.drain(from..(from + length).min(bytes.len()));
            }
            Edit::Insert(at, token) => {
                let at = place(*at);
                bytes.splice(at..at, token.iter().copied());
            }
            Edit::Copy(from, to, length) => {
                let (from, to) = (place(*from), place(*to));
                let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
                bytes.splice(to..to, piece);
            }
            Edit::Cut(at) => bytes.truncate(place(*at)),
        }
    }
    bytes
}

/// As [`mutated`], of a text.
pub(crate) fn mutated_text(text: &str, edits: &[Edit]) -> String {
    String::from_utf8_lossy(&mutated(text.as_bytes(), edits)).into_owned()
}

/// So many mutated files.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
