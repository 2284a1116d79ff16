//! The `.npy` format, versions 1 to 3.
//!
//! Source: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. The header is a Python literal; it is
//! searched for its three keys, not evaluated.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::{ArrayError, ArrayInfo, Dtype, Result, Values};

/// Most bytes that a header may have; numpy's own limit is 10,000.
const LONGEST_HEADER: usize = 1 << 16;

/// Of whole numbers without a sign that the signed ones do not hold.
pub(crate) const TOO_LARGE: &str = "expected integers below 2^63, got a larger one";
/// What to do then.
pub(crate) const SMALLER: &str = "number them anew, or write them as floats";

/// What the header says.
#[derive(Debug, PartialEq)]
pub(crate) struct Header {
    dtype: Dtype,
    big_endian: bool,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    pub(crate) fn info(self, name: String, path: &Path) -> ArrayInfo {
        ArrayInfo {
            name,
            shape: self.shape,
            dtype: self.dtype,
            path: path.to_owned(),
        }
    }
}

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> Result<impl Read> {
    let file = File::open(path).map_err(|error| ArrayError::of(path, error.to_string()))?;
    Ok(BufReader::new(file))
}

/// Reads the header of an array; the numbers come next.
pub(crate) fn header(path: &Path, from: &mut impl Read) -> Result<Header> {
    let broken = |reason: String| ArrayError::of(path, format!("not a readable npy array: {reason}"));
    let mut start = [0; 8];
    from.read_exact(&mut start).map_err(|error| broken(error.to_string()))?;
    if &start[..6] != b"\x93NUMPY" {
        return Err(broken("it does not begin with numpy's mark".into()));
    }
    let mut length = [0; 4];
    let width = match start[6] {
        1 => 2,
        2 | 3 => 4,
        other => return Err(broken(format!("expected version 1, 2 or 3, got {other}"))),
    };
    from.read_exact(&mut length[..width])
        .map_err(|error| broken(error.to_string()))?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST_HEADER {
        return Err(broken(format!(
            "a header of {length} bytes, at most {LONGEST_HEADER} are read"
        )));
    }
    let mut text = vec![0; length];
    from.read_exact(&mut text).map_err(|error| broken(error.to_string()))?;
    parse(&String::from_utf8_lossy(&text)).map_err(|reason| ArrayError::of(path, reason))
}

/// Reads the three keys of a header.
fn parse(text: &str) -> std::result::Result<Header, String> {
    let after = |key: &str| {
        let found = text
            .find(&format!("'{key}':"))
            .map(|at| text[at + key.len() + 3..].trim_start());
        found.ok_or_else(|| format!("not a readable npy array: its header lacks `{key}`"))
    };
    let (dtype, big_endian) = dtype(after("descr")?)?;
    let fortran = after("fortran_order")?.starts_with("True");
    let inside = after("shape")?
        .strip_prefix('(')
        .and_then(|rest| rest.split(')').next());
    let axes = inside.ok_or("not a readable npy array: its shape is no tuple")?;
    let axes = axes.split(',').map(str::trim).filter(|axis| !axis.is_empty());
    let shape = axes.map(|axis| axis.trim_end_matches('L').parse().map_err(|_| axis));
    let shape = shape.collect::<std::result::Result<Vec<usize>, _>>();
    Ok(Header {
        dtype,
        big_endian,
        fortran,
        shape: shape.map_err(|axis| format!("not a readable npy array: `{axis}` is no length of an axis"))?,
    })
}

/// The type that a `descr` names, and whether its bytes are turned.
fn dtype(described: &str) -> std::result::Result<(Dtype, bool), String> {
    let code = described.strip_prefix('\'').and_then(|rest| rest.split('\'').next());
    let Some(code) = code else {
        return Err("expected an array of numbers, got one of records".into());
    };
    let (order, kind) = code.split_at(code.len().min(1));
    let dtype = match kind {
        "f2" => Dtype::F16,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        "i1" => Dtype::I8,
        "i2" => Dtype::I16,
        "i4" => Dtype::I32,
        "i8" => Dtype::I64,
        "u1" => Dtype::U8,
        "u2" => Dtype::U16,
        "u4" => Dtype::U32,
        "u8" => Dtype::U64,
        "b1" => Dtype::Bool,
        _ => {
            return Err(format!(
                "expected floats, integers or booleans, got numpy's type `{code}`; {}",
                advice(kind)
            ));
        }
    };
    Ok((dtype, order == ">"))
}

/// What to write instead of an array of this type.
fn advice(kind: &str) -> &'static str {
    match kind.chars().next() {
        Some('U' | 'S') => "give text as whole numbers, `numpy.unique(array, return_inverse=True)[1]`",
        Some('O') => {
            "objects are pickles, which are not read: give numbers as `array.astype(float)`, text as \
             `numpy.unique(array.astype(str), return_inverse=True)[1]`"
        }
        Some('c') => "give the real and the imaginary part, `array.real` and `array.imag`, as arrays of their own",
        Some('M' | 'm') => "give times as whole numbers, `array.astype(\"int64\")`",
        _ => "convert it to floats, `array.astype(float)`",
    }
}

/// Reads an array with its header.
pub(crate) fn read(path: &Path, from: &mut impl Read) -> Result<Values> {
    let header = header(path, from)?;
    numbers(path, from, header.dtype, header.big_endian, &header.shape).map(|values| {
        if header.fortran {
            values.into_c_order(&header.shape)
        } else {
            values
        }
    })
}

/// Reads the numbers of an array of this shape. Memory grows with what is there, not with what a shape claims.
pub(crate) fn numbers(
    path: &Path,
    from: &mut impl Read,
    dtype: Dtype,
    big_endian: bool,
    shape: &[usize],
) -> Result<Values> {
    let count = shape
        .iter()
        .try_fold(1_usize, |product, &axis| product.checked_mul(axis));
    let bytes = count.and_then(|count| count.checked_mul(dtype.size()));
    let Some(bytes) = bytes else {
        return Err(ArrayError::of(
            path,
            format!("a shape of {shape:?} does not fit in memory"),
        ));
    };
    let mut read = Vec::new();
    from.take(bytes as u64)
        .read_to_end(&mut read)
        .map_err(|error| ArrayError::of(path, error.to_string()))?;
    if read.len() != bytes {
        let reason = format!(
            "the file ends early: expected {bytes} bytes of numbers, got {}",
            read.len()
        );
        return Err(ArrayError::of(path, reason).help("write the file again"));
    }
    Values::decode(&read, dtype, big_endian).ok_or_else(|| ArrayError::of(path, TOO_LARGE).help(SMALLER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        let read = parse("{'descr': '>i2', 'fortran_order': True, 'shape': (3, 4), }").unwrap();
        assert_eq!(
            read,
            Header {
                dtype: Dtype::I16,
                big_endian: true,
                fortran: true,
                shape: vec![3, 4]
            }
        );
        assert_eq!(
            parse("{'descr': '|u1', 'fortran_order': False, 'shape': (7,)}")
                .unwrap()
                .shape,
            [7]
        );
        assert!(
            parse("{'descr': '<f4', 'fortran_order': False, 'shape': ()}")
                .unwrap()
                .shape
                .is_empty()
        );
    }

    #[test]
    fn what_holds_no_numbers_is_refused() {
        let refused = |text: &str| parse(text).unwrap_err();
        let of_type = |code: &str| refused(&format!("{{'descr': '{code}', 'fortran_order': False, 'shape': (7,)}}"));
        assert!(of_type("|O").contains("`|O`; objects are pickles"));
        assert!(of_type("<c8").contains("`<c8`; give the real"));
        assert!(of_type("<M8[ns]").contains("give times as whole numbers"));
        for text in ["<U5", "|S3"] {
            let told = of_type(text);
            assert!(
                told.contains("return_inverse=True") && !told.contains(".astype"),
                "{told}"
            );
        }
        assert!(refused("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (7,)}").contains("records"));
        assert!(refused("{'descr': '<f4', 'shape': (7,)}").contains("lacks `fortran_order`"));
        assert!(refused("{'descr': '<f4', 'fortran_order': False, 'shape': (-7,)}").contains("`-7`"));
        assert!(refused("{'descr': '', 'fortran_order': False, 'shape': (7,)}").contains("got numpy's type"));
    }
}
