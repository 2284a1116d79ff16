//! MFCC against librosa 0.11; the fixture is made by `scripts/fixtures_mfcc.py`.
#![expect(
    clippy::disallowed_methods,
    reason = "elementary functions make inputs and expectations here"
)]

mod real_data;

use mmcollapse_data::embedded::Excerpt;
use mmcollapse_data::manifest::BuiltIn;
use mmcollapse_data::manifest::Manifest;
use mmcollapse_data::mfcc::{Mfcc, MfccConfig};
use mmcollapse_data::sources;
use serde::Deserialize;

const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Fixture {
    made: Vec<Clip>,
    fsdd: Vec<Clip>,
}

#[derive(Deserialize)]
struct Clip {
    name: String,
    samples: usize,
    frames: usize,
    mfcc: Vec<f64>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/mfcc.json")).unwrap()
}

fn compare(clip: &Clip, y: &[f64]) {
    let mfcc = Mfcc::new(MfccConfig::librosa(8000.));
    assert_eq!(
        (y.len(), mfcc.frames(y.len())),
        (clip.samples, clip.frames),
        "{}",
        clip.name
    );
    let got = mfcc.of(y);
    assert_eq!(got.len(), clip.mfcc.len());
    let worst = got
        .iter()
        .zip(&clip.mfcc)
        .map(|(a, b)| (a - b).abs())
        .fold(0., f64::max);
    assert!(
        worst < TOLERANCE,
        "{} ({} samples) differs by {worst:e}",
        clip.name,
        y.len()
    );
}

/// As `tone_in_noise` of the script.
fn tone_in_noise(n: usize) -> Vec<f64> {
    let mut state = 1_u64;
    let sample = |i: usize| {
        state = (state * 1_103_515_245 + 12_345) % (1 << 31);
        let noise = state as f64 / f64::from(1 << 30) - 1.;
        let t = i as f64;
        0.5 * (2. * std::f64::consts::PI * 440. * t / 8000.).sin() * (-t / 4000.).exp() + 0.1 * noise
    };
    (0..n).map(sample).collect()
}

#[test]
fn made_signals_equal_librosa() {
    for clip in fixture().made {
        let y = match clip.name.as_str() {
            "silence" => vec![0.; clip.samples],
            _ => tone_in_noise(clip.samples),
        };
        compare(&clip, &y);
    }
}

#[test]
fn nothing_is_one_frame_of_silence() {
    let mfcc = Mfcc::new(MfccConfig::librosa(8000.));
    let got = mfcc.of(&[]);
    // -100 dB in each of 128 bands, orthonormal: -100 sqrt(128).
    assert!((got[0] + 100. * 128_f64.sqrt()).abs() < 1e-9);
    assert!(got[1..].iter().all(|x| x.abs() < 1e-9));
}

/// Samples as fractions of full scale.
fn fractions(content: &[u8]) -> impl Iterator<Item = f64> {
    let samples = content.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]]));
    samples.map(|s| f64::from(s) / 32_768.)
}

#[test]
fn clips_of_the_excerpt_equal_librosa() {
    let excerpted = Excerpt::find("avmnist-embedded").unwrap().decode().unwrap();
    let mut compared = 0;
    for clip in fixture().fsdd {
        if let Some(place) = excerpted.names.iter().position(|name| *name == clip.name) {
            compare(&clip, &fractions(&excerpted.clips[place].content).collect::<Vec<_>>());
            compared += 1;
        }
    }
    assert_eq!(compared, 6);
}

#[test]
fn clips_of_the_hub_equal_librosa() {
    let Some(hub) = real_data::hub("MFCC of the hub's clips") else {
        return;
    };
    let manifest = Manifest::find("fsdd").unwrap();
    let records = sources::records(&manifest, "all", &hub).unwrap();
    let names = include_str!("../../../data/fsdd-names.csv");
    for clip in fixture().fsdd {
        let line = names
            .lines()
            .find(|line| line.ends_with(&format!(",{}", clip.name)))
            .unwrap();
        let record = records.iter().find(|r| line.starts_with(&r.identity.hex())).unwrap();
        compare(&clip, &fractions(&record.content).step_by(3).collect::<Vec<_>>());
    }
}
