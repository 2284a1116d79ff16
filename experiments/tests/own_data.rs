//! A user's own arrays, by the commands and the YAML of docs/own-data.md.

#![cfg(feature = "train")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mmcollapse_files::write_atomic;
use mmcollapse_nn::{Device, Tensor, random::Stream, safetensors};

const PAGE: &str = include_str!("../../docs/own-data.md");
const N: usize = 120;

/// The blocks of the page in a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(&fence)
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("```")?.0))
        .collect()
}

/// Two classes that both modalities tell; what the page's YAML names.
fn write_arrays(folder: &Path) {
    write_other_arrays(folder, 4);
}

fn write_other_arrays(folder: &Path, seed: u64) {
    let mut stream = Stream::new(seed, "arrays");
    let mut of = |shape: &[usize], strength: f64| {
        let width: usize = shape.iter().product();
        let values = (0..N).flat_map(|i| {
            let mean = if i % 2 == 0 { strength } else { -strength };
            (0..width).map(|_| (mean + stream.normal()) as f32).collect::<Vec<_>>()
        });
        Tensor::from_vec(values.collect::<Vec<_>>(), [&[N], shape].concat(), &Device::Cpu).unwrap()
    };
    let whole = |value: &dyn Fn(usize) -> f32| {
        Tensor::from_vec((0..N).map(value).collect::<Vec<_>>(), N, &Device::Cpu).unwrap()
    };
    let arrays = BTreeMap::from([
        ("audio".to_owned(), of(&[6, 5], 0.4)),
        ("video".to_owned(), of(&[3, 8, 8], 0.3)),
        ("labels".to_owned(), whole(&|i| (i % 2) as f32)),
        ("speaker".to_owned(), whole(&|i| (i / 8) as f32)),
    ]);
    safetensors::save(&folder.join("my.safetensors"), &arrays, &BTreeMap::new()).unwrap();
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mmcollapse"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env("MMCOLLAPSE_CACHE", folder.join("cache")).output().unwrap()
}

#[test]
fn the_page_leads_from_arrays_to_tables() {
    let folder = tempfile::tempdir().unwrap();
    write_arrays(folder.path());
    let [yaml] = blocks("yaml")[..] else {
        panic!("the page has one YAML")
    };
    write_atomic(&folder.path().join("my.yaml"), yaml.as_bytes()).unwrap();
    let commands: Vec<Vec<&str>> = blocks("sh")[0]
        .lines()
        .map(|line| {
            line.split('#')
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .skip(1)
                .collect()
        })
        .collect();
    assert_eq!(commands.len(), 3, "{commands:?}");
    for command in &commands {
        let mut arguments = command.clone();
        if command[0] == "reproduce" {
            arguments.extend(["--preset", "smoke", "--offline"]);
        }
        let output = run(folder.path(), &arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}\n{told}");
        if command[0] == "data" {
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.contains("my-data: 120 samples, 2 classes, 2 modalities"), "{said}");
            assert!(said.contains("groups of `speaker` kept together"), "{said}");
        }
    }
    for experiment in ["table4", "balancing"] {
        let table = folder
            .path()
            .join(format!("results/{experiment}/my-data-smoke/table.md"));
        let table = std::fs::read_to_string(&table).unwrap();
        assert!(table.contains("| Concat"), "{table}");
        assert!(
            !table.contains("| paper"),
            "no number of the paper stands beside it: {table}"
        );
    }
}

#[test]
fn experiments_on_numbers_of_modalities_take_those_there_are() {
    let folder = tempfile::tempdir().unwrap();
    write_arrays(folder.path());
    let yaml = "name: mine\narrays: my.safetensors\nmodalities: {audio: {}, video: {}}\n";
    write_atomic(&folder.path().join("mine.yaml"), yaml.as_bytes()).unwrap();
    let told = |experiment: &str| {
        let asked = ["reproduce", experiment, "--dataset", "mine.yaml"];
        let output = run(
            folder.path(),
            &[&asked[..], &["--preset", "smoke", "--offline"]].concat(),
        );
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        told
    };
    for experiment in ["table6", "table7"] {
        let told = told(experiment);
        assert!(!told.contains("other data"), "{told}");
    }
    // The same name, other contents.
    write_other_arrays(folder.path(), 5);
    let told = told("table7");
    assert!(
        told.contains("mine-smoke had a result of other data under the same name"),
        "{told}"
    );
}

#[test]
fn what_is_wrong_with_it_is_told_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    write_arrays(folder.path());
    let yaml = "name: mine\narrays: my.safetensors\nmodalities: {audio: {}, sound: {}}\n";
    write_atomic(&folder.path().join("mine.yaml"), yaml.as_bytes()).unwrap();
    let output = run(
        folder.path(),
        &["reproduce", "table4", "--dataset", "mine.yaml", "--preset", "smoke"],
    );
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for part in [
        "mine.yaml",
        "array `sound`: no file holds it",
        "audio, labels, speaker, video",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn what_experiments_name_is_of_their_own_data() {
    let folder = tempfile::tempdir().unwrap();
    write_arrays(folder.path());
    let yaml = "name: mine\narrays: my.safetensors\nmodalities: {audio: {}, video: {}}\n";
    write_atomic(&folder.path().join("mine.yaml"), yaml.as_bytes()).unwrap();
    let of = |experiment: &str, preset: &str| {
        let asked = [
            "reproduce",
            experiment,
            "--dataset",
            "mine.yaml",
            "--dry-run",
            "--offline",
        ];
        let output = run(folder.path(), &[&asked[..], &["--preset", preset]].concat());
        let told = [&output.stdout[..], &output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&told).into_owned())
    };
    // Rows that keep one modality alone keep each of the user's.
    let (well, told) = of("fig10", "quick");
    assert!(
        well && told.contains("concat+audio_only") && told.contains("concat+video_only"),
        "{told}"
    );
    assert!(!told.contains("sound_only"), "{told}");
    let (well, told) = of("lemma1", "smoke");
    assert!(!well && told.contains("varies what is planted"), "{told}");
}
