//! One flipped bit in what a cell reads back never changes its numbers: the file is refused, reported and made again.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mmcollapse_files::write_atomic;
use mmcollapse_nn::{Device, safetensors};
use proptest::prelude::*;

use crate::{
    CellConfig, CellOutcome, Conditions, ModelError, Observer, Silent,
    cell::checkpoint,
    run_cell,
    tests::{StopAfter, cell, tiny},
};

/// Keeps what it is told.
#[derive(Default)]
struct Notes(Vec<String>);

impl Observer for Notes {
    fn epoch(&mut self, _: &str, _: usize, _: usize, _: &[(&str, f64)]) {}

    fn note(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

fn kd() -> CellConfig {
    cell("concat", "kd", serde_json::Value::Null)
}

fn run(observer: &mut dyn Observer, folders: Conditions<'_>) -> Result<CellOutcome, ModelError> {
    run_cell(&kd(), &tiny(), &Device::Cpu, observer, folders)
}

/// A cell's outcome without the time that it took and where its weights are.
fn numbers(mut outcome: CellOutcome) -> CellOutcome {
    outcome.seconds = 0.0;
    outcome.weights = None;
    outcome
}

fn flip(path: &Path, whole: &[u8], at: f64, bit: u8) {
    let mut bytes = whole.to_vec();
    let place = (at * bytes.len() as f64) as usize;
    bytes[place] ^= 1 << bit;
    write_atomic(path, &bytes).unwrap();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn no_flipped_bit_of_a_checkpoint_is_trained_on() {
    let whole = numbers(run(&mut Silent, Conditions::default()).unwrap());
    // In the distillation: weights, moments of the optimizer, the memory bank, teachers, history.
    let folder = tempfile::tempdir().unwrap();
    let folders = Conditions {
        checkpoint: Some(folder.path()),
        ..Conditions::default()
    };
    let stopped = run(&mut StopAfter(10), folders);
    assert!(matches!(stopped, Err(ModelError::Interrupted)));
    let path = folder.path().join(checkpoint::FILE);
    let bytes = fs::read(&path).unwrap();
    let (tensors, _) = safetensors::load(&path, &Device::Cpu).unwrap();
    for part in ["fit.optimizer0.", "fit.params.crd", "artifact.unimodal."] {
        assert!(
            tensors.keys().any(|name| name.starts_with(part)),
            "{part}: {:?}",
            tensors.keys()
        );
    }
    proptest!(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() }, |(at in 0.0..1.0_f64, bit in 0..8_u8)| {
        flip(&path, &bytes, at, bit);
        let refused = run(&mut Silent, folders);
        let is_refused = matches!(refused, Err(ModelError::Checkpoint { .. }));
        prop_assert!(is_refused);
        prop_assert!(refused.unwrap_err().to_string().contains(&path.display().to_string()));
    });
    // As it was written it is continued, and without it the cell is done again: to the same numbers.
    write_atomic(&path, &bytes).unwrap();
    assert_eq!(numbers(run(&mut Silent, folders).unwrap()), whole);
    fs::remove_file(&path).unwrap();
    assert_eq!(numbers(run(&mut Silent, folders).unwrap()), whole);
    // One of an older program, without a checksum.
    let (tensors, metadata) = {
        write_atomic(&path, &bytes).unwrap();
        safetensors::load(&path, &Device::Cpu).unwrap()
    };
    write_atomic(&path, &safetensors::to_bytes(&tensors, &metadata).unwrap()).unwrap();
    assert!(matches!(run(&mut Silent, folders), Err(ModelError::Checkpoint { .. })));
}

#[test]
fn no_flipped_bit_of_a_shared_fit_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let folders = Conditions {
        shared: Some(folder.path()),
        ..Conditions::default()
    };
    let whole = numbers(run(&mut Silent, folders).unwrap());
    let fits = files(folder.path());
    assert_eq!(fits.len(), 5);
    proptest!(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() }, |(which in 0..5_usize, at in 0.0..1.0_f64, bit in 0..8_u8)| {
        let path = &fits[which];
        let bytes = fs::read(path).unwrap();
        flip(path, &bytes, at, bit);
        let mut notes = Notes::default();
        prop_assert_eq!(&numbers(run(&mut notes, folders).unwrap()), &whole);
        prop_assert_eq!(notes.0.len(), 1, "{:?}", notes.0);
        prop_assert!(notes.0[0].contains(&path.display().to_string()), "{}", notes.0[0]);
        // It was made again as it was.
        prop_assert_eq!(&fs::read(path).unwrap(), &bytes);
    });
}

#[test]
fn a_shared_fit_that_can_be_neither_read_nor_written_costs_time_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folders = Conditions {
        shared: Some(folder.path()),
        ..Conditions::default()
    };
    let whole = numbers(run(&mut Silent, folders).unwrap());
    let path = files(folder.path()).remove(0);
    fs::remove_file(&path).unwrap();
    write_atomic(&path.join("in its place"), b"").unwrap();
    let mut notes = Notes::default();
    assert_eq!(numbers(run(&mut notes, folders).unwrap()), whole);
    assert_eq!(notes.0.len(), 2, "{:?}", notes.0);
}
