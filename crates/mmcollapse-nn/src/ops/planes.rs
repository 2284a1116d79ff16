//! How the fused convolution lays out images: flat.
//!
//! A padded image is one run of numbers, row after row, and a kernel tap `(ky, kx)` is then nothing but an
//! offset `ky * pitch + kx` into that run. A convolution becomes, for each output channel, a sum over channels
//! and taps of `weight * run shifted by the tap`: long vector operations without gathering patches first. The
//! price is that a row's last `kw - 1` positions, where the kernel hangs over the edge, are computed too and
//! thrown away. Several small images share one run per channel, so that runs are long whatever the image size.
//!
//! The same layout serves backward: with zeros in the positions that forward throws away, no tap ever carries a
//! gradient from one row or image into the next.

use super::vector::LANES;

/// Positions that are worked on at a time, about: the same span of a handful of runs fits the first-level cache.
pub(super) const SPAN: usize = 1024;

/// Positions of a run, from `start` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub length: usize,
}

/// Parts that a batch is cut into, each with its own sum of the weights' gradient. Fixed, so that the order of
/// the sums does not depend on the number of threads.
const PARTS: usize = 8;

/// The shapes of a convolution of stride 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    /// Images.
    pub n: usize,
    /// Channels, rows and columns of an image.
    pub c: usize,
    pub h: usize,
    pub w: usize,
    /// Output channels, kernel rows and columns.
    pub o: usize,
    pub kh: usize,
    pub kw: usize,
    /// Zeros around an image.
    pub padding: usize,
    /// Rows and columns of an output map.
    pub oh: usize,
    pub ow: usize,
    /// Columns of a padded image.
    pub pitch: usize,
    /// Numbers in a padded channel of an image.
    pub plane: usize,
    /// Images that share a run.
    pub group: usize,
}

impl Geometry {
    /// `x` is (n, c, h, w), `kernel` is (o, kh, kw); a padded image is at least as large as the kernel.
    pub fn new(x: (usize, usize, usize, usize), kernel: (usize, usize, usize), padding: usize) -> Self {
        let ((n, c, h, w), (o, kh, kw)) = (x, kernel);
        let (rows, pitch) = (h + 2 * padding, w + 2 * padding);
        let plane = rows * pitch;
        Self {
            n,
            c,
            h,
            w,
            o,
            kh,
            kw,
            padding,
            oh: rows + 1 - kh,
            ow: pitch + 1 - kw,
            pitch,
            plane,
            group: (SPAN / plane).clamp(1, n.max(1)),
        }
    }

    /// Numbers in an image, all channels.
    pub fn image(&self) -> usize {
        self.c * self.h * self.w
    }

    /// Numbers in an output image, all channels.
    pub fn output(&self) -> usize {
        self.o * self.oh * self.ow
    }

    /// Weights of an output channel.
    pub fn fan_in(&self) -> usize {
        self.c * self.kh * self.kw
    }

    /// Images of a part, a whole number of groups.
    pub fn part(&self) -> usize {
        self.n.div_ceil(self.group).div_ceil(PARTS).max(1) * self.group
    }

    /// Multiply-adds of the forward pass.
    pub fn work(&self) -> usize {
        self.n * self.output() * self.fan_in()
    }

    /// The offset of each tap, in the order of the weights.
    pub fn taps(&self) -> Vec<usize> {
        let rows = 0..self.kh;
        rows.flat_map(|ky| (0..self.kw).map(move |kx| ky * self.pitch + kx))
            .collect()
    }

    /// The largest offset of a tap.
    pub fn reach(&self) -> usize {
        (self.kh - 1) * self.pitch + self.kw - 1
    }

    /// Zeros before the first gradient of an output in a run, for taps to reach back into: a multiple of [`LANES`],
    /// so that vectors of gradients do not straddle cache lines.
    pub fn margin(&self) -> usize {
        self.reach().next_multiple_of(LANES)
    }

    /// The positions of a run that hold outputs of `images` images.
    ///
    /// Between two images lie those where the kernel hangs over the lower edge. They are left out where there
    /// are enough of them to round a span up without reaching into the next image.
    pub fn output_spans(&self, images: usize) -> Vec<Span> {
        if self.reach() < LANES {
            return self.all_spans(images);
        }
        let outputs = (self.oh - 1) * self.pitch + self.ow;
        (0..images).flat_map(|image| cut(image * self.plane, outputs)).collect()
    }

    /// All positions of a run of `images` images.
    pub fn all_spans(&self, images: usize) -> Vec<Span> {
        cut(0, images * self.plane).collect()
    }

    /// Length of a run in memory: positions, then room for the taps to reach beyond them. An odd number of
    /// cache lines, so that the same position of many channels does not fall into one set of the cache.
    pub fn run(&self) -> usize {
        let positions = (self.group * self.plane).next_multiple_of(LANES);
        let length = positions + self.margin();
        length + if (length / LANES).is_multiple_of(2) { LANES } else { 0 }
    }

    /// Copies images into the interior of their runs, `[c, run]`; the padding in `runs` has to be zero already.
    #[inline(always)]
    pub fn spread_images(&self, images: &[f32], runs: &mut [f32]) {
        let size = self.h * self.w;
        for (i, image) in images.chunks_exact(self.image()).enumerate() {
            let start = i * self.plane + self.padding * (self.pitch + 1);
            for (channel, run) in image.chunks_exact(size).zip(runs.chunks_exact_mut(self.run())) {
                if self.padding == 0 {
                    run[start..start + size].copy_from_slice(channel);
                    continue;
                }
                for (row, to) in channel.chunks_exact(self.w).zip(run[start..].chunks_mut(self.pitch)) {
                    copy_row(row, &mut to[..self.w]);
                }
            }
        }
    }

    /// The reverse of [`Self::spread_images`]: copies the interior of `runs` `[c, run]` out.
    #[inline(always)]
    pub fn collect_images(&self, runs: &[f32], images: &mut [f32]) {
        let size = self.h * self.w;
        let image_size = self.image();
        for (i, image) in images.chunks_exact_mut(image_size).enumerate() {
            let start = i * self.plane + self.padding * (self.pitch + 1);
            for (channel, run) in image.chunks_exact_mut(size).zip(runs.chunks_exact(self.run())) {
                if self.padding == 0 {
                    channel.copy_from_slice(&run[start..start + size]);
                    continue;
                }
                for (row, from) in channel.chunks_exact_mut(self.w).zip(run[start..].chunks(self.pitch)) {
                    copy_row(&from[..self.w], row);
                }
            }
        }
    }

    /// Copies an output map `[oh, ow]` into a run, from position `start` on; what the kernel would compute beyond
    /// the edges has to be zero already.
    #[inline(always)]
    pub fn spread_output(&self, map: &[f32], run: &mut [f32], start: usize) {
        let rows = run[start..].chunks_mut(self.pitch);
        for (row, to) in map.chunks_exact(self.ow).zip(rows) {
            copy_row(row, &mut to[..self.ow]);
        }
    }

    /// Copies the output maps `[images, o, oh, ow]` out of runs `[o, run]`.
    #[inline(always)]
    pub fn collect_outputs(&self, runs: &[f32], maps: &mut [f32]) {
        let output = self.output();
        for (i, map) in maps.chunks_exact_mut(output).enumerate() {
            let start = i * self.plane;
            for (channel, run) in map
                .chunks_exact_mut(self.oh * self.ow)
                .zip(runs.chunks_exact(self.run()))
            {
                for (row, from) in channel.chunks_exact_mut(self.ow).zip(run[start..].chunks(self.pitch)) {
                    copy_row(&from[..self.ow], row);
                }
            }
        }
    }
}

/// Copies a short row with a few vector moves, where calling the C library would take longer than copying.
#[inline(always)]
fn copy_row(from: &[f32], to: &mut [f32]) {
    const BLOCK: usize = 8;
    let length = from.len();
    let mut start = 0;
    while start + BLOCK <= length {
        to[start..start + BLOCK].copy_from_slice(&from[start..start + BLOCK]);
        start += BLOCK;
    }
    if start < length && length >= BLOCK {
        start = length - BLOCK; // overlaps what was copied
        to[start..start + BLOCK].copy_from_slice(&from[start..start + BLOCK]);
    } else {
        for (to, from) in to.iter_mut().zip(from).skip(start) {
            *to = *from;
        }
    }
}

/// `length` positions from `start` on, rounded up to [`LANES`], in spans of at most [`SPAN`].
fn cut(start: usize, length: usize) -> impl Iterator<Item = Span> {
    let end = start + length.next_multiple_of(LANES);
    (start..end).step_by(SPAN).map(move |start| Span {
        start,
        length: SPAN.min(end - start),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_each_output_once() {
        for (x, kernel, padding) in [
            ((9, 2, 12, 12), (3, 5, 5), 0),
            ((9, 1, 20, 20), (3, 2, 2), 0),
            ((9, 1, 6, 6), (3, 2, 2), 0),
            ((2, 1, 50, 61), (3, 3, 3), 1),
            ((5, 1, 7, 3), (3, 1, 1), 0),
        ] {
            let geometry = Geometry::new(x, kernel, padding);
            let images = geometry.group;
            for spans in [geometry.output_spans(images), geometry.all_spans(images)] {
                let mut covered = vec![0; geometry.run()];
                for span in spans {
                    assert!(span.length <= SPAN && span.length % LANES == 0);
                    covered[span.start..span.start + span.length]
                        .iter_mut()
                        .for_each(|c| *c += 1);
                }
                for image in 0..images {
                    for y in 0..geometry.oh {
                        let row = image * geometry.plane + y * geometry.pitch;
                        assert!(covered[row..row + geometry.ow].iter().all(|&c| c == 1));
                    }
                }
            }
        }
    }
}
