//! Writing the header of a safetensors file. The format's own library writes metadata in no order; here a file of the same
//! content has the same bytes.

use std::collections::BTreeMap;

use candle_core::bail;
use safetensors::tensor::TensorInfo;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::{Error, Result};

/// The name that the format keeps for the metadata.
const METADATA: &str = "__metadata__";

/// All that stands before the numbers.
pub(super) struct Header<'a> {
    pub(super) metadata: &'a BTreeMap<String, String>,
    /// In the order of their numbers.
    pub(super) tensors: Vec<(&'a str, TensorInfo)>,
}

impl Header<'_> {
    /// The header with the length before it, padded to a multiple of eight bytes.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        if self.tensors.iter().any(|(name, _)| *name == METADATA) {
            bail!("a tensor may not be named `{METADATA}`: the format keeps that name for itself");
        }
        let mut json = serde_json::to_vec(self).map_err(Error::wrap)?;
        json.resize(json.len().next_multiple_of(8), b' ');
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.append(&mut json);
        Ok(bytes)
    }
}

impl Serialize for Header<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.metadata.is_empty() {
            map.serialize_entry(METADATA, self.metadata)?;
        }
        for (name, info) in &self.tensors {
            map.serialize_entry(name, info)?;
        }
        map.end()
    }
}
