//! Tensors in files of the safetensors format, which PyTorch, JAX and others read.
//!
//! Layout (<https://github.com/huggingface/safetensors>): eight bytes with the length of a JSON header, the
//! header (per tensor its type, shape and place; and text under `__metadata__`), then the numbers, little-endian
//! and without gaps. A file is written whole or not at all.
//!
//! A file of ours carries a checksum of all its bytes in its metadata, so that one flipped bit, in a weight, a moment or
//! a history, is told from what was written. Files of others (pretrained weights) have none: [`load_foreign`] reads them.

mod checksum;
mod header;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::bail;
use mmcollapse_files as files;
use safetensors::SafeTensors;
use safetensors::tensor::TensorInfo;

use crate::{DType, Device, Error, Result, Tensor};
use header::Header;

/// What a file holds: tensors by name, and its metadata.
pub type Contents = (BTreeMap<String, Tensor>, BTreeMap<String, String>);

/// Writes `tensors`, `metadata` and a checksum of the whole file to `path`, replacing a file that is there.
///
/// # Errors
/// A tensor of another type than F64, F32, I64, U32 or U8, a tensor named `__metadata__`, or what the file
/// system says; `path` then keeps its old content.
pub fn save(path: &Path, tensors: &BTreeMap<String, Tensor>, metadata: &BTreeMap<String, String>) -> Result<()> {
    let bytes = checksum::sealed(metadata, |metadata| to_bytes(tensors, metadata))
        .map_err(|error| Error::Msg(format!("{}: {error}", path.display())))?;
    files::write_atomic(path, &bytes).map_err(|error| Error::Msg(format!("writing tensors failed: {error}")))
}

/// Reads all tensors of a file that [`save`] wrote onto `device`, and the file's metadata.
///
/// # Errors
/// What the file system says, or what is wrong with the file and where: one without a checksum, or of whose bytes any has
/// changed, is damaged. Nothing of a damaged file is used.
pub fn load(path: &Path, device: &Device) -> Result<Contents> {
    read(path, device, true)
}

/// As [`load`], of a file that another program wrote, which need not have a checksum.
///
/// # Errors
/// As [`load`]; a checksum that is there has to be right.
pub fn load_foreign(path: &Path, device: &Device) -> Result<Contents> {
    read(path, device, false)
}

fn read(path: &Path, device: &Device, ours: bool) -> Result<Contents> {
    let bytes = fs::read(path).map_err(|error| Error::Msg(format!("{}: {error}", path.display())))?;
    let contents = from_bytes(&bytes, device).and_then(|(tensors, mut metadata)| {
        checksum::check(&bytes, &mut metadata, ours)?;
        Ok((tensors, metadata))
    });
    contents.map_err(|error| {
        Error::Msg(format!(
            "{}: not a whole safetensors file ({} bytes): {error}; delete it and let it be made again",
            path.display(),
            bytes.len()
        ))
    })
}

/// The content of a file.
///
/// # Errors
/// As [`save`], the file system apart.
pub fn to_bytes(tensors: &BTreeMap<String, Tensor>, metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    // Wide types first, as the format's own library does: each number then lies at a multiple of its size.
    let mut order: Vec<(&String, &Tensor)> = tensors.iter().collect();
    order.sort_by_key(|(name, tensor)| (std::cmp::Reverse(tensor.dtype().size_in_bytes()), name.as_str()));
    let mut infos = Vec::with_capacity(order.len());
    let mut data = Vec::new();
    for (name, tensor) in order {
        let start = data.len();
        append(tensor, &mut data).map_err(|error| Error::Msg(format!("tensor `{name}`: {error}")))?;
        let info = TensorInfo {
            dtype: tensor.dtype().into(),
            shape: tensor.dims().to_vec(),
            data_offsets: (start, data.len()),
        };
        infos.push((name.as_str(), info));
    }
    let header = Header {
        metadata,
        tensors: infos,
    };
    let mut bytes = header.to_bytes()?;
    bytes.append(&mut data);
    Ok(bytes)
}

/// Tensors and metadata from the content of a file.
///
/// # Errors
/// As [`load`], the file system apart.
pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Contents> {
    let (length, header) = SafeTensors::read_metadata(bytes).map_err(Error::wrap)?;
    let data = &bytes[8 + length..];
    let mut tensors = BTreeMap::new();
    for (name, info) in header.tensors() {
        // Strides are products of the shape as well, those of empty tensors too, which no bytes bound.
        let strides = info
            .shape
            .iter()
            .try_fold(1_usize, |size, &n| size.checked_mul(n.max(1)));
        if strides.is_none() {
            bail!("tensor `{name}` claims the shape {:?}", info.shape);
        }
        let values = &data[info.data_offsets.0..info.data_offsets.1];
        let tensor = Tensor::from_raw_buffer(values, info.dtype.try_into()?, &info.shape, device)?;
        tensors.insert(name, tensor);
    }
    let metadata = header.metadata().clone().unwrap_or_default();
    Ok((tensors, metadata.into_iter().collect()))
}

/// Appends the numbers of `tensor`, little-endian, row-major.
fn append(tensor: &Tensor, data: &mut Vec<u8>) -> Result<()> {
    let flat = tensor.flatten_all()?;
    match tensor.dtype() {
        DType::F64 => data.extend(flat.to_vec1::<f64>()?.iter().flat_map(|v| v.to_le_bytes())),
        DType::F32 => data.extend(flat.to_vec1::<f32>()?.iter().flat_map(|v| v.to_le_bytes())),
        DType::I64 => data.extend(flat.to_vec1::<i64>()?.iter().flat_map(|v| v.to_le_bytes())),
        DType::U32 => data.extend(flat.to_vec1::<u32>()?.iter().flat_map(|v| v.to_le_bytes())),
        DType::U8 => data.extend(flat.to_vec1::<u8>()?),
        other => bail!("type {other:?} is not written here; convert it to F32"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Contents {
        let device = &Device::Cpu;
        let tensors = BTreeMap::from([
            ("bytes".into(), Tensor::new(&[1_u8, 255], device).unwrap()),
            (
                "b.weight".into(),
                Tensor::new(&[[1_f32, -2.5], [0.0, 3.0]], device).unwrap(),
            ),
            ("a.step".into(), Tensor::new(-7_i64, device).unwrap()),
            ("ids".into(), Tensor::new(&[4_000_000_000_u32], device).unwrap()),
            ("double".into(), Tensor::new(&[0.1_f64], device).unwrap()),
            ("none".into(), Tensor::zeros((0, 3), DType::F32, device).unwrap()),
        ]);
        let metadata = BTreeMap::from([
            ("format".into(), "pt".into()),
            ("note \"\\\n".into(), "größe 🦀\u{1}".into()),
        ]);
        (tensors, metadata)
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let tensors = BTreeMap::from([("w".to_owned(), Tensor::new(&[1_f32, -2.0], &Device::Cpu).unwrap())]);
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let bytes = to_bytes(&tensors, &metadata).unwrap();
        let json = r#"{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        let mut expected = 88_u64.to_le_bytes().to_vec();
        expected.extend_from_slice(json.as_bytes());
        expected.resize(8 + 88, b' ');
        expected.extend_from_slice(&[0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let (tensors, metadata) = example();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        save(&path, &tensors, &metadata).unwrap();
        let (loaded, text) = load(&path, &Device::Cpu).unwrap();
        assert_eq!(text, metadata);
        assert_eq!(loaded.keys().collect::<Vec<_>>(), tensors.keys().collect::<Vec<_>>());
        for (name, tensor) in &tensors {
            assert_eq!(loaded[name].dtype(), tensor.dtype(), "{name}");
            assert_eq!(loaded[name].dims(), tensor.dims(), "{name}");
        }
        // Equal bytes are equal numbers, whatever their type.
        let bytes = |contents: &Contents| to_bytes(&contents.0, &contents.1).unwrap();
        assert_eq!(bytes(&(loaded, text)), bytes(&(tensors, metadata)));
        // candle's own reader agrees.
        let theirs = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        assert_eq!(theirs["b.weight"].to_vec2::<f32>().unwrap(), [[1.0, -2.5], [0.0, 3.0]]);
        assert_eq!(theirs["a.step"].to_scalar::<i64>().unwrap(), -7);
    }

    #[test]
    fn views_are_saved_as_they_are_seen() {
        let tensor = Tensor::arange(0_f32, 6.0, &Device::Cpu)
            .unwrap()
            .reshape((2, 3))
            .unwrap();
        let view = tensor.t().unwrap().narrow(0, 1, 2).unwrap();
        let tensors = BTreeMap::from([("view".to_owned(), view)]);
        let bytes = to_bytes(&tensors, &BTreeMap::new()).unwrap();
        let (loaded, _) = from_bytes(&bytes, &Device::Cpu).unwrap();
        assert_eq!(loaded["view"].to_vec2::<f32>().unwrap(), [[1.0, 4.0], [2.0, 5.0]]);
    }

    #[test]
    fn escapes_of_other_writers_are_read() {
        let json = r#" {"__metadata__" : {"k\u00e9\/\t": "\ud83e\udd80\"\\\b\f\n\r"} , "x":
            {"shape":[ 1 ], "data_offsets":[0,1],"dtype":"U8"}}"#;
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(json.as_bytes());
        bytes.push(9);
        let (tensors, metadata) = from_bytes(&bytes, &Device::Cpu).unwrap();
        assert_eq!(tensors["x"].to_vec1::<u8>().unwrap(), [9]);
        assert_eq!(metadata["ké/\t"], "🦀\"\\\u{8}\u{c}\n\r");
    }

    #[test]
    fn a_damaged_file_is_named_and_refused() {
        let (tensors, metadata) = example();
        let bytes = to_bytes(&tensors, &metadata).unwrap();
        for length in [0, 7, 8, 100, bytes.len() - 1] {
            assert!(from_bytes(&bytes[..length], &Device::Cpu).is_err(), "{length}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("half.safetensors");
        files::write_atomic(&path, &bytes[..bytes.len() - 3]).unwrap();
        let error = load(&path, &Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("half.safetensors") && error.contains("bytes"), "{error}");
        let error = load(&folder.path().join("absent"), &Device::Cpu)
            .unwrap_err()
            .to_string();
        assert!(error.contains("absent"), "{error}");
    }

    #[test]
    fn every_flipped_bit_of_a_saved_file_is_found() {
        let (tensors, metadata) = example();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealed.safetensors");
        save(&path, &tensors, &metadata).unwrap();
        let whole = fs::read(&path).unwrap();
        let sealed = |bytes: &[u8]| {
            let (_, mut metadata) = from_bytes(bytes, &Device::Cpu)?;
            checksum::check(bytes, &mut metadata, true)
        };
        sealed(&whole).unwrap();
        for place in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[place] ^= 1 << bit;
                assert!(sealed(&flipped).is_err(), "byte {place}, bit {bit}");
            }
        }
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        files::write_atomic(&path, &flipped).unwrap();
        for load in [load, load_foreign] {
            let error = load(&path, &Device::Cpu).unwrap_err().to_string();
            assert!(
                error.contains("sealed.safetensors") && error.contains("checksum"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_without_a_checksum_is_somebody_elses() {
        let (tensors, metadata) = example();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pretrained.safetensors");
        files::write_atomic(&path, &to_bytes(&tensors, &metadata).unwrap()).unwrap();
        let error = load(&path, &Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("no checksum"), "{error}");
        assert_eq!(load_foreign(&path, &Device::Cpu).unwrap().1, metadata);
    }

    #[test]
    fn headers_that_lie_are_refused() {
        for (json, data) in [
            (r#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4),
            (r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8),
            (r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4),
            (r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 5),
            (r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}x"#, 4),
            (r#"{"x":{"dtype":"Q9","shape":[1],"data_offsets":[0,4]}}"#, 4),
            (r#"{"x":{"dtype":"F32","shape":[1]}}"#, 4),
            (r#"{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4),
            (
                r#"{"x":{"dtype":"F32","shape":[18446744073709551615,8],"data_offsets":[0,4]}}"#,
                4,
            ),
            (
                r#"{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#,
                2,
            ),
            // Empty, and yet of a size that no number holds.
            (
                r#"{"x":{"dtype":"F32","shape":[0,18446744073709551615,8],"data_offsets":[0,0]}}"#,
                0,
            ),
            (r#"{"__metadata__":{"k":"\ud800"}}"#, 0),
            (r#"{"__metadata__":{"k":"\u12"}}"#, 0),
            (r#"{"__metadata__":{"k":3}}"#, 0),
            ("[]", 0),
            ("{", 0),
        ] {
            let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
            bytes.extend_from_slice(json.as_bytes());
            bytes.resize(bytes.len() + data, 0);
            assert!(from_bytes(&bytes, &Device::Cpu).is_err(), "{json}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let device = &Device::Cpu;
        let half = Tensor::zeros(2, DType::F16, device).unwrap();
        let one = Tensor::zeros(2, DType::F32, device).unwrap();
        for (name, tensor) in [("half", half), ("__metadata__", one)] {
            let tensors = BTreeMap::from([(name.to_owned(), tensor)]);
            let error = to_bytes(&tensors, &BTreeMap::new()).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = from_bytes(&bytes, &Device::Cpu);
        }

        #[test]
        fn no_header_makes_it_panic(json in "[\\PC\\\\\"{}\\[\\]:,0-9]{0,60}") {
            let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
            bytes.extend_from_slice(json.as_bytes());
            let _ = from_bytes(&bytes, &Device::Cpu);
        }

        /// What a header holds, in other places: no panic, and nothing is made of it that the file does not hold.
        #[test]
        fn no_mutated_file_makes_it_panic(changes in proptest::collection::vec((0.0..1.0_f64, 0.0..1.0_f64, 0..60_usize, any::<u8>()), 1..5)) {
            let (tensors, metadata) = example();
            let mut bytes = to_bytes(&tensors, &metadata).unwrap();
            for (from, to, length, byte) in changes {
                let place = |part: f64| (part * bytes.len() as f64) as usize;
                let (from, to) = (place(from), place(to));
                if length % 3 == 0 {
                    bytes[from] = byte;
                } else {
                    let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
                    let end = (to + piece.len() * (length % 2)).min(bytes.len());
                    bytes.splice(to..end, piece);
                    // A header of the right length gets further.
                    let header = bytes.iter().rposition(|byte| *byte == b'}').map_or(0, |end| end.saturating_sub(7));
                    if bytes.len() > 8 && byte % 2 == 0 {
                        bytes[..8].copy_from_slice(&(header as u64).to_le_bytes());
                    }
                }
            }
            if let Ok((tensors, _)) = from_bytes(&bytes, &Device::Cpu) {
                let size: usize = tensors.values().map(|t| t.elem_count() * t.dtype().size_in_bytes()).sum();
                prop_assert!(size <= bytes.len());
            }
        }

        #[test]
        fn every_text_comes_back(key in ".*", value in ".*") {
            let metadata = BTreeMap::from([(key, value)]);
            let bytes = to_bytes(&BTreeMap::new(), &metadata).unwrap();
            prop_assert_eq!(from_bytes(&bytes, &Device::Cpu).unwrap().1, metadata);
        }
    }
}
