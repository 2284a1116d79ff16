//! Content, told apart by what it decodes to.
//!
//! The same images and recordings reach a cache with other bytes, in another order or under other paths (a hub
//! re-encodes its parquet files, a mirror sorts them). So neither bytes nor row numbers nor paths identify anything
//! here: a record is known by the sha256 of its decoded content, and a collection by the digest of its sorted list.

use mmcollapse_files::hex;
use sha2::{Digest, Sha256};

/// One decoded record: its class and the digest of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Class, as the source labels it.
    pub label: u32,
    /// sha256 of the decoded content: the pixels row by row, or the samples as little-endian 16-bit integers.
    pub sha256: [u8; 32],
}

impl Identity {
    /// Identity of a record of class `label` with this decoded content.
    pub fn new(label: u32, content: &[u8]) -> Self {
        Self {
            label,
            sha256: Sha256::digest(content).into(),
        }
    }

    /// The digest in lower-case hex.
    pub fn hex(&self) -> String {
        hex(&self.sha256)
    }
}

/// Digest of a collection, independent of the order of its records: sha256 of the sorted lines `label sha256\n`.
///
/// In a shell: `sort | sha256sum` over lines such as `7 0f3a..`, sorted by label, then digest.
pub fn collection_digest(records: &[Identity]) -> String {
    let mut sorted = records.to_vec();
    sorted.sort_unstable();
    let mut hash = Sha256::new();
    for record in &sorted {
        hash.update(format!("{} {}\n", record.label, record.hex()));
    }
    hex(&hash.finalize())
}

/// The beginning of a digest in hex, for messages.
pub(crate) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_ignores_order_and_sees_content_and_labels() {
        // printf '0 %s\n1 %s\n' $(printf a | sha256sum | cut -c-64) $(printf b | sha256sum | cut -c-64) | sha256sum
        let known = "0ff88acb1b0c1042f6400572aafe664bc725c3c8f9c2a14a1b788ae34f044460";
        let (a, b) = (Identity::new(0, b"a"), Identity::new(1, b"b"));
        assert_eq!(collection_digest(&[a, b]), known);
        assert_eq!(collection_digest(&[b, a]), known);
        assert_ne!(collection_digest(&[a]), known);
        assert_ne!(collection_digest(&[a, Identity::new(0, b"b")]), known);
        assert_ne!(collection_digest(&[a, Identity::new(1, b"c")]), known);
    }
}
