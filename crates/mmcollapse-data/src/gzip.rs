//! gzip, unfolded piece by piece, with a limit on how much may come of how little.
//!
//! Readers of one member lose what follows the first, readers of several fail over padding (tapes and disks fill the last
//! block with zeros). This one reads every member and passes over what follows the last, as gzip(1) does; but where what
//! follows holds another member behind damaged bytes, data are missing, and that is an error.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use crate::caps::too_large;

/// First bytes of every member: the magic, and the one method there is.
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// Bytes that may always come of a file, whatever its length.
const FLOOR: u64 = 1 << 30;
/// Times its own length that a longer file may unfold to: tables reach 10 to 20, the format 1032.
const RATIO: u64 = 200;

/// The content of a gzip file.
pub(crate) struct Gunzip<R> {
    state: State<R>,
    unfolded: u64,
    most: u64,
}

enum State<R> {
    Member(Box<GzDecoder<R>>),
    Done,
}

impl<R: BufRead> Gunzip<R> {
    /// The content of `packed`, a file of `length` bytes.
    pub(crate) fn new(packed: R, length: u64) -> Self {
        Self::of_at_most(packed, FLOOR.max(length.saturating_mul(RATIO)))
    }

    /// The content of `packed`, which may be at most `most` bytes.
    pub(crate) fn of_at_most(packed: R, most: u64) -> Self {
        Self {
            state: State::Member(Box::new(GzDecoder::new(packed))),
            unfolded: 0,
            most,
        }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let State::Member(member) = &mut self.state {
            let n = member.read(buffer)?;
            self.unfolded += n as u64;
            if self.unfolded > self.most {
                let most = self.most;
                return Err(too_large(format!(
                    "expected at most {most} bytes to unfold from it, got more; where that is right, unpack it by hand, as plain \
                     files have no limit"
                )));
            }
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            let State::Member(member) = std::mem::replace(&mut self.state, State::Done) else {
                break;
            };
            self.state = next(member.into_inner())?;
        }
        Ok(0)
    }
}

/// What follows the end of a member.
fn next<R: BufRead>(mut packed: R) -> io::Result<State<R>> {
    let start = packed.fill_buf()?;
    if start.is_empty() {
        return Ok(State::Done);
    }
    // A buffer may end within the magic: one byte of it is enough, what is no member fails over its heading.
    if start.starts_with(&MAGIC[..start.len().min(MAGIC.len())]) {
        return Ok(State::Member(Box::new(GzDecoder::new(packed))));
    }
    let mut last = [0; 3];
    loop {
        let piece = packed.fill_buf()?;
        if piece.is_empty() {
            return Ok(State::Done);
        }
        for &byte in piece {
            last = [last[1], last[2], byte];
            if last == MAGIC {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "expected the next gzip member where one ends, got other bytes and a member behind them",
                ));
            }
        }
        let n = piece.len();
        packed.consume(n);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn unfolded(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        // A small buffer, so that members end at all places in it.
        let reader = BufReader::with_capacity(7, bytes);
        Gunzip::new(reader, bytes.len() as u64).read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn members_are_read_and_padding_is_passed_over() {
        let (a, b) = (packed(b"first "), packed(b"second"));
        for behind in [&[][..], &[0; 512], b"padding"] {
            let file = [&a[..], &b, behind].concat();
            assert_eq!(unfolded(&file).unwrap(), b"first second", "{behind:?}");
        }
        assert_eq!(unfolded(&packed(b"")).unwrap(), b"");
    }

    #[test]
    fn a_member_behind_damaged_bytes_is_not_lost_without_a_word() {
        let file = [&packed(b"first ")[..], b"damage", &packed(b"second")].concat();
        let error = unfolded(&file).unwrap_err().to_string();
        assert!(error.contains("a member behind them"), "{error}");
        let mut cut = packed(b"content");
        cut.truncate(cut.len() - 3);
        assert!(unfolded(&cut).is_err());
    }

    #[test]
    fn what_unfolds_without_end_stops_at_the_limit() {
        let file = packed(&vec![0; 1 << 20]);
        let mut content = Vec::new();
        let mut reader = Gunzip::of_at_most(file.as_slice(), 1 << 16);
        let error = reader.read_to_end(&mut content).unwrap_err().to_string();
        assert!(error.contains("at most 65536 bytes"), "{error}");
        assert!(content.len() < 1 << 18, "{}", content.len());
    }
}
