//! A checksum of a whole file inside of the file: SHA-256 of its bytes with zeros in the place of the checksum.

use std::collections::BTreeMap;

use candle_core::bail;
use mmcollapse_files::hex;
use sha2::{Digest, Sha256};

use crate::Result;

/// Its key in the metadata.
const KEY: &str = "mmcollapse.sha256";

/// What stands in its place while it is computed: as long as it is.
const EMPTY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The bytes that `write` makes of `metadata` and a checksum of them all.
pub(super) fn sealed(
    metadata: &BTreeMap<String, String>,
    write: impl FnOnce(&BTreeMap<String, String>) -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let mut metadata = metadata.clone();
    if metadata.insert(KEY.to_owned(), EMPTY.to_owned()).is_some() {
        bail!("the metadata may not have a key `{KEY}`: it is that of the checksum");
    }
    let mut bytes = write(&metadata)?;
    let digest = digest(&[&bytes]);
    match place(&bytes, EMPTY) {
        Some(place) => bytes[place..place + EMPTY.len()].copy_from_slice(digest.as_bytes()),
        None => bail!("the header has no place for a checksum"),
    }
    Ok(bytes)
}

/// Takes the checksum out of the `metadata` of these `bytes` and compares it with them.
pub(super) fn check(bytes: &[u8], metadata: &mut BTreeMap<String, String>, needed: bool) -> Result<()> {
    let Some(expected) = metadata.remove(KEY) else {
        if needed {
            bail!("it has no checksum: an older program or another one wrote it");
        }
        return Ok(());
    };
    let got = place(bytes, &expected).map(|place| {
        let (before, rest) = bytes.split_at(place);
        digest(&[before, EMPTY.as_bytes(), &rest[expected.len()..]])
    });
    match got {
        Some(got) if got == expected => Ok(()),
        Some(got) => bail!("its checksum is {got}, expected {expected}"),
        None => bail!("its checksum is not where it was written"),
    }
}

/// Where the checksum stands. No text inside of a string can look like its key: there a quotation mark is escaped.
fn place(bytes: &[u8], checksum: &str) -> Option<usize> {
    let key = format!("\"{KEY}\":\"");
    let entry = format!("{key}{checksum}\"");
    let start = bytes
        .windows(entry.len())
        .position(|window| window == entry.as_bytes())?;
    Some(start + key.len())
}

fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hex(&hash.finalize())
}
