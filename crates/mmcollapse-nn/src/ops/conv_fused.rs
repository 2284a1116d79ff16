//! The fused convolution on the CPU: forward and backward over groups of images, and the plain convolution as
//! an operation of candle's graph.

use super::correlate::{Correlate, Multiply, Packed, Runs};
use super::fused;
use super::planes::Geometry;
use super::vector::{Kernel, Simd, vectorized};
use crate::candle::{CpuStorage, CustomOp3, Layout, Shape};
use crate::{Result, Tensor};

/// What becomes of a convolution's output.
pub(super) trait Maps: Send {
    /// Takes the runs `[o, run]` of the next `images` images.
    fn take(&mut self, geometry: &Geometry, runs: &[f32], images: usize);
}

/// Where the gradient of a convolution's output comes from.
pub(super) trait Gradient: Sync {
    /// Writes the gradient for `images` images from `first` on into `runs` `[o, run]`, from position `margin`
    /// on; positions that are no output are zero already and have to stay so.
    fn spread(&self, geometry: &Geometry, first: usize, images: usize, runs: &mut [f32], margin: usize);
}

/// Convolves all images; `maps` are what becomes of each part's outputs, one for each part of the batch.
pub(super) fn forward<M: Maps>(geometry: &Geometry, x: &[f32], w: &[f32], b: Option<&[f32]>, maps: Vec<M>) {
    let fan_in = geometry.fan_in();
    let weights = Packed::new(geometry.o, fan_in, |row, column| w[row * fan_in + column]);
    let taps = geometry.taps();
    let parts = x.chunks(geometry.part() * geometry.image()).zip(maps).collect();
    let workspace = || [geometry.c, geometry.o].map(|channels| vec![0.0; channels * geometry.run()]);
    fused::map_parts_with(parts, geometry.work(), workspace, |[inputs, outputs], _, (x, maps)| {
        vectorized(ForwardPart {
            geometry,
            weights: &weights,
            b,
            taps: &taps,
            x,
            inputs,
            outputs,
            maps,
        });
    });
}

struct ForwardPart<'a, M> {
    geometry: &'a Geometry,
    weights: &'a Packed,
    b: Option<&'a [f32]>,
    taps: &'a [usize],
    x: &'a [f32],
    /// Runs, zero where [`Geometry::spread_images`] does not write.
    inputs: &'a mut [f32],
    outputs: &'a mut [f32],
    maps: M,
}

impl<M: Maps> Kernel for ForwardPart<'_, M> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, _simd: S) {
        let Self {
            geometry,
            inputs,
            outputs,
            ..
        } = self;
        for group in self.x.chunks(geometry.group * geometry.image()) {
            let images = group.len() / geometry.image();
            let spans = geometry.output_spans(images);
            geometry.spread_images(group, inputs);
            let runs = Runs {
                values: inputs,
                length: geometry.run(),
            };
            vectorized(Correlate {
                weights: self.weights,
                start: self.b,
                runs,
                taps: self.taps,
                spans: &spans,
                out: outputs,
            });
            self.maps.take(geometry, outputs, images);
        }
    }
}

/// The gradients of a convolution.
pub(super) struct Gradients {
    /// As `x`, or empty where nobody wants it.
    pub x: Vec<f32>,
    /// As the weight, `[o, c, kh, kw]`.
    pub w: Vec<f32>,
    /// As the bias, `[o]`.
    pub b: Vec<f32>,
}

impl Gradients {
    /// As the tensors that candle wants back from an operation of (x, weight, bias).
    pub fn tensors(
        self,
        (x, w, b): (&Tensor, &Tensor, &Tensor),
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dx = (!self.x.is_empty()).then(|| fused::tensor(self.x, x));
        let db = (b.elem_count() > 0).then(|| fused::tensor(self.b, b));
        Ok((dx.transpose()?, Some(fused::tensor(self.w, w)?), db.transpose()?))
    }
}

/// The gradients of a convolution of `x` with `w`, given that of its output.
pub(super) fn backward<G: Gradient>(
    geometry: &Geometry,
    x: &[f32],
    w: &[f32],
    gradient: &G,
    input_gradient: bool,
) -> Gradients {
    let (fan_in, taps) = (geometry.fan_in(), geometry.taps());
    let offsets: Vec<usize> = (0..geometry.c)
        .flat_map(|channel| taps.iter().map(move |tap| channel * geometry.run() + tap))
        .collect();
    // The gradient of an input gathers from where its taps led: the same correlation, each tap reversed.
    let reversed: Vec<usize> = taps.iter().map(|tap| geometry.margin() - tap).collect();
    let transposed = Packed::new(geometry.c, geometry.o * taps.len(), |channel, column| {
        w[column / taps.len() * fan_in + channel * taps.len() + column % taps.len()]
    });

    let part = geometry.part();
    let mut dx = vec![0.0; if input_gradient { x.len() } else { 0 }];
    let mut dx_parts = dx.chunks_mut(part * geometry.image());
    let parts: Vec<_> = x
        .chunks(part * geometry.image())
        .map(|x| (x, dx_parts.next()))
        .collect();
    let workspace = || {
        let channels = [geometry.c, geometry.o, if input_gradient { geometry.c } else { 0 }];
        channels.map(|channels| vec![0.0; channels * geometry.run()])
    };
    let sums = fused::map_parts_with(parts, geometry.work() * 2, workspace, |runs, index, (x, dx)| {
        vectorized(BackwardPart {
            geometry,
            runs,
            offsets: &offsets,
            transposed: &transposed,
            reversed: &reversed,
            gradient,
            first: index * part,
            x,
            dx,
        })
    });
    let mut sums = sums.into_iter();
    let (mut dw, mut db) = sums.next().unwrap_or_default();
    for (w, b) in sums {
        add(&mut dw, &w);
        add(&mut db, &b);
    }
    Gradients { x: dx, w: dw, b: db }
}

fn add(sum: &mut [f32], part: &[f32]) {
    for (sum, part) in sum.iter_mut().zip(part) {
        *sum += part;
    }
}

struct BackwardPart<'a, G> {
    geometry: &'a Geometry,
    /// Of the inputs, of the output's gradient and of the input's; zero where nothing is ever written.
    runs: &'a mut [Vec<f32>; 3],
    offsets: &'a [usize],
    transposed: &'a Packed,
    reversed: &'a [usize],
    gradient: &'a G,
    /// Number of the part's first image.
    first: usize,
    x: &'a [f32],
    dx: Option<&'a mut [f32]>,
}

impl<G: Gradient> Kernel for BackwardPart<'_, G> {
    /// The part's share of the gradients of weight and bias.
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> Self::Output {
        let Self {
            geometry,
            mut dx,
            mut first,
            ..
        } = self;
        let [inputs, gradients, input_gradients] = self.runs;
        let (run, margin) = (geometry.run(), geometry.margin());
        let mut dw = vec![0.0; geometry.o * geometry.fan_in()];
        let mut db = vec![0.0; geometry.o];
        for group in self.x.chunks(geometry.group * geometry.image()) {
            let images = group.len() / geometry.image();
            if images < geometry.group {
                gradients.fill(0.0); // what the last full group left beyond these images
            }
            let spans = geometry.output_spans(images);
            geometry.spread_images(group, inputs);
            self.gradient.spread(geometry, first, images, gradients, margin);
            let input_runs = Runs {
                values: inputs,
                length: run,
            };
            let gradient_runs = Runs {
                values: &gradients[margin..],
                length: run,
            };
            vectorized(Multiply {
                gradients: gradient_runs,
                runs: input_runs,
                offsets: self.offsets,
                spans: &spans,
                out: &mut dw,
            });
            for (sum, run) in db.iter_mut().zip(gradients.chunks_exact(run)) {
                *sum += fused::sum(run);
            }
            if let Some(rest) = dx.take() {
                let (dx_group, rest) = rest.split_at_mut(group.len());
                let runs = Runs {
                    values: gradients,
                    length: run,
                };
                let spans = geometry.all_spans(images);
                vectorized(Correlate {
                    weights: self.transposed,
                    start: None,
                    runs,
                    taps: self.reversed,
                    spans: &spans,
                    out: input_gradients,
                });
                geometry.collect_images(input_gradients, dx_group);
                dx = Some(rest);
            }
            first += images;
        }
        (dw, db)
    }
}

/// `conv2d` with stride 1.
pub(super) struct Conv {
    pub geometry: Geometry,
    /// Whether somebody wants the gradient of `x`; the first layer of a model saves a third of its work.
    pub input_gradient: bool,
}

/// Outputs that are copied out as they are.
struct Copied<'a>(&'a mut [f32]);

impl Maps for Copied<'_> {
    #[inline(always)]
    fn take(&mut self, geometry: &Geometry, runs: &[f32], images: usize) {
        let (maps, rest) = std::mem::take(&mut self.0).split_at_mut(images * geometry.output());
        geometry.collect_outputs(runs, maps);
        self.0 = rest;
    }
}

/// A gradient given for each output, `[n, o, oh, ow]`.
struct Given<'a>(&'a [f32]);

impl Gradient for Given<'_> {
    #[inline(always)]
    fn spread(&self, geometry: &Geometry, first: usize, images: usize, runs: &mut [f32], margin: usize) {
        let (output, size) = (geometry.output(), geometry.oh * geometry.ow);
        let images = self.0[first * output..(first + images) * output].chunks_exact(output);
        for (i, image) in images.enumerate() {
            let start = margin + i * geometry.plane;
            for (map, run) in image.chunks_exact(size).zip(runs.chunks_exact_mut(geometry.run())) {
                geometry.spread_output(map, run, start);
            }
        }
    }
}

impl CustomOp3 for Conv {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let geometry = &self.geometry;
        let x = fused::slice(x, x_layout)?;
        let w = fused::slice(w, w_layout)?;
        let b = fused::slice(b, b_layout)?;
        let mut y = vec![0.0; geometry.n * geometry.output()];
        let maps = y.chunks_mut(geometry.part() * geometry.output()).map(Copied).collect();
        forward(geometry, x, w, (!b.is_empty()).then_some(b), maps);
        let shape = Shape::from((geometry.n, geometry.o, geometry.oh, geometry.ow));
        Ok((CpuStorage::F32(y), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradients = fused::with(x, |x| {
            fused::with(w, |w| {
                fused::with(&gradient.contiguous()?, |g| {
                    Ok(backward(&self.geometry, x, w, &Given(g), self.input_gradient))
                })
            })
        })?;
        gradients.tensors((x, w, b))
    }
}
