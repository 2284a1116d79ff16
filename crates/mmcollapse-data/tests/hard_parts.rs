//! Spectrograms against scipy and principal components against numpy; `scripts/fixtures_hard.py` makes the fixture.
#![expect(
    clippy::disallowed_methods,
    reason = "elementary functions make inputs and expectations here"
)]

use std::collections::BTreeMap;
use std::f64::consts::PI;

use mmcollapse_data::pca::Pca;
use mmcollapse_data::stft::Stft;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    clips: Vec<Clip>,
    pca: Components,
}

#[derive(Deserialize)]
struct Clip {
    samples: usize,
    shape: [usize; 2],
    rows: BTreeMap<usize, Vec<f64>>,
    mean: f64,
    least: f64,
}

#[derive(Deserialize)]
struct Components {
    images: usize,
    pixels: usize,
    sum: f64,
    variances: Vec<f64>,
    back: BTreeMap<usize, Vec<f64>>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/hard.json")).unwrap()
}

/// As `congruential` of the script.
fn congruential(n: usize) -> impl Iterator<Item = f64> {
    let mut state = 1_u64;
    (0..n).map(move |_| {
        state = (state * 1_103_515_245 + 12_345) % (1 << 31);
        state as f64
    })
}

fn worst(got: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0., f64::max)
}

#[test]
fn spectrograms_equal_scipy() {
    let stft = Stft::new(222, 72);
    for clip in fixture().clips {
        let noise = congruential(clip.samples).enumerate();
        let y: Vec<f64> = noise
            .map(|(i, state)| {
                let t = i as f64;
                let noise = 0.1 * (state / f64::from(1 << 30) - 1.);
                0.5 * (2. * PI * 440. * t / 8000.).sin() * (-t / 4000.).exp() + noise
            })
            .collect();
        let [bins, frames] = clip.shape;
        assert_eq!((stft.bins(), stft.frames(clip.samples)), (bins, frames));
        let got = stft.decibels(&y, 80.);
        for (row, expected) in &clip.rows {
            let off = worst(&got[row * frames..(row + 1) * frames], expected);
            assert!(off < 1e-7, "{} samples, row {row}: {off:e} dB", clip.samples);
        }
        let mean = got.iter().sum::<f64>() / got.len() as f64;
        assert!((mean - clip.mean).abs() < 1e-9);
        let least = got.iter().copied().fold(f64::INFINITY, f64::min);
        assert!((least - clip.least).abs() < 1e-9);
    }
}

#[test]
fn silence_is_the_smallest_magnitude() {
    let got = Stft::new(222, 72).decibels(&[0.; 500], 80.);
    assert!(got.iter().all(|x| (x + 100.).abs() < 1e-12));
}

#[test]
fn principal_components_equal_numpy() {
    let expected = fixture().pca;
    let draws: Vec<f64> = congruential(expected.images * (expected.pixels + 3))
        .map(|state| state / f64::from(1 << 30) / 2.)
        .collect();
    let images: Vec<Vec<u8>> = draws
        .chunks_exact(expected.pixels + 3)
        .map(|draw| {
            let level = |p: usize| {
                let at = p as f64;
                let patterns = 150. * draw[0] * (at / 7.).sin().abs()
                    + 90. * draw[1] * (at / 11.).cos().abs()
                    + 60. * draw[2] * ((p % 9) as f64 / 9.);
                (patterns + draw[p + 3] * 20. - 10.).floor().clamp(0., 255.) as u8
            };
            (0..expected.pixels).map(level).collect()
        })
        .collect();
    // The same images as the script's.
    let sum: f64 = images.iter().flatten().map(|&x| f64::from(x)).sum();
    assert_eq!(sum, expected.sum);

    let rows: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
    let pca = Pca::fit(&rows, expected.variances.len()).unwrap();
    for (got, known) in pca.variances.iter().zip(&expected.variances) {
        assert!((got / known - 1.).abs() < 1e-10, "{got} {known}");
    }
    for (image, known) in &expected.back {
        let off = worst(&pca.reconstruct(&images[*image]), known);
        assert!(off < 1e-7, "image {image}: {off:e} grey levels");
    }
}
