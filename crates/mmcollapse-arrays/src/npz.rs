//! The `.npz` format: a zip archive of `.npy` members, stored (`savez`) or deflated (`savez_compressed`).
//!
//! Source: PKWARE's APPNOTE 6.3, sections 4.3.7 to 4.5.3. The central directory says where members are; numpy writes
//! sizes of 64 bits, so both forms are read.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::CrcReader;
use flate2::read::DeflateDecoder;

use crate::{ArrayError, Entry, Place, Result, Values, npy};

/// Longest comment of an archive, and the record before it.
const TAIL: u64 = 65_535 + 22;

/// Most bytes of a central directory.
const LARGEST_DIRECTORY: u64 = 1 << 26;

/// Where a member is.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    name: String,
    /// Of its local header.
    start: u64,
    compressed: u64,
    deflated: bool,
    crc: u32,
}

/// The arrays of an archive.
pub(crate) fn entries(path: &Path) -> Result<Vec<Entry>> {
    let members =
        directory(path).map_err(|reason| ArrayError::of(path, format!("not a readable npz file: {reason}")))?;
    let arrays = members.into_iter().filter_map(|mut member| {
        member.name = member.name.strip_suffix(".npy")?.to_owned();
        Some(member)
    });
    let entry = |member: Member| match member.open(path).and_then(|mut bytes| npy::header(path, &mut bytes)) {
        Ok(header) => Entry {
            info: header.info(member.name.clone(), path),
            place: Place::Npz(member),
        },
        Err(error) => Entry::unread(member.name, path, error),
    };
    Ok(arrays.map(entry).collect())
}

impl Member {
    /// Its bytes, unpacked.
    fn open(&self, path: &Path) -> Result<CrcReader<Box<dyn Read>>> {
        let broken = |error: std::io::Error| ArrayError::of(path, error.to_string()).array(&self.name);
        let mut file = BufReader::new(File::open(path).map_err(broken)?);
        let mut header = [0; 30];
        file.seek(SeekFrom::Start(self.start)).map_err(broken)?;
        file.read_exact(&mut header).map_err(broken)?;
        if &header[..4] != b"PK\x03\x04" {
            return Err(ArrayError::of(
                path,
                "not a readable npz file: a member's header is not where it should be",
            ));
        }
        let skipped = u64::from(short(&header, 26)) + u64::from(short(&header, 28));
        file.seek(SeekFrom::Start(self.start + 30 + skipped)).map_err(broken)?;
        let packed = file.take(self.compressed);
        let unpacked: Box<dyn Read> = if self.deflated {
            Box::new(DeflateDecoder::new(packed))
        } else {
            Box::new(packed)
        };
        Ok(CrcReader::new(unpacked))
    }

    /// Its numbers, after its checksum.
    pub(crate) fn read(&self, path: &Path) -> Result<Values> {
        let mut bytes = self.open(path)?;
        let values = npy::read(path, &mut bytes)?;
        // What follows the numbers counts in the checksum too.
        std::io::copy(&mut bytes, &mut std::io::sink()).map_err(|error| ArrayError::of(path, error.to_string()))?;
        if bytes.crc().sum() != self.crc {
            return Err(ArrayError::of(path, "the checksum differs from the archive's").help("write the file again"));
        }
        Ok(values)
    }
}

/// The members that the central directory lists.
fn directory(path: &Path) -> std::result::Result<Vec<Member>, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let tail = bytes_at(&mut file, length.saturating_sub(TAIL), length.min(TAIL))?;
    let end = tail.windows(4).rposition(|mark| mark == b"PK\x05\x06");
    let end = end
        .filter(|end| end + 22 <= tail.len())
        .ok_or("its list of arrays is missing: it was cut off, or numpy.savez did not write it")?;
    let record = &tail[end..];
    let (mut count, mut size, mut start) = (
        u64::from(short(record, 10)),
        u64::from(word(record, 12)),
        u64::from(word(record, 16)),
    );
    // The record of 64 bits is named by a locator of 20 bytes before this one.
    if let Some(locator) = end.checked_sub(20).map(|at| &tail[at..end])
        && locator.starts_with(b"PK\x06\x07")
    {
        let record = bytes_at(&mut file, long(locator, 8), 56)?;
        (count, size, start) = (long(&record, 32), long(&record, 40), long(&record, 48));
    }
    if size > LARGEST_DIRECTORY {
        return Err(format!(
            "its list of members has {size} bytes, at most {LARGEST_DIRECTORY} are read"
        ));
    }
    let listed = bytes_at(&mut file, start, size)?;
    let mut members = Vec::new();
    let mut rest = listed.as_slice();
    for _ in 0..count {
        let (member, after) = listed_member(rest).ok_or("its list of members is damaged")??;
        members.push(member);
        rest = after;
    }
    Ok(members)
}

/// The first member of a list, and what follows; none where it is damaged.
#[allow(clippy::type_complexity, reason = "named once")]
fn listed_member(list: &[u8]) -> Option<std::result::Result<(Member, &[u8]), String>> {
    if list.len() < 46 || !list.starts_with(b"PK\x01\x02") {
        return None;
    }
    let (name, extra, comment) = (short(list, 28), short(list, 30), short(list, 32));
    let (name, extra, comment) = (usize::from(name), usize::from(extra), usize::from(comment));
    let name_text = String::from_utf8_lossy(list.get(46..46 + name)?).into_owned();
    let fields = list.get(46 + name..46 + name + extra)?;
    let rest = list.get(46 + name + extra + comment..)?;
    if short(list, 8) & 1 == 1 {
        return Some(Err(format!("its member `{name_text}` is encrypted")));
    }
    let method = short(list, 10);
    if method != 0 && method != 8 {
        return Some(Err(format!(
            "its member `{name_text}` is packed by method {method}, not deflated"
        )));
    }
    let (mut compressed, mut start) = (u64::from(word(list, 20)), u64::from(word(list, 42)));
    // Of unpacked size, packed size and place, the field of 64 bits has those that are all ones.
    if let Some(mut wide) = field(fields, 1) {
        let mut next = |value: &mut u64| {
            if *value == u64::from(u32::MAX) && wide.len() >= 8 {
                *value = long(wide, 0);
                wide = &wide[8..];
            }
        };
        next(&mut u64::from(word(list, 24)));
        next(&mut compressed);
        next(&mut start);
    }
    let member = Member {
        name: name_text,
        start,
        compressed,
        deflated: method == 8,
        crc: word(list, 16),
    };
    Some(Ok((member, rest)))
}

/// The extra field of this number.
fn field(mut fields: &[u8], number: u16) -> Option<&[u8]> {
    while fields.len() >= 4 {
        let end = 4 + usize::from(short(fields, 2));
        if short(fields, 0) == number {
            return fields.get(4..end);
        }
        fields = fields.get(end..)?;
    }
    None
}

fn bytes_at(file: &mut File, start: u64, length: u64) -> std::result::Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start)).map_err(|error| error.to_string())?;
    file.take(length)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 == length {
        Ok(bytes)
    } else {
        Err("it ends early".into())
    }
}

/// Little-endian numbers of a record; 0 beyond its end, which no caller asks for.
fn short(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from(short(bytes, at)) | u32::from(short(bytes, at + 2)) << 16
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}
