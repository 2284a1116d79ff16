//! Mel-frequency cepstral coefficients as librosa 0.11 computes them (`librosa.feature.mfcc` with its defaults).
//!
//! Short-time Fourier transform with a periodic Hann window, centred frames and zeros beyond the ends; power; a mel
//! filter bank after Slaney; decibels with a floor `top_db` below the clip's loudest band; DCT-II, orthonormal. All
//! in f64. The tests compare with librosa to 1e-4 (`scripts/fixtures_mfcc.py`).

use std::f64::consts::PI;

use crate::stft::Stft;

/// The knobs of librosa's `mfcc`; the defaults are librosa's, except that a sample rate must be said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MfccConfig {
    /// Sample rate in Hz that the filter bank assumes.
    pub sample_rate: f64,
    /// Window and transform length in samples.
    pub window: usize,
    /// Samples between frames.
    pub hop: usize,
    /// Mel bands.
    pub bands: usize,
    /// Coefficients kept, the first of the DCT.
    pub coefficients: usize,
    /// Floor in dB below the loudest band of the clip.
    pub top_db: f64,
}

impl MfccConfig {
    /// librosa's defaults at `sample_rate`.
    pub fn librosa(sample_rate: f64) -> Self {
        Self {
            sample_rate,
            window: 2048,
            hop: 512,
            bands: 128,
            coefficients: 20,
            top_db: 80.,
        }
    }
}

/// A filter of the mel bank: weights of consecutive bins of the spectrum.
struct Filter {
    first: usize,
    weights: Vec<f64>,
}

/// The transform, with its tables made.
pub struct Mfcc {
    config: MfccConfig,
    stft: Stft,
    filters: Vec<Filter>, // [bands]
    cosines: Vec<f64>,    // [coefficients, bands]
}

impl Mfcc {
    /// Makes the tables for `config`.
    pub fn new(config: MfccConfig) -> Self {
        let bands = config.bands as f64;
        let cosine = |k: usize, band: usize| {
            let scale = if k == 0 { 1. / bands } else { 2. / bands };
            scale.sqrt() * libm::cos(PI * k as f64 * (2 * band + 1) as f64 / (2. * bands))
        };
        Self {
            config,
            stft: Stft::new(config.window, config.hop),
            filters: filter_bank(&config),
            cosines: (0..config.coefficients)
                .flat_map(|k| (0..config.bands).map(move |band| cosine(k, band)))
                .collect(),
        }
    }

    /// Frames of a clip of `samples` samples: 1 + samples / hop.
    pub fn frames(&self, samples: usize) -> usize {
        self.stft.frames(samples)
    }

    /// The coefficients of a clip, row-major `[coefficients, frames]`. An empty clip is one frame of silence.
    pub fn of(&self, clip: &[f64]) -> Vec<f64> {
        let frames = self.frames(clip.len());
        let bands = self.decibels(clip, frames); // [frames, bands]
        let mut coefficients = Vec::with_capacity(self.config.coefficients * frames);
        for row in self.cosines.chunks_exact(self.config.bands) {
            coefficients.extend(
                bands
                    .chunks_exact(self.config.bands)
                    .map(|frame| row.iter().zip(frame).map(|(c, x)| c * x).sum::<f64>()),
            );
        }
        coefficients
    }

    /// Mel spectrum in dB, `[frames, bands]` (librosa: `power_to_db(melspectrogram(y))`).
    fn decibels(&self, clip: &[f64], frames: usize) -> Vec<f64> {
        const SMALLEST_POWER: f64 = 1e-10;
        let mut decibels = Vec::with_capacity(frames * self.config.bands);
        self.stft.powers(clip, |power| {
            decibels.extend(self.filters.iter().map(|filter| {
                let bins = &power[filter.first..];
                let sum: f64 = filter.weights.iter().zip(bins).map(|(w, p)| w * p).sum();
                10. * libm::log10(sum.max(SMALLEST_POWER))
            }));
        });
        let loudest = decibels.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for value in &mut decibels {
            *value = value.max(loudest - self.config.top_db);
        }
        decibels
    }
}

/// Triangles on Slaney's mel scale, each of area 1 in Hz (librosa.filters.mel with norm="slaney", htk=False).
fn filter_bank(config: &MfccConfig) -> Vec<Filter> {
    let highest = mel(config.sample_rate / 2.);
    let step = highest / (config.bands + 1) as f64;
    let edges: Vec<f64> = (0..config.bands + 2).map(|i| hertz(step * i as f64)).collect();
    let bin = config.sample_rate / config.window as f64;
    edges
        .windows(3)
        .map(|edge| {
            let (low, centre, high) = (edge[0], edge[1], edge[2]);
            let weight = |i: usize| {
                let f = bin * i as f64;
                let triangle = ((f - low) / (centre - low)).min((high - f) / (high - centre));
                triangle.max(0.) * 2. / (high - low)
            };
            let bins = 0..=config.window / 2;
            let first = bins.clone().find(|&i| weight(i) > 0.).unwrap_or(0);
            let weights = bins.skip(first).map(weight).take_while(|&w| w > 0.).collect();
            Filter { first, weights }
        })
        .collect()
}

// Slaney's scale: linear below 1 kHz, 15 mel there, logarithmic above with 27 mel for a factor of 6.4.
const HERTZ_PER_MEL: f64 = 200. / 3.;
const CORNER_HERTZ: f64 = 1000.;
const CORNER_MEL: f64 = CORNER_HERTZ / HERTZ_PER_MEL;

fn log_step() -> f64 {
    libm::log(6.4) / 27.
}

fn mel(hertz: f64) -> f64 {
    if hertz < CORNER_HERTZ {
        hertz / HERTZ_PER_MEL
    } else {
        CORNER_MEL + libm::log(hertz / CORNER_HERTZ) / log_step()
    }
}

fn hertz(mel: f64) -> f64 {
    if mel < CORNER_MEL {
        mel * HERTZ_PER_MEL
    } else {
        CORNER_HERTZ * libm::exp(log_step() * (mel - CORNER_MEL))
    }
}
