//! A user's data set, from arrays as PyTorch writes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mmcollapse_files::write_atomic;
use mmcollapse_nn::{Device, Tensor, random::Stream, safetensors};

use super::*;
use crate::{Samples, find};

const N: usize = 60;

const YAML: &str = "\
name: mine
arrays: mine.safetensors
modalities:
  rows: {}
  steps: {lengths: lengths}
  codes: {kind: codes}
  picture: {array: pixels}
present: present
";

type Arrays = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Three classes; every number tells its row.
fn arrays() -> Arrays {
    let of = |shape: &[usize], value: &dyn Fn(usize, usize) -> f32| {
        let width: usize = shape.iter().product();
        let values = (0..N)
            .flat_map(|i| (0..width).map(move |j| (i, j)))
            .map(|(i, j)| value(i, j));
        ([&[N], shape].concat(), values.collect())
    };
    let noise = Stream::new(1, "noise").normal_vec(N * 3);
    BTreeMap::from([
        ("labels".to_owned(), of(&[], &|i, _| (i % 3) as f32 + 4.0)),
        (
            "rows".to_owned(),
            of(&[3], &|i, j| if j == 2 { 7.0 } else { 5.0 * noise[3 * i + j] + 100.0 }),
        ),
        ("steps".to_owned(), of(&[4, 2], &|i, j| (i * 8 + j) as f32)),
        ("lengths".to_owned(), of(&[], &|i, _| (i % 5) as f32)),
        ("codes".to_owned(), of(&[5], &|i, j| ((i + j) % 9) as f32)),
        ("pixels".to_owned(), of(&[2, 6, 5], &|i, j| (i + j) as f32)),
        // Each tenth sample lacks the rows.
        (
            "present".to_owned(),
            of(&[4], &|i, m| f32::from(u8::from(m != 0 || i % 10 != 0))),
        ),
        ("groups".to_owned(), of(&[], &|i, _| (i / 4) as f32)),
        (
            "split".to_owned(),
            of(&[], &|i, _| {
                if i < 40 {
                    0.0
                } else if i < 50 {
                    1.0
                } else {
                    2.0
                }
            }),
        ),
    ])
}

fn write(folder: &Path, yaml: &str, arrays: &Arrays) -> PathBuf {
    let tensors = arrays.iter().map(|(name, (shape, values))| {
        let tensor = Tensor::from_vec(values.clone(), &shape[..], &Device::Cpu).unwrap();
        (name.clone(), tensor)
    });
    safetensors::save(&folder.join("mine.safetensors"), &tensors.collect(), &BTreeMap::new()).unwrap();
    let path = folder.join("mine.yaml");
    write_atomic(&path, yaml.as_bytes()).unwrap();
    path
}

fn made(yaml: &str, arrays: &Arrays, seed: u64) -> Result<Dataset, DataError> {
    let folder = tempfile::tempdir().unwrap();
    OwnSet::read(&write(folder.path(), yaml, arrays))?.assemble(seed)
}

/// Of each split the rows of the user's arrays.
fn rows(dataset: &Dataset) -> [Vec<usize>; 3] {
    let splits = [&dataset.train, &dataset.validation, dataset.test.for_final_evaluation()];
    splits.map(|split| split.ids.iter().map(|id| id.parse().unwrap()).collect())
}

/// Labels, groups and lengths that a program wrote as columns are what they would be as rows.
#[test]
fn a_column_of_numbers_is_one_number_a_sample() {
    let mut columns = arrays();
    for name in ["labels", "groups", "lengths"] {
        let (shape, _) = columns.get_mut(name).unwrap();
        shape.push(1);
    }
    assert_eq!(
        made(YAML, &columns, 3).unwrap().digest,
        made(YAML, &arrays(), 3).unwrap().digest
    );
}

#[test]
fn arrays_become_modalities_by_their_shape() {
    let dataset = made(YAML, &arrays(), 3).unwrap();
    let shapes: Vec<(&str, &[usize], &str)> = dataset
        .modalities
        .iter()
        .map(|m| (m.name.as_str(), &m.shape[..], m.kind.name()))
        .collect();
    assert_eq!(
        shapes,
        [
            ("rows", &[3][..], "dense"),
            ("steps", &[4, 3], "series"),
            ("codes", &[5], "codes"),
            ("picture", &[2, 6, 5], "dense"),
        ]
    );
    assert_eq!(dataset.modalities[2].vocabulary(), 8);
    assert_eq!(dataset.class_names, ["4", "5", "6"]);
    let cut = rows(&dataset);
    assert_eq!(cut.each_ref().map(Vec::len), [39, 9, 12]);
    for (split, rows) in [&dataset.train, &dataset.validation, dataset.test.for_final_evaluation()]
        .iter()
        .zip(&cut)
    {
        for (place, &i) in rows.iter().enumerate() {
            assert_eq!(split.labels[place] as usize, i % 3);
            assert_eq!(split.present.get(place, 0), i % 10 != 0);
            let marks: Vec<f32> = split.row(1, place).chunks(3).map(|step| step[0]).collect();
            let expected: Vec<f32> = (0..4).map(|step| f32::from(u8::from(step < i % 5))).collect();
            assert_eq!(marks, expected, "steps of {i}");
            assert_eq!(split.row(2, place)[1], ((i + 1) % 9) as f32);
            if i % 10 == 0 {
                assert_eq!(split.row(0, place), [0.0; 3], "what is lacking is zero");
            }
        }
    }
    // Standardised by the training samples that have it; a constant column is 0.
    let of_column = |j: usize| -> Vec<f64> {
        let having = dataset.train.present.rows(0);
        having.iter().map(|&i| f64::from(dataset.train.row(0, i)[j])).collect()
    };
    for j in 0..2 {
        let column = of_column(j);
        let n = column.len() as f64;
        let mean = column.iter().sum::<f64>() / n;
        let variance = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
    }
    assert!(of_column(2).iter().all(|x| *x == 0.0));
    let channel: Vec<f64> = (0..39)
        .flat_map(|i| dataset.train.row(3, i)[..30].to_vec())
        .map(f64::from)
        .collect();
    assert!((channel.iter().sum::<f64>() / channel.len() as f64).abs() < 1e-5);
}

#[test]
fn its_key_is_what_it_holds_and_not_where_it_lies() {
    let of = |arrays: &Arrays, seed: u64| made(YAML, arrays, seed).unwrap();
    let plain = of(&arrays(), 0);
    assert_eq!(of(&arrays(), 0), plain);
    assert_ne!(of(&arrays(), 1).train.ids, plain.train.ids);
    let mut other = arrays();
    other.get_mut("pixels").unwrap().1[7] += 0.5;
    assert_ne!(of(&other, 0).digest, plain.digest);
}

#[test]
fn groups_stay_together_and_given_splits_are_taken() {
    let grouped = format!("{YAML}groups: groups\n");
    for seed in 0..5 {
        let cut = rows(&made(&grouped, &arrays(), seed).unwrap());
        let of = |rows: &[usize]| rows.iter().map(|i| i / 4).collect::<std::collections::BTreeSet<_>>();
        let groups = cut.each_ref().map(|rows| of(rows));
        assert_eq!(groups.iter().map(std::collections::BTreeSet::len).sum::<usize>(), 15);
        assert_eq!(cut.each_ref().map(Vec::len), [40, 8, 12]);
    }
    let given = format!("{YAML}split: split\n");
    let cut = rows(&made(&given, &arrays(), 0).unwrap());
    assert_eq!(
        cut,
        [(0..40).collect(), (40..50).collect(), (50..60).collect()] as [Vec<usize>; 3]
    );
    assert_eq!(made(&given, &arrays(), 9).unwrap(), made(&given, &arrays(), 0).unwrap());
    let torn = made(&format!("{given}groups: groups\n"), &arrays(), 0)
        .unwrap_err()
        .to_string();
    // Rows 48 to 51 are a group.
    assert!(
        torn.contains("array `groups`: 1 groups are in more than one split of array `split`"),
        "{torn}"
    );
}

#[test]
fn few_and_uneven_groups_come_as_near_to_the_fractions_as_they_can() {
    // Of 60 samples the fractions want 39, 9 and 12.
    let mut uneven = arrays();
    let group = |i: usize| [36, 48, 54].iter().filter(|end| i >= **end).count();
    uneven.get_mut("groups").unwrap().1 = (0..N).map(|i| group(i) as f32).collect();
    let grouped = format!("{YAML}groups: groups\n");
    let cut = |seed: u64| rows(&made(&grouped, &uneven, seed).unwrap());
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let cut = cut(seed);
        let sizes = cut.each_ref().map(Vec::len);
        assert!(sizes == [42, 6, 12] || sizes == [36, 12, 12], "seed {seed}: {sizes:?}");
        seen.insert(cut);
    }
    assert!(seen.len() > 1, "seeds draw other groups");
    assert_eq!(cut(3), cut(3));
}

#[test]
fn columns_of_any_unit_have_deviation_1_and_a_constant_one_is_found() {
    let mut small = arrays();
    let mut stream = Stream::new(2, "small");
    small.get_mut("rows").unwrap().1 = (0..N)
        .flat_map(|_| [stream.uniform(0.0, 1e-6) as f32, stream.uniform(0.0, 1e-20) as f32, 0.1])
        .collect();
    let dataset = made(YAML, &small, 0).unwrap();
    let having = dataset.train.present.rows(0);
    for j in 0..2 {
        let column: Vec<f64> = having.iter().map(|&i| f64::from(dataset.train.row(0, i)[j])).collect();
        let squares = column.iter().map(|x| x * x).sum::<f64>() / column.len() as f64;
        assert!((squares - 1.0).abs() < 1e-5, "column {j}: {squares}");
    }
    assert!(having.iter().all(|&i| dataset.train.row(0, i)[2] == 0.0));
    assert_eq!(scale::constant(&dataset.train, 0, &dataset.modalities[0]), 1);
}

/// Writes an `.npy` file of `[N]`.
fn write_npy(folder: &Path, name: &str, descr: &str, numbers: impl Iterator<Item = [u8; 8]>) {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({N},), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(numbers.flatten());
    write_atomic(&folder.join(format!("{name}.npy")), &bytes).unwrap();
}

#[test]
fn times_keep_their_spread() {
    let folder = tempfile::tempdir().unwrap();
    let seconds: Vec<f64> = Stream::new(3, "times")
        .normal_vec(N)
        .iter()
        .map(|x| 1.7e9 + 20.0 * f64::from(*x))
        .collect();
    let nanoseconds = seconds.iter().map(|time| (time * 1e9) as i64);
    write_npy(folder.path(), "seconds", "<f8", seconds.iter().map(|x| x.to_le_bytes()));
    write_npy(folder.path(), "nanoseconds", "<i8", nanoseconds.map(i64::to_le_bytes));
    // The same but for rounding: what has no spread is not given one.
    let still = (0..N).map(|i| if i % 2 == 0 { 0.3_f64 } else { 0.1 + 0.2 });
    write_npy(folder.path(), "still", "<f8", still.map(f64::to_le_bytes));
    let yaml = "name: mine\narrays: [mine.safetensors, seconds.npy, nanoseconds.npy, still.npy]\nsplit: split\n\
                modalities: {seconds: {}, nanoseconds: {}, still: {}}\n";
    let dataset = OwnSet::read(&write(folder.path(), yaml, &arrays()))
        .unwrap()
        .assemble(0)
        .unwrap();
    // The first 40 rows train.
    let mean = seconds[..40].iter().sum::<f64>() / 40.0;
    let variance = seconds[..40].iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 40.0;
    for m in 0..2 {
        for (i, time) in seconds[..40].iter().enumerate() {
            let (got, expected) = (dataset.train.row(m, i)[0], (time - mean) / variance.sqrt());
            assert!((f64::from(got) - expected).abs() < 1e-5, "{m} {i}: {got} {expected}");
        }
    }
    assert!((0..40).all(|i| dataset.train.row(2, i)[0].abs() < 1e-12));
}

#[test]
fn what_nobody_names_may_be_text_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    write_npy(folder.path(), "ids", "<U2", (0..N).map(|_| *b"a\0\0\0b\0\0\0"));
    let yaml = YAML.replace("arrays: mine.safetensors", "arrays: [mine.safetensors, ids.npy]");
    let report = OwnSet::read(&write(folder.path(), &yaml, &arrays())).unwrap().report();
    let report = report.unwrap().join("\n");
    assert!(
        report.contains("arrays not used: groups, split, ids (cannot be read as numbers)"),
        "{report}"
    );
    assert!(
        report.contains("seeds 0 to 2 and 100 to 139: training 39, validation 9, test 12")
            && !report.contains("WARNING"),
        "{report}"
    );
    let asked = write(folder.path(), &format!("{yaml}groups: ids\n"), &arrays());
    let error = OwnSet::read(&asked).unwrap_err().to_string();
    assert!(error.contains("array `ids`: expected floats, integers"), "{error}");
}

#[test]
fn names_that_mean_something_else_are_refused() {
    let refused = |yaml: &str| made(yaml, &arrays(), 0).unwrap_err().to_string();
    for name in ["labels", "present", "seen"] {
        let error = refused(&YAML.replace("  picture: {array: pixels}", &format!("  {name}: {{array: pixels}}")));
        assert!(
            error.contains(&format!("modality `{name}`")) && error.contains("export"),
            "{error}"
        );
    }
    let error = refused(&format!("{YAML}encoders: {{codes: {{method: code_bag}}}}\n"));
    assert!(error.contains("also a kind of modality"), "{error}");
    let error = refused(&YAML.replace("name: mine", &format!("name: {}", "m".repeat(61))));
    assert!(error.contains("61 letters, expected at most 60"), "{error}");
}

#[test]
fn a_column_that_is_constant_in_training_is_zero_at_test_too() {
    let mut shifted = arrays();
    let values = &mut shifted.get_mut("rows").unwrap().1;
    (50..N).for_each(|i| values[3 * i + 2] = 1e6);
    let dataset = made(&format!("{YAML}split: split\n"), &shifted, 0).unwrap();
    let test = dataset.test.for_final_evaluation();
    for i in test.present.rows(0) {
        assert_eq!(test.row(0, i)[2], 0.0, "row {i}");
    }
}

#[test]
fn samples_that_lose_their_only_modality_are_told() {
    let mut alone = arrays();
    let present = &mut alone.get_mut("present").unwrap().1;
    // Of the 10 test samples two have the picture alone, which is the last modality.
    for i in [51, 55] {
        (0..3).for_each(|m| present[4 * i + m] = 0.0);
    }
    let folder = tempfile::tempdir().unwrap();
    let set = OwnSet::read(&write(folder.path(), &format!("{YAML}split: split\n"), &alone)).unwrap();
    let report = set.report().unwrap().join("\n");
    assert!(
        report.contains("2 of 10 samples have modality `picture` alone; of test"),
        "{report}"
    );
}

#[test]
fn a_split_of_one_class_is_refused() {
    for (rows, name) in [(40..50, "validation"), (50..N, "test")] {
        let mut one = arrays();
        let labels = &mut one.get_mut("labels").unwrap().1;
        let first = labels[rows.start];
        labels[rows].fill(first);
        let error = made(&format!("{YAML}split: split\n"), &one, 0).unwrap_err().to_string();
        assert!(
            error.contains(&format!("array `split`: all samples for {name} are of one class")),
            "{error}"
        );
    }
}

#[test]
fn what_splits_of_other_seeds_lack_is_told() {
    // A class in one group alone, which every seed trains on.
    let mut rare = arrays();
    rare.get_mut("labels").unwrap().1 = (0..N).map(|i| if i < 4 { 6.0 } else { (i % 2) as f32 }).collect();
    let folder = tempfile::tempdir().unwrap();
    let set = OwnSet::read(&write(folder.path(), &format!("{YAML}groups: groups\n"), &rare)).unwrap();
    let report = set.report().unwrap().join("\n");
    for line in [
        "seeds 0 to 2 and 100 to 139: training 40, validation 8, test 12",
        "WARNING: every seed: validation has no sample of class 6",
        "WARNING: every seed: test has no sample of class 6",
    ] {
        assert!(report.contains(line), "{report}");
    }
    // Groups of 36, 12, 6 and 6: with fractions that no whole groups have.
    let mut uneven = arrays();
    let group = |i: usize| [36, 48, 54].iter().filter(|end| i >= **end).count();
    uneven.get_mut("groups").unwrap().1 = (0..N).map(|i| group(i) as f32).collect();
    let yaml = format!("{YAML}groups: groups\nfractions: {{validation: 0.05, test: 0.05}}\n");
    let report = OwnSet::read(&write(folder.path(), &yaml, &uneven)).unwrap().report();
    let report = report.unwrap().join("\n");
    assert!(
        report.contains("WARNING: every seed: the size of test differs from `fractions` by more than half"),
        "{report}"
    );
}

#[test]
fn what_is_not_finite_is_refused_missing_or_the_mean() {
    let mut broken = arrays();
    let values = &mut broken.get_mut("rows").unwrap().1;
    (values[33], values[34]) = (f32::NAN, f32::INFINITY); // of row 11
    let error = made(YAML, &broken, 0).unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("array `rows`: 2 numbers are not finite in 32 bits, the first in row 11"),
        "{told}"
    );
    assert!(
        miette::Diagnostic::help(&error)
            .unwrap()
            .to_string()
            .contains("not_a_number: missing")
    );
    let with = |what: &str| {
        made(
            &YAML.replace("rows: {}", &format!("rows: {{not_a_number: {what}}}")),
            &broken,
            0,
        )
        .unwrap()
    };
    let of = |dataset: &Dataset| -> (bool, Vec<f32>) {
        let splits = [&dataset.train, &dataset.validation, dataset.test.for_final_evaluation()];
        let place = |split: &&Samples| {
            split
                .ids
                .iter()
                .position(|id| id == "11")
                .map(|place| (split.present.get(place, 0), split.row(0, place)))
        };
        splits.iter().find_map(place).unwrap()
    };
    assert_eq!(of(&with("missing")), (false, vec![0.0; 3]));
    assert_eq!(of(&with("mean")), (true, vec![0.0; 3]));
}

#[test]
fn what_does_not_belong_together_is_refused_with_its_place() {
    let told = |yaml: &str, arrays: &Arrays| {
        let error = made(yaml, arrays, 0).unwrap_err();
        let help = miette::Diagnostic::help(&error)
            .map(|help| help.to_string())
            .unwrap_or_default();
        format!("{error} | {help}")
    };
    for (from, to, expected) in [
        ("name: mine", "name: My data", "must begin with a lower-case letter"),
        (
            "name: mine",
            "name: avmnist",
            "`name: avmnist` is that of a data set that is built in",
        ),
        ("arrays: mine.safetensors", "arrays: other.npz", "other.npz"),
        ("modalities:", "modality:", "unknown field `modality`"),
        (
            "rows: {}",
            "words: {}",
            "array `words`: no file holds it | the files hold: codes, groups, labels, ",
        ),
        (
            "present: present",
            "present: labels",
            "array `labels`: expected shape [60, 4], got [60]",
        ),
        (
            "present: present",
            "weak: sound",
            "`weak` names modality `sound`; there are rows, steps, codes, picture",
        ),
        (
            "present: present",
            "fractions: {test: 0.9}",
            "must be above 0 and leave something to train on",
        ),
        (
            "rows: {}",
            "rows: {kind: series}",
            "array `rows`: expected a series [n, steps, features], got shape [60, 3]",
        ),
        (
            "{lengths: lengths}",
            "{lengths: groups}",
            "array `groups`: expected lengths in 0..=4, got others",
        ),
        (
            "{kind: codes}",
            "{kind: codes, vocabulary: 3}",
            "array `codes`: expected codes in 0..=3",
        ),
        (
            "present: present",
            "classes: [a, b]",
            "`classes` names 2, so labels must lie in 0..=1",
        ),
        (
            "present: present",
            "labels: present",
            "array `present`: expected shape [n], got [60, 4]",
        ),
        (
            "present: present",
            "split: groups",
            "expected 0 (training), 1 (validation) or 2 (test), got another in row 12",
        ),
    ] {
        let yaml = YAML.replace(from, to);
        assert_ne!(yaml, YAML);
        let told = told(&yaml, &arrays());
        assert!(told.contains(expected), "{told}");
    }
    let one = "name: mine\narrays: mine.safetensors\nmodalities:\n  rows: {}\n";
    assert!(told(one, &arrays()).contains("expected 2 to 8 modalities, got 1"));
    let leaking = "name: mine\narrays: mine.safetensors\nmodalities:\n  rows: {}\n  told: {array: labels}\n";
    assert!(told(leaking, &arrays()).contains("modality `told` reads array `labels`, which is that of `labels`"));
    for (array, value, expected) in [
        ("labels", 1.0, "array `labels`: expected at least 2 classes, got 1"),
        (
            "labels",
            0.5,
            "array `labels`: expected whole numbers, got a fraction among float32 in row 0",
        ),
        (
            "codes",
            16_777_218.0,
            "array `codes`: expected codes of at most 16777216, got larger ones | number the codes",
        ),
        (
            "groups",
            1.0,
            "array `groups`: there is no sample for validation with seed 0, which draws among 1 groups | splits take whole",
        ),
        ("present", 0.0, "no sample of training has modality `rows`"),
        (
            "present",
            2.0,
            "expected 1 where a sample has a modality and 0 where it lacks it",
        ),
    ] {
        let mut changed = arrays();
        changed.get_mut(array).unwrap().1.fill(value);
        let yaml = if array == "groups" {
            format!("{YAML}groups: groups\n")
        } else {
            YAML.to_owned()
        };
        let told = told(&yaml, &changed);
        assert!(told.contains(expected), "{told}");
    }
    let mut short = arrays();
    let (shape, values) = short.get_mut("rows").unwrap();
    shape[0] -= 1;
    values.truncate(3 * (N - 1));
    let told = told(YAML, &short);
    assert!(
        told.contains("mine.yaml: array `rows`: expected 60 rows, as many as labels, got 59"),
        "{told}"
    );
}

#[test]
fn it_is_found_by_its_name_once_it_is_added() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = YAML.replace(
        "name: mine",
        "name: found-by-name\nweak: steps\nencoders: {rows: {method: linear}}\ntraining: {epochs: 3}",
    );
    let path = write(folder.path(), &yaml, &arrays());
    assert!(find("found-by-name").is_err());
    assert_eq!(add(&path).unwrap(), "found-by-name");
    assert_eq!(add(&path).unwrap(), "found-by-name");
    let set = find("found-by-name").unwrap();
    assert_eq!(
        (set.modalities(), set.samples(), set.two_classes(), set.has_images()),
        (
            ["rows", "steps", "codes", "picture"].map(str::to_owned).to_vec(),
            Some(N),
            false,
            true
        )
    );
    let adapted = set.own().unwrap();
    assert_eq!(
        (
            adapted.modality.as_str(),
            adapted.encoders.len(),
            adapted.training.len()
        ),
        ("steps", 1, 1)
    );
    assert_eq!(set.own_files().len(), 2);
    let elsewhere = tempfile::tempdir().unwrap();
    let error = add(&write(elsewhere.path(), &yaml, &arrays())).unwrap_err().to_string();
    assert!(error.contains("which was named before"), "{error}");
    let report = OwnSet::read(&path).unwrap().report().unwrap().join("\n");
    for line in [
        "60 samples, 3 classes, 4 modalities",
        "rows: dense [3], 54 samples have it, 1 constant in training",
        "picture: dense 2 channels of 6 by 5, 60 samples have it",
    ] {
        assert!(report.contains(line), "{report}");
    }
}

#[test]
fn rows_of_splits_share_nothing_that_is_lacking() {
    // A modality that some lack entirely in validation is refused, as no choice could be made by it.
    let mut lacking = arrays();
    let present = &mut lacking.get_mut("present").unwrap().1;
    (40..50).for_each(|i| present[4 * i] = 0.0);
    let given = format!("{YAML}split: split\n");
    let error = made(&given, &lacking, 0).unwrap_err().to_string();
    assert!(error.contains("no sample of validation has modality `rows`"), "{error}");
}
