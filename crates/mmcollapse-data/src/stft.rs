//! Short-time Fourier transform: periodic Hann window, centred frames, zeros beyond the ends, all in f64.
//!
//! As librosa 0.11 (`librosa.stft`) and scipy (`scipy.signal.stft` with `boundary="zeros"`, unscaled) have it; the tests
//! compare with scipy (`scripts/fixtures_hard.py`) and, through [`crate::mfcc`], with librosa.

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex64;
use realfft::{RealFftPlanner, RealToComplex};

/// The transform, with its tables made.
pub struct Stft {
    fft: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>, // [window]
    hop: usize,
}

impl Stft {
    /// Windows of `window` samples, `hop` samples apart (at least 1).
    pub fn new(window: usize, hop: usize) -> Self {
        let taper = |i: usize| 0.5 - 0.5 * libm::cos(2. * PI * i as f64 / window as f64);
        Self {
            fft: RealFftPlanner::new().plan_fft_forward(window),
            window: (0..window).map(taper).collect(),
            hop: hop.max(1),
        }
    }

    /// Frequencies of a frame: `window / 2 + 1`, from 0 to half the sample rate.
    pub fn bins(&self) -> usize {
        self.window.len() / 2 + 1
    }

    /// Frames of a clip of `samples` samples: `1 + samples / hop`.
    pub fn frames(&self, samples: usize) -> usize {
        1 + samples / self.hop
    }

    /// Calls `frame` with the power `|X|^2` of each frame of `clip` in turn, `[bins]`.
    pub fn powers(&self, clip: &[f64], mut frame: impl FnMut(&[f64])) {
        let half = self.window.len() / 2;
        let mut input = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut power = vec![0.; spectrum.len()];
        for t in 0..self.frames(clip.len()) {
            // Frame t is centred at sample t * hop.
            for (i, (x, w)) in input.iter_mut().zip(&self.window).enumerate() {
                let at = (t * self.hop + i).checked_sub(half);
                *x = w * at.and_then(|at| clip.get(at)).copied().unwrap_or(0.);
            }
            // Its one error is of lengths that do not fit; these vectors are its own.
            let transformed = self.fft.process(&mut input, &mut spectrum);
            debug_assert!(transformed.is_ok(), "{transformed:?}");
            for (p, z) in power.iter_mut().zip(&spectrum) {
                *p = Complex64::norm_sqr(z);
            }
            frame(&power);
        }
    }

    /// Magnitudes in dB, row-major `[bins, frames]`, none further than `top_db` below the loudest
    /// (`librosa.amplitude_to_db(abs(stft), ref=1)`, smallest magnitude 1e-5).
    pub fn decibels(&self, clip: &[f64], top_db: f64) -> Vec<f64> {
        const SMALLEST_POWER: f64 = 1e-10;
        let frames = self.frames(clip.len());
        let mut decibels = vec![0.; self.bins() * frames];
        let mut t = 0;
        self.powers(clip, |power| {
            for (row, p) in decibels.chunks_exact_mut(frames).zip(power) {
                if let Some(value) = row.get_mut(t) {
                    *value = 10. * libm::log10(p.max(SMALLEST_POWER));
                }
            }
            t += 1;
        });
        let loudest = decibels.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for value in &mut decibels {
            *value = value.max(loudest - top_db);
        }
        decibels
    }
}
