//! avmnist-hard from the real files: counts, pairs, noise, components, and what happens without ESC-10.

mod real_data;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::thread;
use std::time::Instant;

use mmcollapse_data::folder::{self, FolderSource};
use mmcollapse_data::hub::Hub;
use mmcollapse_data::manifest::BuiltIn;
use mmcollapse_data::pca::Pca;
use mmcollapse_data::sets::{AvMnistHard, HardParts};
use mmcollapse_data::{Dataset, Samples};

fn parts(what: &str) -> Option<&'static HardParts> {
    static PARTS: OnceLock<Option<HardParts>> = OnceLock::new();
    let load = || {
        let (hub, folder) = (real_data::hub(what)?, real_data::esc10(what)?);
        let noise = HardParts::noise(Some(&folder)).unwrap();
        Some(HardParts::decode(&hub, noise).unwrap())
    };
    PARTS.get_or_init(load).as_ref()
}

fn build(parts: &HardParts, seed: u64) -> Dataset {
    AvMnistHard.assemble(seed, parts).unwrap()
}

/// The data set of seed 7, which most tests look at.
fn seven(parts: &HardParts) -> &'static Dataset {
    static SEVEN: OnceLock<Dataset> = OnceLock::new();
    SEVEN.get_or_init(|| build(parts, 7))
}

/// Image digests, clip names, classes of noise and clips of noise of a split.
fn names(samples: &Samples) -> [BTreeSet<&str>; 4] {
    let mut found: [BTreeSet<&str>; 4] = Default::default();
    for id in samples.ids.names() {
        let parts: Vec<&str> = id.splitn(3, '+').collect();
        let class = parts[2].split_once('/').unwrap().0;
        for (set, part) in found.iter_mut().zip([parts[0], parts[1], class, parts[2]]) {
            set.insert(part);
        }
    }
    found
}

#[test]
fn counts_pairs_and_held_out_noise() {
    let Some(parts) = parts("avmnist-hard from the real files") else {
        return;
    };
    let data = seven(parts);
    let test = data.test.for_final_evaluation();
    assert_eq!((data.train.len(), data.validation.len(), test.len()), (2400, 300, 900));
    assert_eq!(data.train.class_counts(10), [240; 10]);
    assert_eq!(data.validation.class_counts(10), [30; 10]);
    assert_eq!(test.class_counts(10), [90; 10]);
    assert_eq!(data.modalities[0].shape, [1, 28, 28]);
    assert_eq!(data.modalities[1].shape, [1, 112, 112]);

    let [train, validation, tested] = [&data.train, &data.validation, test].map(names);
    // Every image once; every clip of training once, of test three times.
    assert_eq!((train[0].len(), validation[0].len(), tested[0].len()), (2400, 300, 900));
    assert_eq!((train[1].len(), validation[1].len(), tested[1].len()), (2400, 300, 300));
    for (a, b) in [(&train, &tested), (&validation, &tested), (&train, &validation)] {
        assert!(a[0].is_disjoint(&b[0]) && a[1].is_disjoint(&b[1]));
    }
    // Seven classes of noise to train with, three others for the test.
    assert_eq!((train[2].len(), tested[2].len()), (7, 3));
    assert!(train[2].is_disjoint(&tested[2]) && validation[2].is_subset(&train[2]));
    assert!(train[3].is_disjoint(&tested[3]));
    for (samples, is_test) in [(&data.train, false), (&data.validation, false), (test, true)] {
        for (id, label) in samples.ids.names().iter().zip(&samples.labels) {
            let clip: Vec<&str> = id.split('+').nth(1).unwrap().split('_').collect();
            assert_eq!(clip[0].parse::<u32>().unwrap(), *label);
            assert_eq!(clip[2].parse::<u32>().unwrap() < 5, is_test, "{id}");
        }
    }
    let speakers: BTreeSet<&str> = train[1].iter().map(|clip| clip.split('_').nth(1).unwrap()).collect();
    assert_eq!(speakers.len(), 6);
}

#[test]
fn images_have_four_directions_and_sound_is_standardised() {
    let Some(parts) = parts("the inputs of avmnist-hard") else {
        return;
    };
    let data = seven(parts);
    // Back to grey levels, rounded: what rounding adds is small beside the fourth direction and spread over all.
    let images = |samples: &Samples| -> Vec<Vec<f64>> {
        let grey = |x: &f32| (f64::from(*x) * 0.5 + 0.5) * 255.;
        (0..samples.len())
            .map(|i| samples.row(0, i).iter().map(grey).collect())
            .collect()
    };
    for samples in [&data.train, data.test.for_final_evaluation()] {
        let images = images(samples);
        // Gram and Schmidt on differences to the first image: after four directions nothing is left.
        let mut rest: Vec<Vec<f64>> = images[1..]
            .iter()
            .map(|image| image.iter().zip(&images[0]).map(|(a, b)| a - b).collect())
            .collect();
        let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let largest = |rest: &[Vec<f64>]| (0..rest.len()).max_by(|&a, &b| norm(&rest[a]).total_cmp(&norm(&rest[b])));
        for direction in 0..4 {
            let pivot = rest[largest(&rest).unwrap()].clone();
            let length = norm(&pivot);
            assert!(length > 100., "direction {direction}: {length} grey levels");
            for v in &mut rest {
                let overlap = v.iter().zip(&pivot).map(|(a, b)| a * b).sum::<f64>() / length.powi(2);
                v.iter_mut().zip(&pivot).for_each(|(x, p)| *x -= overlap * p);
            }
        }
        let left = norm(&rest[largest(&rest).unwrap()]);
        assert!(left < 0.01, "a fifth direction of {left} grey levels");
    }
    let sound: Vec<f64> = data.train.inputs[1].numbers().iter().map(|&x| f64::from(x)).collect();
    let mean = sound.iter().sum::<f64>() / sound.len() as f64;
    let variance = sound.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / sound.len() as f64;
    assert!(mean.abs() < 1e-5 && (variance - 1.).abs() < 1e-5, "{mean} {variance}");
    assert!(
        data.test.for_final_evaluation().inputs[1]
            .numbers()
            .iter()
            .all(|x| x.is_finite())
    );
}

#[test]
fn the_seed_decides_and_nothing_else() {
    let Some(parts) = parts("seeds of avmnist-hard") else {
        return;
    };
    let (one, start) = (seven(parts), Instant::now());
    // Beside a busy thread, so that another number of them runs.
    let (again, other) = thread::scope(|scope| {
        let other = scope.spawn(|| build(parts, 8));
        (build(parts, 7), other.join().unwrap())
    });
    eprintln!(
        "avmnist-hard: two assembled at once in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    assert_eq!(one.digest, again.digest);
    assert_ne!(one.digest, other.digest);
    let [a, b] = [one, &other].map(|data| names(data.test.for_final_evaluation()));
    assert_ne!(a[0], b[0]);
    assert_eq!(a[1], b[1]);
}

#[test]
fn components_do_not_depend_on_the_thread() {
    let images: Vec<Vec<u8>> = (0..60_u32)
        .map(|i| {
            (0..40_u32)
                .map(|p| ((i * i * 7 + p * 31 + i * p * 13) % 256) as u8)
                .collect()
        })
        .collect();
    let rows: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
    let here = Pca::fit(&rows, 4).unwrap();
    let there = thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(|| Pca::fit(&rows, 4).unwrap())).collect();
        workers.into_iter().map(|w| w.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(there.iter().all(|pca| *pca == here));
}

#[test]
fn loading_again_takes_it_from_the_cache() {
    let what = "loading time of avmnist-hard";
    let (Some(hub), Some(folder)) = (real_data::hub(what), real_data::esc10(what)) else {
        return;
    };
    let cache = tempfile::tempdir().unwrap();
    let load = |hub: &Hub| {
        let start = Instant::now();
        let noise = HardParts::noise(Some(&folder)).unwrap();
        let data = AvMnistHard.load_from(3, hub, noise, Some(cache.path())).unwrap();
        (data.digest, start.elapsed().as_secs_f64())
    };
    let (first, cold) = load(&hub);
    // Without the hub's files: only the cache can have given it.
    let nothing = Hub {
        cache: cache.path().join("no hub"),
        ..hub
    };
    let (second, warm) = load(&nothing);
    eprintln!("avmnist-hard: {cold:.2} s from the files, {warm:.2} s from the cache");
    assert_eq!(first, second);
}

#[test]
fn without_the_folder_the_error_says_what_to_do() {
    let says = |folder: Option<&Path>| {
        let error = HardParts::noise(folder).unwrap_err();
        (error.to_string(), miette::Diagnostic::help(&error).unwrap().to_string())
    };
    let (error, help) = says(None);
    assert!(error.contains("MMCOLLAPSE_ESC10_DIR is not set"), "{error}");
    assert!(help.contains("set MMCOLLAPSE_ESC10_DIR to a folder"), "{help}");
    assert!(
        help.contains("https://github.com/karolpiczak/ESC-10") && help.contains("ffmpeg"),
        "{help}"
    );

    let folder = tempfile::tempdir().unwrap();
    assert!(says(Some(folder.path())).0.contains("001 - Dog bark"));
    let class = folder.path().join("001 - Dog bark");
    fs::create_dir(&class).unwrap();
    assert!(says(Some(folder.path())).0.contains("there is no .wav in"));
    // A whole WAV of one sample at 44.1 kHz: the right form at the wrong rate.
    let mut wav = b"RIFF\x26\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    wav.extend(44_100_u32.to_le_bytes());
    wav.extend(88_200_u32.to_le_bytes());
    wav.extend(b"\x02\0\x10\0data\x02\0\0\0\x01\0");
    // Conditions are listed before a clip is read, so that an incomplete copy is told at once.
    for class in FolderSource::find("esc10").unwrap().classes {
        mmcollapse_files::write_atomic(&folder.path().join(class).join("1-1-A.wav"), &wav).unwrap();
    }
    let (error, _) = says(Some(folder.path()));
    assert!(
        error.contains("1-1-A.wav: 44100 samples a second, expected 8000"),
        "{error}"
    );
}

#[test]
fn the_folder_tested_with_is_known() {
    let source = FolderSource::find("esc10").unwrap();
    assert!(source.licence.contains("CC BY") && source.classes.len() == 10);
    assert!(FolderSource::find("esc11").is_err());
    let Some(folder) = real_data::esc10("the digest of ESC-10") else {
        return;
    };
    let clips = source.clips(Some(&folder)).unwrap();
    if clips.len() == source.content.rows {
        assert_eq!(folder::digest(&clips), source.content.digest);
    }
    assert!((0..10).all(|class| clips.iter().any(|clip| clip.identity.label == class)));
}
