//! The texts of a `.tar.gz`, one after the other, with limits on all that an archive may announce.

use std::io::Read;

use tar::Archive;

use crate::caps::is_by_product;
use crate::gzip::Gunzip;

/// Longest text, in bytes.
const LONGEST_TEXT: u64 = 16 << 20;
/// Most bytes that an archive may unfold to.
const MOST_BYTES: u64 = 256 << 20;
/// Most files of an archive.
const MOST_FILES: usize = 1_000_000;

/// Hands name and text of each file of the archive `bytes` to `take`; links, folders and by-products of macOS are passed over.
///
/// # Errors
/// When it is no archive, a text is too long or not UTF-8, there are too many, or `take` fails; each with the file's name.
pub fn each_text(bytes: &[u8], mut take: impl FnMut(&str, &str) -> Result<(), String>) -> Result<(), String> {
    let broken = |error: std::io::Error| format!("not a readable .tar.gz: {error}");
    let mut archive = Archive::new(Gunzip::of_at_most(bytes, MOST_BYTES));
    for (n, entry) in archive.entries().map_err(broken)?.enumerate() {
        if n >= MOST_FILES {
            return Err(format!("expected at most {MOST_FILES} files in it, got more"));
        }
        let entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        if !entry.header().entry_type().is_file() || is_by_product(&path) {
            continue;
        }
        let name = path.display().to_string();
        let mut text = Vec::new();
        let read = entry.take(LONGEST_TEXT + 1).read_to_end(&mut text);
        read.map_err(|error| format!("{name}: {error}"))?;
        if text.len() as u64 > LONGEST_TEXT {
            return Err(format!("{name}: expected at most {LONGEST_TEXT} bytes, got more"));
        }
        let text = str::from_utf8(&text).map_err(|_| format!("{name}: expected UTF-8 text, got other bytes"))?;
        take(&name, text)?;
    }
    Ok(())
}
