//! FSDD's recordings by their names `digit_speaker_index`, which no hub row can be relied on to hold.

use std::collections::BTreeMap;

use crate::DataError;
use crate::sources::Record;

/// Name of each recording by the digest of its samples.
pub(super) const NAMES: &str = include_str!("../../../../data/fsdd-names.csv");
/// Rate of FSDD's recordings in Hz.
const RATE: u32 = 8000;

/// A recording.
pub(super) struct Clip<'a> {
    pub name: &'a str,
    pub speaker: &'a str,
    pub index: usize,
    pub record: &'a Record,
}

impl Clip<'_> {
    pub fn digit(&self) -> u32 {
        self.record.identity.label
    }

    /// The samples, over 32768.
    pub fn samples(&self) -> impl Iterator<Item = f64> {
        let pairs = self.record.content.chunks_exact(2);
        pairs.map(|b| f64::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.)
    }
}

impl<'a> Clip<'a> {
    /// The recording of this name; `set` is who asks, for errors.
    fn new(set: &str, record: &'a Record, name: &'a str) -> Result<Self, DataError> {
        let odd = |reason: String| DataError::Recipe {
            name: set.to_owned(),
            reason,
        };
        let mut parts = name.split('_');
        let (digit, speaker, index) = (parts.next(), parts.next(), parts.next());
        let number = |text: Option<&str>| text.and_then(|t| t.parse::<usize>().ok());
        let (Some(digit), Some(speaker), Some(index)) = (number(digit), speaker, number(index)) else {
            return Err(odd(format!("clip name `{name}` is not digit_speaker_index")));
        };
        if digit != record.identity.label as usize {
            return Err(odd(format!("clip {name} is labelled {}", record.identity.label)));
        }
        if record.form != [RATE] {
            return Err(odd(format!("clip {name} at {:?} Hz, expected {RATE}", record.form)));
        }
        Ok(Self {
            name,
            speaker,
            index,
            record,
        })
    }
}

/// Every recording with the name that its digest has; `set` is who asks, for errors.
pub(super) fn named<'a>(set: &str, records: &'a [Record]) -> Result<Vec<Clip<'a>>, DataError> {
    let names: BTreeMap<&str, &str> = NAMES.lines().skip(1).filter_map(|line| line.split_once(',')).collect();
    let one = |record: &'a Record| {
        let digest = record.identity.hex();
        let name = names.get(digest.as_str()).ok_or_else(|| DataError::Recipe {
            name: set.to_owned(),
            reason: format!("no name for the clip with digest {digest}"),
        })?;
        Clip::new(set, record, name)
    };
    records.iter().map(one).collect()
}

/// Every recording with the name beside it; `set` is who asks, for errors.
pub(super) fn called<'a>(set: &str, records: &'a [Record], names: &'a [String]) -> Result<Vec<Clip<'a>>, DataError> {
    let clips = records.iter().zip(names);
    clips.map(|(record, name)| Clip::new(set, record, name)).collect()
}
