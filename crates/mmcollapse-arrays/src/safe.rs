//! The `.safetensors` format.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::Dtype as Stored;
use safetensors::tensor::Metadata;

use crate::{ArrayError, ArrayInfo, Dtype, Entry, Place, Result, Values, npy};

/// Most bytes of a header, as in the format's own reader.
const LONGEST_HEADER: u64 = 100_000_000;

/// The tensors of a file, in the order of their data.
pub(crate) fn entries(path: &Path) -> Result<Vec<Entry>> {
    let broken = |reason: String| ArrayError::of(path, format!("not a readable safetensors file: {reason}"));
    let mut file = File::open(path).map_err(|error| ArrayError::of(path, error.to_string()))?;
    let length = file.metadata().map_err(|error| broken(error.to_string()))?.len();
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(|error| broken(error.to_string()))?;
    let size = u64::from_le_bytes(size);
    if size > LONGEST_HEADER.min(length - 8) {
        return Err(broken(format!("a header of {size} bytes in a file of {length}")));
    }
    let mut header = Vec::new();
    file.take(size)
        .read_to_end(&mut header)
        .map_err(|error| broken(error.to_string()))?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| broken(error.to_string()))?;
    let expected = (8 + size).saturating_add(metadata.data_len() as u64);
    if length != expected {
        return Err(broken(format!(
            "its header speaks of {expected} bytes, the file has {length}"
        )));
    }
    let mut tensors: Vec<_> = metadata.tensors().into_iter().collect();
    tensors.sort_by_key(|(_, tensor)| tensor.data_offsets);
    let entry = |(name, tensor): (String, &safetensors::tensor::TensorInfo)| {
        let Some(dtype) = dtype(tensor.dtype) else {
            let reason = format!("expected floats or integers of 8 to 64 bits, got {:?}", tensor.dtype);
            let error = ArrayError::of(path, reason).help("convert it with .float()");
            return Entry::unread(name, path, error);
        };
        Entry {
            info: ArrayInfo {
                shape: tensor.shape.clone(),
                dtype,
                path: path.to_owned(),
                name,
            },
            place: Place::Safetensors {
                start: 8 + size + tensor.data_offsets.0 as u64,
            },
        }
    };
    Ok(tensors.into_iter().map(entry).collect())
}

fn dtype(stored: Stored) -> Option<Dtype> {
    Some(match stored {
        Stored::F16 => Dtype::F16,
        Stored::BF16 => Dtype::BF16,
        Stored::F32 => Dtype::F32,
        Stored::F64 => Dtype::F64,
        Stored::I8 => Dtype::I8,
        Stored::I16 => Dtype::I16,
        Stored::I32 => Dtype::I32,
        Stored::I64 => Dtype::I64,
        Stored::U8 => Dtype::U8,
        Stored::U16 => Dtype::U16,
        Stored::U32 => Dtype::U32,
        Stored::U64 => Dtype::U64,
        Stored::BOOL => Dtype::Bool,
        _ => return None,
    })
}

/// The numbers of a tensor that begins at `start`.
pub(crate) fn read(info: &ArrayInfo, start: u64) -> Result<Values> {
    let broken = |error: std::io::Error| ArrayError::of(&info.path, error.to_string());
    let mut file = BufReader::new(File::open(&info.path).map_err(broken)?);
    file.seek(SeekFrom::Start(start)).map_err(broken)?;
    npy::numbers(&info.path, &mut file, info.dtype, false, &info.shape)
}
