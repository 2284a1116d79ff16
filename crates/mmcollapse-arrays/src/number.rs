//! How numbers are stored, and what they become.

use std::fmt;

use half::{bf16, f16};

/// How a number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are numpy's")]
pub enum Dtype {
    F16,
    BF16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
    /// What is not read: text, objects, complex numbers. The shape of such an array is not known.
    Other,
}

impl Dtype {
    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::Other => 0,
        }
    }

    /// Whether it holds whole numbers.
    pub fn is_whole(self) -> bool {
        !matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64 | Self::Other)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::Bool => "bool",
            Self::Other => "no numbers",
        })
    }
}

/// Numbers in memory, no wider than they need.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// What was stored in at most 32 bits with a fraction.
    Single(Vec<f32>),
    /// What was stored in 64 bits with a fraction.
    Double(Vec<f64>),
    /// Whole numbers; `true` is 1.
    Whole(Vec<i64>),
}

impl Values {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Single(values) => values.len(),
            Self::Double(values) => values.len(),
            Self::Whole(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number at `place`; none beyond the last.
    pub fn get(&self, place: usize) -> Option<f64> {
        match self {
            Self::Single(values) => values.get(place).map(|&value| f64::from(value)),
            Self::Double(values) => values.get(place).copied(),
            Self::Whole(values) => values.get(place).map(|&value| value as f64),
        }
    }

    /// Decodes `bytes`; none if a whole number is 2^63 or more, or the type holds no numbers. Bytes that do not fill a number are left out.
    pub(crate) fn decode(bytes: &[u8], dtype: Dtype, big_endian: bool) -> Option<Self> {
        /// The numbers of N bytes each.
        fn all<const N: usize, T>(bytes: &[u8], big: bool, of: impl Fn([u8; N]) -> T) -> Vec<T> {
            let (numbers, _) = bytes.as_chunks::<N>();
            let turned = |mut bytes: [u8; N]| {
                if big {
                    bytes.reverse();
                }
                of(bytes)
            };
            numbers.iter().copied().map(turned).collect()
        }
        let big = big_endian;
        Some(match dtype {
            Dtype::F16 => Self::Single(all(bytes, big, |b| f16::from_le_bytes(b).to_f32())),
            Dtype::BF16 => Self::Single(all(bytes, big, |b| bf16::from_le_bytes(b).to_f32())),
            Dtype::F32 => Self::Single(all(bytes, big, f32::from_le_bytes)),
            Dtype::F64 => Self::Double(all(bytes, big, f64::from_le_bytes)),
            Dtype::I8 => Self::Whole(all(bytes, big, |b| i8::from_le_bytes(b).into())),
            Dtype::I16 => Self::Whole(all(bytes, big, |b| i16::from_le_bytes(b).into())),
            Dtype::I32 => Self::Whole(all(bytes, big, |b| i32::from_le_bytes(b).into())),
            Dtype::I64 => Self::Whole(all(bytes, big, i64::from_le_bytes)),
            Dtype::U8 => Self::Whole(all(bytes, big, |b| u8::from_le_bytes(b).into())),
            Dtype::Bool => Self::Whole(all(bytes, big, |b: [u8; 1]| i64::from(b[0] != 0))),
            Dtype::U16 => Self::Whole(all(bytes, big, |b| u16::from_le_bytes(b).into())),
            Dtype::U32 => Self::Whole(all(bytes, big, |b| u32::from_le_bytes(b).into())),
            Dtype::U64 => {
                let read = all(bytes, big, |b| i64::try_from(u64::from_le_bytes(b)).ok());
                Self::Whole(read.into_iter().collect::<Option<_>>()?)
            }
            Dtype::Other => return None,
        })
    }

    /// From Fortran's order, the first axis fastest, to C's.
    pub(crate) fn into_c_order(self, shape: &[usize]) -> Self {
        fn turned<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
            let mut strides = vec![1; shape.len()];
            for axis in 1..shape.len() {
                strides[axis] = strides[axis - 1] * shape[axis - 1];
            }
            let mut at = vec![0; shape.len()];
            let mut to = Vec::with_capacity(values.len());
            for _ in 0..values.len() {
                to.push(
                    values[at
                        .iter()
                        .zip(&strides)
                        .map(|(place, stride)| place * stride)
                        .sum::<usize>()],
                );
                for axis in (0..shape.len()).rev() {
                    at[axis] += 1;
                    if at[axis] < shape[axis] {
                        break;
                    }
                    at[axis] = 0;
                }
            }
            to
        }
        if shape.len() < 2 {
            return self;
        }
        match self {
            Self::Single(values) => Self::Single(turned(&values, shape)),
            Self::Double(values) => Self::Double(turned(&values, shape)),
            Self::Whole(values) => Self::Whole(turned(&values, shape)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_numbers_in_either_order() {
        // 1.5 is 0x3e00 in 16 bits, 0x3fc0 in bfloat16, 0x3fc00000 in 32.
        for (dtype, bytes) in [
            (Dtype::F16, vec![0x00, 0x3e]),
            (Dtype::BF16, vec![0xc0, 0x3f]),
            (Dtype::F32, vec![0x00, 0x00, 0xc0, 0x3f]),
        ] {
            let turned: Vec<u8> = bytes.iter().rev().copied().collect();
            assert_eq!(Values::decode(&bytes, dtype, false), Some(Values::Single(vec![1.5])));
            assert_eq!(Values::decode(&turned, dtype, true), Some(Values::Single(vec![1.5])));
        }
        assert_eq!(
            Values::decode(&[0xff, 0x01], Dtype::I8, false),
            Some(Values::Whole(vec![-1, 1]))
        );
        assert_eq!(Values::decode(&[0xff; 8], Dtype::U64, false), None);
    }

    #[test]
    fn fortran_order_is_turned() {
        // [[1, 2, 3], [4, 5, 6]] column by column.
        let stored = Values::Whole(vec![1, 4, 2, 5, 3, 6]);
        assert_eq!(stored.into_c_order(&[2, 3]), Values::Whole(vec![1, 2, 3, 4, 5, 6]));
        // Shape (2, 1, 2).
        let stored = Values::Whole(vec![1, 3, 2, 4]);
        assert_eq!(stored.into_c_order(&[2, 1, 2]), Values::Whole(vec![1, 2, 3, 4]));
    }
}
