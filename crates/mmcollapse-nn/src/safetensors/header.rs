//! The header of a safetensors file: the little JSON that the format allows, and the checks that the format
//! asks of a reader (no gap, no overlap, no byte beyond).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use candle_core::bail;

use crate::{DType, Result};

/// The format's own limit, against files that claim more than there is.
const LONGEST: usize = 100_000_000;

const METADATA: &str = "__metadata__";

/// One tensor of a file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    /// First byte, counted from the end of the header.
    pub(super) start: usize,
    /// The byte after the last.
    pub(super) end: usize,
}

/// All that stands before the numbers.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) entries: Vec<Entry>,
    pub(super) metadata: BTreeMap<String, String>,
}

const TYPES: [(&str, DType); 7] = [
    ("F64", DType::F64),
    ("F32", DType::F32),
    ("F16", DType::F16),
    ("BF16", DType::BF16),
    ("I64", DType::I64),
    ("U32", DType::U32),
    ("U8", DType::U8),
];

impl Header {
    /// The header with the length before it, padded to a multiple of eight bytes.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut json = String::from("{");
        if !self.metadata.is_empty() {
            json.push_str("\"__metadata__\":{");
            for (i, (key, value)) in self.metadata.iter().enumerate() {
                json.push_str(if i == 0 { "" } else { "," });
                quote(key, &mut json);
                json.push(':');
                quote(value, &mut json);
            }
            json.push('}');
        }
        for entry in &self.entries {
            if entry.name == METADATA {
                bail!("a tensor may not be named `{METADATA}`: the format keeps that name for itself");
            }
            let Some((dtype, _)) = TYPES.iter().find(|(_, dtype)| *dtype == entry.dtype) else {
                bail!(
                    "tensor `{}` has the type {:?}, which is not written here",
                    entry.name,
                    entry.dtype
                );
            };
            json.push_str(if json.len() == 1 { "" } else { "," });
            quote(&entry.name, &mut json);
            let shape: Vec<String> = entry.shape.iter().map(usize::to_string).collect();
            // Writing to a string cannot fail.
            let _ = write!(
                json,
                ":{{\"dtype\":\"{dtype}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                shape.join(","),
                entry.start,
                entry.end
            );
        }
        json.push('}');
        while !json.len().is_multiple_of(8) {
            json.push(' ');
        }
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(json.as_bytes());
        Ok(bytes)
    }

    /// The header of a file, checked against its length, and the bytes that follow it.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
            bail!("{} bytes, expected at least 8", bytes.len());
        };
        let length = u64::from_le_bytes(*length);
        if length > rest.len().min(LONGEST) as u64 {
            bail!("the header claims {length} bytes, {} follow", rest.len());
        }
        let (json, data) = rest.split_at(length as usize);
        let Ok(json) = std::str::from_utf8(json) else {
            bail!("the header is not UTF-8 text");
        };
        let mut reader = Reader { json, position: 0 };
        let mut header = reader.header()?;
        header.entries.sort_by_key(|entry| (entry.start, entry.end));
        let mut expected = 0;
        for entry in &header.entries {
            let size = entry
                .shape
                .iter()
                .try_fold(entry.dtype.size_in_bytes(), |size, &n| size.checked_mul(n));
            // Strides are products as well, those of empty tensors too.
            let strides = entry
                .shape
                .iter()
                .try_fold(1_usize, |size, &n| size.checked_mul(n.max(1)));
            let size = size.filter(|_| strides.is_some());
            if entry.start != expected || size.is_none_or(|size| entry.end.checked_sub(entry.start) != Some(size)) {
                bail!(
                    "tensor `{}` {:?} {:?} claims bytes {}..{}, expected {} bytes from {expected}",
                    entry.name,
                    entry.dtype,
                    entry.shape,
                    entry.start,
                    entry.end,
                    size.map_or("fewer".into(), |size| size.to_string())
                );
            }
            expected = entry.end;
        }
        if expected != data.len() {
            bail!("the tensors need {expected} bytes, the file has {}", data.len());
        }
        Ok((header, data))
    }
}

/// A JSON string, quotes included.
fn quote(text: &str, json: &mut String) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            control if control < ' ' => {
                let _ = write!(json, "\\u{:04x}", control as u32);
            }
            other => json.push(other),
        }
    }
    json.push('"');
}

/// Reads the JSON of a header and nothing else: objects, strings and arrays of whole numbers.
struct Reader<'a> {
    json: &'a str,
    position: usize,
}

impl Reader<'_> {
    fn header(&mut self) -> Result<Header> {
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        let mut metadata = BTreeMap::new();
        self.object(|reader, name| {
            if name == METADATA {
                return reader.object(|reader, key| {
                    let value = reader.string()?;
                    metadata.insert(key, value);
                    Ok(())
                });
            }
            let entry = reader.entry(&name)?;
            if entries.insert(name.clone(), entry).is_some() {
                bail!("two tensors are named `{name}`");
            }
            Ok(())
        })?;
        if self.peek().is_some() {
            bail!("the header goes on after its end, at byte {}", self.position);
        }
        Ok(Header {
            entries: entries.into_values().collect(),
            metadata,
        })
    }

    fn entry(&mut self, name: &str) -> Result<Entry> {
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        self.object(|reader, key| {
            match key.as_str() {
                "dtype" => {
                    let text = reader.string()?;
                    let known = TYPES.iter().find(|(known, _)| *known == text);
                    let Some((_, known)) = known else {
                        bail!("tensor `{name}` has the type `{text}`, which is not read here");
                    };
                    dtype = Some(*known);
                }
                "shape" => shape = Some(reader.numbers()?),
                "data_offsets" => offsets = Some(reader.numbers()?),
                _ => bail!("tensor `{name}` has an unknown key `{key}`"),
            }
            Ok(())
        })?;
        let (Some(dtype), Some(shape), Some(&[start, end])) = (dtype, shape, offsets.as_deref()) else {
            bail!("tensor `{name}` lacks its type, its shape or its two offsets");
        };
        Ok(Entry {
            name: name.to_owned(),
            dtype,
            shape,
            start,
            end,
        })
    }

    /// Calls `member` with each key; it has to read the value.
    fn object(&mut self, mut member: impl FnMut(&mut Self, String) -> Result<()>) -> Result<()> {
        self.expect('{')?;
        if self.accept('}') {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.expect(':')?;
            member(self, key)?;
            if self.accept('}') {
                return Ok(());
            }
            self.expect(',')?;
        }
    }

    fn numbers(&mut self) -> Result<Vec<usize>> {
        let mut numbers = Vec::new();
        self.expect('[')?;
        if self.accept(']') {
            return Ok(numbers);
        }
        loop {
            self.peek();
            let rest = &self.json[self.position..];
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let Ok(number) = rest[..digits].parse() else {
                bail!("the header needs a whole number at byte {}", self.position);
            };
            numbers.push(number);
            self.position += digits;
            if self.accept(']') {
                return Ok(numbers);
            }
            self.expect(',')?;
        }
    }

    fn string(&mut self) -> Result<String> {
        self.expect('"')?;
        let mut text = String::new();
        loop {
            match self.next() {
                None => bail!("the header ends inside of a string"),
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                Some(character) => text.push(character),
            }
        }
    }

    fn escaped(&mut self) -> Result<char> {
        let character = match self.next() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('u') => {
                let first = self.hexadecimal()?;
                let mut code = first;
                // Two escapes make one character beyond the sixteen bits of one.
                if (0xd800..0xdc00).contains(&first) && self.next() == Some('\\') && self.next() == Some('u') {
                    let second = self.hexadecimal()?;
                    code = 0x1_0000 + ((first - 0xd800) << 10) + (second.wrapping_sub(0xdc00) & 0x3ff);
                }
                let Some(character) = char::from_u32(code) else {
                    bail!("the header has a broken escape before byte {}", self.position);
                };
                character
            }
            Some(plain @ ('"' | '\\' | '/')) => plain,
            _ => bail!("the header has an unknown escape before byte {}", self.position),
        };
        Ok(character)
    }

    fn hexadecimal(&mut self) -> Result<u32> {
        let digits = self.json.get(self.position..self.position + 4);
        let Some(code) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            bail!("the header has a broken escape at byte {}", self.position);
        };
        self.position += 4;
        Ok(code)
    }

    fn next(&mut self) -> Option<char> {
        let character = self.json[self.position..].chars().next()?;
        self.position += character.len_utf8();
        Some(character)
    }

    /// The next character that is not white space, which is passed over.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.json[self.position..];
        let trimmed = rest.trim_start_matches([' ', '\n', '\r', '\t']);
        self.position += rest.len() - trimmed.len();
        trimmed.chars().next()
    }

    fn accept(&mut self, character: char) -> bool {
        let found = self.peek() == Some(character);
        if found {
            self.position += character.len_utf8();
        }
        found
    }

    fn expect(&mut self, character: char) -> Result<()> {
        if self.accept(character) {
            Ok(())
        } else {
            bail!("the header needs `{character}` at byte {}", self.position)
        }
    }
}
