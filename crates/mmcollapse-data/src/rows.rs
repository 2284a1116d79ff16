//! One modality of many samples: a row of numbers each, in memory or in a mapped file.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::mapped::Bytes;

/// Bytes hashed at a time.
const BLOCK: usize = 1 << 16;

/// Rows of equally many numbers.
///
/// Packed rows lie in bytes: of each row where it ends (`u64`, counted in numbers), then the numbers (`f32`, little-endian)
/// without the zeros at the end of each row. Most of a time series of variable length is such zeros.
#[derive(Clone, Debug)]
pub struct Rows {
    len: usize,
    width: usize,
    held: Held,
}

#[derive(Clone, Debug)]
enum Held {
    /// All numbers, row-major.
    Dense(Arc<Vec<f32>>),
    /// From this byte on.
    Packed(Arc<Bytes>, usize),
}

impl Rows {
    /// The `len` rows in `numbers`, row-major.
    ///
    /// # Panics
    /// When `numbers` are no whole rows.
    pub fn dense(len: usize, numbers: Vec<f32>) -> Self {
        let width = numbers.len() / len.max(1);
        assert_eq!(numbers.len(), len * width, "{len} rows of equally many numbers");
        Self {
            len,
            width,
            held: Held::Dense(Arc::new(numbers)),
        }
    }

    /// Packs `rows`, each of at most `width` numbers, those that are left out being 0.
    ///
    /// # Panics
    /// When a row is longer.
    pub fn packed<R: AsRef<[f32]>>(width: usize, rows: impl IntoIterator<Item = R>) -> Self {
        let (mut bytes, mut numbers) = (Vec::new(), Vec::new());
        for row in rows {
            let row = row.as_ref();
            assert!(row.len() <= width, "a row of {} numbers, expected {width}", row.len());
            numbers.extend(trimmed(row).iter().flat_map(|x| x.to_le_bytes()));
            bytes.extend((numbers.len() as u64 / 4).to_le_bytes());
        }
        let len = bytes.len() / 8;
        bytes.append(&mut numbers);
        Self {
            len,
            width,
            held: Held::Packed(Arc::new(Bytes::Owned(bytes)), 0),
        }
    }

    /// The `len` packed rows of `width` numbers that start at byte `start` of `bytes`, and the byte after them; `None` if
    /// there are no such rows.
    pub(crate) fn within(bytes: &Arc<Bytes>, start: usize, len: usize, width: usize) -> Option<(Self, usize)> {
        let values = start.checked_add(len.checked_mul(8)?)?;
        let mut last = 0;
        for end in bytes.get(start..values)?.as_chunks::<8>().0 {
            let end = usize::try_from(u64::from_le_bytes(*end)).ok()?;
            if end.checked_sub(last)? > width {
                return None;
            }
            last = end;
        }
        let after = values.checked_add(last.checked_mul(4)?)?;
        (after <= bytes.len()).then(|| {
            let held = Held::Packed(Arc::clone(bytes), start);
            (Self { len, width, held }, after)
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends row `i` to `to`.
    ///
    /// # Panics
    /// When `i` is out of range, as slices do.
    pub fn append(&self, i: usize, to: &mut Vec<f32>) {
        match &self.held {
            Held::Dense(numbers) => to.extend_from_slice(&numbers[i * self.width..(i + 1) * self.width]),
            Held::Packed(..) => {
                let whole = to.len() + self.width;
                to.extend(self.packed_row(i).iter().map(|x| f32::from_le_bytes(*x)));
                to.resize(whole, 0.);
            }
        }
    }

    /// Row `i`.
    ///
    /// # Panics
    /// When `i` is out of range, as slices do.
    pub fn row(&self, i: usize) -> Vec<f32> {
        let mut row = Vec::with_capacity(self.width);
        self.append(i, &mut row);
        row
    }

    /// All numbers, row-major.
    pub fn numbers(&self) -> Cow<'_, [f32]> {
        match &self.held {
            Held::Dense(numbers) => Cow::Borrowed(numbers),
            Held::Packed(..) => {
                let mut numbers = Vec::with_capacity(self.len * self.width);
                (0..self.len).for_each(|i| self.append(i, &mut numbers));
                Cow::Owned(numbers)
            }
        }
    }

    /// All numbers, row-major, to be changed; they are then in memory, zeros included.
    pub fn numbers_mut(&mut self) -> &mut [f32] {
        if let Held::Packed(..) = self.held {
            *self = Self::dense(self.len, self.numbers().into_owned());
        }
        match &mut self.held {
            Held::Dense(numbers) => Arc::make_mut(numbers).as_mut_slice(),
            Held::Packed(..) => &mut [],
        }
    }

    /// The same rows, each as `change` leaves it.
    #[must_use]
    pub fn changed(&self, mut change: impl FnMut(usize, &mut [f32])) -> Self {
        let rows = (0..self.len).map(|i| {
            let mut row = self.row(i);
            change(i, &mut row);
            row
        });
        Self::packed(self.width, rows)
    }

    /// The rows at `index`, in that order.
    ///
    /// # Panics
    /// When an index is out of range, as slices do.
    #[must_use]
    pub fn select(&self, index: &[usize]) -> Self {
        Self::packed(self.width, index.iter().map(|&i| self.row(i)))
    }

    /// Bytes that the numbers take in this process's own memory, and in files that all processes share.
    pub fn memory(&self) -> (usize, usize) {
        match &self.held {
            Held::Dense(numbers) => (4 * numbers.len(), 0),
            Held::Packed(bytes, _) if bytes.is_shared() => (0, self.packed_bytes().len()),
            Held::Packed(..) => (self.packed_bytes().len(), 0),
        }
    }

    /// The bytes that packed rows lie in, which other rows may share.
    pub(crate) fn bytes(&self) -> Option<&Arc<Bytes>> {
        match &self.held {
            Held::Dense(_) => None,
            Held::Packed(bytes, _) => Some(bytes),
        }
    }

    /// Writes the rows packed.
    pub(crate) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let Held::Dense(numbers) = &self.held else {
            return to.write_all(self.packed_bytes());
        };
        let rows = || (0..self.len).map(|i| trimmed(&numbers[i * self.width..(i + 1) * self.width]));
        let mut end = 0_u64;
        for row in rows() {
            end += row.len() as u64;
            to.write_all(&end.to_le_bytes())?;
        }
        for x in rows().flatten() {
            to.write_all(&x.to_le_bytes())?;
        }
        Ok(())
    }

    /// Adds the number of bytes and all numbers, zeros included, to `hash`.
    pub(crate) fn hash_into(&self, hash: &mut Sha256) {
        hash.update((4 * self.len as u64 * self.width as u64).to_le_bytes());
        let mut block = Vec::with_capacity(BLOCK + 4 * self.width);
        for i in 0..self.len {
            match &self.held {
                Held::Dense(numbers) => {
                    let row = &numbers[i * self.width..(i + 1) * self.width];
                    block.extend(row.iter().flat_map(|x| x.to_le_bytes()));
                }
                Held::Packed(..) => {
                    let whole = block.len() + 4 * self.width;
                    block.extend_from_slice(self.packed_row(i).as_flattened());
                    block.resize(whole, 0);
                }
            }
            if block.len() >= BLOCK {
                hash.update(&block);
                block.clear();
            }
        }
        hash.update(&block);
    }

    /// The numbers of row `i` of packed rows, zeros at its end left out.
    fn packed_row(&self, i: usize) -> &[[u8; 4]] {
        let start = if i == 0 { 0 } else { self.end(i - 1) };
        let numbers = &self.packed_bytes()[8 * self.len..];
        numbers[4 * start..4 * self.end(i)].as_chunks().0
    }

    /// Numbers up to the end of row `i` of packed rows.
    fn end(&self, i: usize) -> usize {
        let Held::Packed(bytes, start) = &self.held else {
            return 0;
        };
        let end = bytes[start + 8 * i..].first_chunk().copied().unwrap_or_default();
        u64::from_le_bytes(end) as usize
    }

    /// Ends and numbers of packed rows.
    fn packed_bytes(&self) -> &[u8] {
        let Held::Packed(bytes, start) = &self.held else {
            return &[];
        };
        let numbers = if self.len == 0 { 0 } else { self.end(self.len - 1) };
        &bytes[*start..start + 8 * self.len + 4 * numbers]
    }
}

impl Default for Rows {
    fn default() -> Self {
        Self::dense(0, Vec::new())
    }
}

impl PartialEq for Rows {
    fn eq(&self, other: &Self) -> bool {
        // Of no rows nobody knows the width.
        let alike = self.len == other.len && (self.len == 0 || self.width == other.width);
        alike && (0..self.len).all(|i| self.row(i) == other.row(i))
    }
}

/// The row without the zeros at its end; what has a sign (-0) is no zero, so that every bit comes back.
fn trimmed(row: &[f32]) -> &[f32] {
    let last = row.iter().rposition(|x| x.to_bits() != 0);
    &row[..last.map_or(0, |last| last + 1)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(rows: &Rows) -> [u8; 32] {
        let mut hash = Sha256::new();
        rows.hash_into(&mut hash);
        hash.finalize().into()
    }

    proptest! {
        /// Bits: -0 and what is not a number among them.
        #[test]
        fn packed_rows_are_the_rows(bits in prop::collection::vec(prop::sample::select(vec![0_u32, 0, 0, 0x8000_0000, 0x3f80_0000, 0x7fc0_0001]), 0..60), width in 1..7_usize) {
            let len = bits.len() / width;
            let numbers: Vec<f32> = bits[..len * width].iter().map(|b| f32::from_bits(*b)).collect();
            let dense = Rows::dense(len, numbers.clone());
            let rows: Vec<&[f32]> = numbers.chunks(width).collect();
            let packed = Rows::packed(width, &rows);
            let of = |numbers: &[f32]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(of(&packed.numbers()), &bits[..len * width]);
            if len > 0 {
                prop_assert_eq!(digest(&dense), digest(&packed));
            }
            let mut written = [Vec::<u8>::new(), Vec::new()];
            dense.write(&mut written[0]).unwrap();
            packed.write(&mut written[1]).unwrap();
            prop_assert_eq!(&written[0], &written[1]);

            // Somewhere in a file; nothing of a damaged one is believed, and nothing panics.
            let [bytes, _] = written;
            let within = |bytes: Vec<u8>| Rows::within(&Arc::new(Bytes::Owned(bytes)), 3, len, width);
            let (read, after) = within([&b"abc"[..], &bytes[..], &b"more"[..]].concat()).unwrap();
            prop_assert_eq!(after, 3 + bytes.len());
            prop_assert_eq!(of(&read.numbers()), of(&dense.numbers()));
            if let Some(short) = bytes.len().checked_sub(1) {
                prop_assert!(within([&b"abc"[..], &bytes[..short]].concat()).is_none());
                prop_assert!(within([&b"abc"[..], &vec![0xff_u8; bytes.len()][..]].concat()).is_none());
            }
        }
    }

    #[test]
    fn rows_are_chosen_and_changed_packed_or_not() {
        let dense = Rows::dense(3, vec![1., 0., 2., 3., 0., 0.]);
        let packed = Rows::packed(2, [&[1_f32][..], &[2., 3.], &[]]);
        for rows in [&dense, &packed] {
            assert_eq!(rows.select(&[2, 1, 1]).numbers(), vec![0., 0., 2., 3., 2., 3.]);
            let changed = rows.changed(|i, row| row[1] += i as f32);
            assert_eq!(changed.numbers(), vec![1., 0., 2., 4., 0., 2.]);
            let mut own = rows.clone();
            own.numbers_mut()[0] = 5.;
            assert_eq!((own.row(0), rows.row(0)), (vec![5., 0.], vec![1., 0.]));
            assert!(Rows::select(rows, &[]).is_empty());
        }
        assert_eq!(dense, packed);
        assert_eq!((dense.memory(), packed.memory()), ((24, 0), (36, 0)));
    }
}
