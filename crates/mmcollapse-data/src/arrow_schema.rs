//! Units of durations in a parquet file. Parquet has no type for them: who writes one stores 64-bit integers, and keeps the unit
//! in Arrow's own description of the columns beside them.
//!
//! That description is a flatbuffer (Arrow's `Schema.fbs` and `Message.fbs`) in base64. What is needed of it, the names and
//! units of duration columns, is read here; the crates that read all of it are larger than this program.

use std::collections::HashMap;

/// Key of the description among the metadata of a file.
pub(crate) const KEY: &str = "ARROW:schema";
/// `Duration` among the kinds of `Type`.
const DURATION: u8 = 18;
/// `Schema` among the kinds of `MessageHeader`.
const SCHEMA: u8 = 1;

/// What a number of a duration counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// 1 s.
    Second,
    /// 1e-3 s.
    Millisecond,
    /// 1e-6 s.
    Microsecond,
    /// 1e-9 s.
    Nanosecond,
}

impl Unit {
    /// How many make a second.
    pub(crate) fn per_second(self) -> i64 {
        match self {
            Self::Second => 1,
            Self::Millisecond => 1_000,
            Self::Microsecond => 1_000_000,
            Self::Nanosecond => 1_000_000_000,
        }
    }
}

/// The unit of each duration column that the description `text` names; `None` where it cannot be read.
pub(crate) fn durations(text: &str) -> Option<HashMap<String, Unit>> {
    let bytes = base64(text)?;
    // A stream's message begins with a mark and its length, an older one with its length only.
    let start = if bytes.get(..4)? == [0xff; 4] { 8 } else { 4 };
    let buffer = Buffer(bytes.get(start..)?);
    let message = buffer.table(0)?;
    if buffer.byte(message, 1) != Some(SCHEMA) {
        return None;
    }
    let schema = buffer.table(buffer.field(message, 2)?)?;
    let fields = buffer.follow(buffer.field(schema, 1)?)?;
    let n = buffer.u32(fields)?;
    let mut units = HashMap::new();
    for i in 0..usize::try_from(n).ok()? {
        let field = buffer.table(fields.checked_add(4)?.checked_add(i.checked_mul(4)?)?)?;
        if buffer.byte(field, 2) != Some(DURATION) {
            continue;
        }
        let name = buffer.text(buffer.field(field, 0)?)?;
        let kind = buffer.table(buffer.field(field, 3)?)?;
        // Milliseconds are the default, which is not written.
        let unit = match buffer.field(kind, 0) {
            None => Unit::Millisecond,
            Some(at) => match buffer.u16(at)? {
                0 => Unit::Second,
                1 => Unit::Millisecond,
                2 => Unit::Microsecond,
                3 => Unit::Nanosecond,
                _ => return None,
            },
        };
        units.insert(name.to_owned(), unit);
    }
    Some(units)
}

/// A flatbuffer. Every access is checked: the file may be damaged.
struct Buffer<'a>(&'a [u8]);

impl<'a> Buffer<'a> {
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    /// Where the offset at `at` leads.
    fn follow(&self, at: usize) -> Option<usize> {
        at.checked_add(usize::try_from(self.u32(at)?).ok()?)
    }

    /// The table that the offset at `at` leads to.
    fn table(&self, at: usize) -> Option<usize> {
        self.follow(at).filter(|&table| table < self.0.len())
    }

    /// The place of field `number` of the table at `table`; `None` where it has its default.
    fn field(&self, table: usize, number: usize) -> Option<usize> {
        let back = i64::from(i32::from_le_bytes(self.array(table)?));
        let fields = usize::try_from(i64::try_from(table).ok()?.checked_sub(back)?).ok()?;
        let entry = 4 + 2 * number;
        if entry + 2 > usize::from(self.u16(fields)?) {
            return None;
        }
        let offset = usize::from(self.u16(fields.checked_add(entry)?)?);
        (offset > 0).then(|| table.checked_add(offset)).flatten()
    }

    fn byte(&self, table: usize, number: usize) -> Option<u8> {
        self.0.get(self.field(table, number)?).copied()
    }

    fn text(&self, at: usize) -> Option<&'a str> {
        let start = self.follow(at)?;
        let length = usize::try_from(self.u32(start)?).ok()?;
        let start = start.checked_add(4)?;
        str::from_utf8(self.0.get(start..start.checked_add(length)?)?).ok()
    }
}

/// What base64 of the standard alphabet says.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for letter in text.trim_end_matches('=').bytes() {
        let six = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read() {
        assert_eq!(base64("/////w==").unwrap(), [255; 4]);
        assert_eq!(base64("aGVsbG8=").unwrap(), b"hello");
        assert!(base64("a b").is_none());
        assert!(durations("").is_none() && durations("////").is_none());
    }
}
