//! What the fused operations share: when they apply, how they reach the numbers of a tensor, and how they share
//! work among threads.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use super::awake;
use crate::candle::{CpuStorage, Layout, Storage, bail};
use crate::{DType, Result, Tensor};

/// Whether all of `tensors` are f32 on the CPU, so that a fused operation can take them.
pub(super) fn applies(tensors: &[&Tensor]) -> bool {
    tensors
        .iter()
        .all(|tensor| tensor.device().is_cpu() && tensor.dtype() == DType::F32)
}

/// The numbers of a contiguous f32 storage.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("a fused operation was given a view that is not contiguous"),
    }
}

/// Calls `f` with the numbers of a contiguous f32 tensor on the CPU, without copying them.
pub(crate) fn with<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(slice(storage, layout)?),
        _ => bail!("a fused operation was given a tensor that is not on the CPU"),
    }
}

/// A tensor of f32 numbers on the CPU.
pub(crate) fn tensor(values: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), like.device())
}

/// The sums of the columns of a row-major matrix of `columns` columns, row after row.
pub(crate) fn column_sums(values: &[f32], columns: usize) -> Vec<f32> {
    let mut sums = vec![0.0; columns];
    for row in values.chunks_exact(columns) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
    sums
}

/// The sum of `values`, over sixteen running sums so that it vectorises; the order is always the same.
#[inline(always)]
pub(super) fn sum(values: &[f32]) -> f32 {
    sum_of(values, |value| value)
}

/// The sum of `f(value)`, in the order of [`sum`].
#[inline(always)]
pub(crate) fn sum_of(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (blocks, rest) = values.as_chunks::<16>();
    let mut lanes = [0f32; 16];
    for block in blocks {
        for i in 0..16 {
            lanes[i] += f(block[i]);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane += f(value);
    }
    lanes.iter().sum()
}

/// The two sums of `f(a, b)` over two slices of one length, in the order of [`sum_of`].
#[inline(always)]
pub(super) fn sums_of(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> (f32, f32)) -> (f32, f32) {
    let (a_blocks, a_rest) = a.as_chunks::<16>();
    let (b_blocks, b_rest) = b.as_chunks::<16>();
    let (mut first, mut second) = ([0f32; 16], [0f32; 16]);
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for i in 0..16 {
            let terms = f(a[i], b[i]);
            first[i] += terms.0;
            second[i] += terms.1;
        }
    }
    for (i, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        let terms = f(a, b);
        first[i] += terms.0;
        second[i] += terms.1;
    }
    (first.iter().sum(), second.iter().sum())
}

/// Below this many multiply-adds, handing work to other threads costs more than it saves.
pub(super) const WORTH_THREADS: usize = 1 << 20;

/// `f(index, part)` for each part, on rayon's threads where there are several and `work` (multiply-adds, about)
/// is worth it. What the parts are does not depend on the threads, so neither do the results.
pub(crate) fn map_parts<T: Send, R: Send>(
    parts: Vec<T>,
    work: usize,
    f: impl Fn(usize, T) -> R + Sync + Send,
) -> Vec<R> {
    map_parts_with(parts, work, || (), |(), index, part| f(index, part))
}

/// [`map_parts`] with a workspace, made by `make`, that each thread uses for one part after the other.
pub(super) fn map_parts_with<W: Send, T: Send, R: Send>(
    parts: Vec<T>,
    work: usize,
    make: impl Fn() -> W + Sync + Send,
    f: impl Fn(&mut W, usize, T) -> R + Sync + Send,
) -> Vec<R> {
    if rayon::current_num_threads() == 1 || work < WORTH_THREADS {
        let mut workspace = make();
        let parts = parts.into_iter().enumerate();
        return parts.map(|(index, part)| f(&mut workspace, index, part)).collect();
    }
    awake::keep();
    let spare = Mutex::new(vec![]);
    // One part at a time: a thread that comes late takes fewer.
    let parts = parts.into_par_iter().enumerate().with_max_len(1);
    parts
        .map(|(index, part)| {
            let workspace = lock(&spare).pop();
            let mut workspace = workspace.unwrap_or_else(&make);
            let result = f(&mut workspace, index, part);
            lock(&spare).push(workspace);
            result
        })
        .collect()
}

/// The lock, also after a panic elsewhere: what it guards are whole workspaces.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Images of each of the parts that operations without sums across images are cut into.
pub(super) fn images_per_part(images: usize) -> usize {
    images.div_ceil(8).max(1)
}
