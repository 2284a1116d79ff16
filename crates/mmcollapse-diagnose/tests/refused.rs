//! Arrays that cannot be diagnosed: each error says which array, what was expected, what was found, and what to do.

use std::path::Path;

use mmcollapse_arrays::Arrays;
use mmcollapse_diagnose::{Input, Settings, diagnose};
use mmcollapse_files::write_atomic;

/// Writes an `.npy` file of f32.
fn npy(folder: &Path, name: &str, shape: &[usize], values: &[f32]) {
    let axes: Vec<String> = shape.iter().map(|axis| format!("{axis},")).collect();
    let header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}\n",
        axes.join(" ")
    );
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    write_atomic(&folder.join(format!("{name}.npy")), &bytes).unwrap();
}

const N: usize = 60;

/// Numbers that differ from each other.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * i % 97) as f32).collect()
}

/// A folder of arrays that can be diagnosed, which `change` changes.
fn asked(change: impl Fn(&Path)) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (salt, name) in ["embedding.image", "embedding.sound", "fused"].into_iter().enumerate() {
        let values: Vec<f32> = numbers(N * 3).iter().map(|x| (x + 31.0 * salt as f32) % 97.0).collect();
        npy(path, name, &[N, 3], &values);
    }
    let labels: Vec<f32> = (0..N).map(|i| (i % 2) as f32).collect();
    npy(path, "labels", &[N], &labels);
    change(path);
    let report = |error: miette::Report| format!("{error:?}").split_whitespace().collect::<Vec<_>>().join(" ");
    let read = || -> miette::Result<String> {
        let input = Input::read(&Arrays::open(path)?)?;
        let found = diagnose(
            &input,
            &Settings {
                resamples: 200,
                permutations: 100,
                ..Settings::default()
            },
        )?;
        Ok(found.notes.join("; "))
    };
    read().map_err(report)
}

/// The error names what was wrong and holds a way out.
fn refused(change: impl Fn(&Path), expected: &[&str]) {
    let error = asked(change).unwrap_err();
    // A report is broken into lines with marks at their beginning.
    let error = error.replace(" │ ", " ");
    for text in expected {
        assert!(error.contains(text), "`{text}` is not in: {error}");
    }
    assert!(error.contains("help:"), "{error}");
}

#[test]
fn arrays_that_fit_are_diagnosed() {
    assert_eq!(asked(|_| ()).unwrap(), "");
    let noted = asked(|path| {
        npy(
            path,
            "embedding.image",
            &[N, 2],
            &numbers(N).iter().flat_map(|x| [*x, 7.0]).collect::<Vec<_>>(),
        );
        npy(path, "loss", &[1], &[1.0]);
    });
    let noted = noted.unwrap();
    assert!(
        noted.contains("`embedding.image`: 1 of 2 columns are constant"),
        "{noted}"
    );
    assert!(noted.contains("arrays not used: loss"), "{noted}");
    // Weights of one modality alone, and beside those of all.
    let part = |path: &Path| npy(path, "weight.image", &[4, 3], &numbers(12));
    let noted = asked(part).unwrap();
    assert!(noted.contains("arrays not used: weight.image"), "{noted}");
    let both = |path: &Path| {
        part(path);
        npy(path, "weight.sound", &[4, 3], &numbers(12));
    };
    assert_eq!(asked(both).unwrap(), "");
    let all = |path: &Path| {
        both(path);
        npy(path, "weight", &[4, 6], &numbers(24));
    };
    let noted = asked(all).unwrap();
    assert!(noted.contains("arrays not used: weight.image, weight.sound"), "{noted}");
}

#[test]
fn missing_arrays_are_named() {
    let without =
        |name: &'static str| move |path: &Path| std::fs::remove_file(path.join(format!("{name}.npy"))).unwrap();
    refused(
        without("labels"),
        &[".npy and 2 more: expected an array `labels`", "embedding.<modality>"],
    );
    refused(
        without("fused"),
        &[".npy and 2 more: expected an array `fused` or `logits`, got neither"],
    );
    refused(
        without("embedding.sound"),
        &[".npy and 2 more: expected 2 to 6 arrays `embedding.<modality>`, got image"],
    );
    refused(
        |path| npy(path, "embedding.", &[N, 3], &numbers(N * 3)),
        &["array `embedding.`: expected the name of a modality"],
    );
}

#[test]
fn shapes_are_compared() {
    refused(
        |path| npy(path, "fused", &[N - 1, 3], &numbers((N - 1) * 3)),
        &["`fused`", "expected shape [60, features], got [59, 3]"],
    );
    refused(
        |path| npy(path, "fused", &[N, 3, 1], &numbers(N * 3)),
        &["expected shape [samples, features], got [60, 3, 1]", "pool"],
    );
    refused(
        |path| npy(path, "labels", &[N, 2], &numbers(N * 2)),
        &["`labels`", "expected shape [samples], got [60, 2]"],
    );
    refused(
        |path| npy(path, "weight", &[4, 5], &numbers(20)),
        &["`weight`", "expected shape [neurons, 6], got [4, 5]"],
    );
    refused(
        |path| npy(path, "logits.smell", &[N, 2], &numbers(N * 2)),
        &["`logits.smell`", "modalities among image, sound"],
    );
}

#[test]
fn numbers_are_checked() {
    let broken = |path: &Path| {
        let mut values = numbers(N * 3);
        (values[7], values[100], values[101]) = (f32::NAN, f32::INFINITY, f32::NAN);
        npy(path, "embedding.sound", &[N, 3], &values);
    };
    refused(
        broken,
        &[
            "`embedding.sound`",
            "2 of 60 rows hold NaN or an infinity, the first is row 2",
        ],
    );
    refused(
        |path| {
            npy(
                path,
                "labels",
                &[N],
                &(0..N).map(|i| i as f32 / 2.0).collect::<Vec<_>>(),
            );
        },
        &["expected whole numbers"],
    );
    refused(
        |path| npy(path, "labels", &[N], &vec![3.0; N]),
        &["labels.npy: array `labels`: expected at least two classes, got one in 60 samples"],
    );
    refused(
        |path| npy(path, "labels", &[N], &(0..N).map(|i| i as f32).collect::<Vec<_>>()),
        &["labels.npy: array `labels`: expected two classes with 4 samples"],
    );
    let three = |path: &Path| {
        npy(
            path,
            "labels",
            &[N],
            &(0..N).map(|i| (i % 3) as f32).collect::<Vec<_>>(),
        );
        npy(path, "logits", &[N], &numbers(N));
    };
    refused(
        three,
        &["`logits`", "expected labels 0 and 1 beside one logit, got others"],
    );
    let three = |path: &Path| {
        three(path);
        npy(path, "logits", &[N, 2], &numbers(2 * N));
    };
    refused(three, &["`logits`", "expected a column for every label, got 2 columns"]);
    for name in ["labels", "groups", "split"] {
        let broken = |path: &Path| {
            let mut values: Vec<f32> = (0..N).map(|i| (i % 2) as f32).collect();
            values[3] = f32::NAN;
            npy(path, name, &[N], &values);
        };
        refused(
            broken,
            &[&format!(
                "{name}.npy: array `{name}`: row 3: expected a whole number, got NaN"
            )],
        );
    }
}

#[test]
fn probabilities_are_no_logits() {
    let one = |path: &Path| {
        let values: Vec<f32> = (0..N).map(|i| i as f32 / 60.0).collect();
        npy(path, "logits", &[N, 1], &values);
    };
    refused(
        one,
        &["`logits`", "values in [0, 1] alone", "give logits: log(p / (1 - p))"],
    );
    let two = |path: &Path| {
        let values: Vec<f32> = (0..N).flat_map(|i| [i as f32 / 60.0, 1.0 - i as f32 / 60.0]).collect();
        npy(path, "logits.sound", &[N, 2], &values);
    };
    refused(
        two,
        &["`logits.sound`", "rows in [0, 1] that sum to 1", "give logits: log(p)"],
    );
    let rows = |path: &Path, name: &str, of: &dyn Fn(f32) -> [f32; 2]| {
        let values: Vec<f32> = (0..N).flat_map(|i| of(i as f32 / 60.0)).collect();
        npy(path, name, &[N, 2], &values);
    };
    // Means of probabilities in f32 go beyond 1, in bf16 by a hundredth.
    for over in [1.000_000_1, 1.007] {
        refused(
            |path| rows(path, "logits", &|p| [over * p, over * (1.0 - p)]),
            &["rows in [0, 1] that sum to 1"],
        );
    }
    refused(
        |path| rows(path, "logits", &|p| [100.0 * p, 100.0 - 100.0 * p]),
        &["rows in [0, 100] that sum to 100, as percentages do", "log(p / 100)"],
    );
    // A sigmoid of each class.
    refused(
        |path| rows(path, "logits", &|p| [p, 0.5]),
        &["`logits`", "values in [0, 1] alone", "give them times 10"],
    );
    // Logits: one value beyond; of some modalities, where only the largest counts; of a model that says the same of every sample.
    let logits = |path: &Path| {
        let values: Vec<f32> = (0..N).map(|i| i as f32 / 58.0).collect();
        npy(path, "logits", &[N], &values);
        rows(path, "logits.sound", &|p| [p, 0.5]);
    };
    asked(logits).unwrap();
    asked(|path| rows(path, "logits", &|_| [0.2, 0.6])).unwrap();
    asked(|path| rows(path, "logits", &|p| [10.0 * p, 5.0])).unwrap();
}

#[test]
fn each_subset_of_modalities_is_given_once() {
    let two = |names: [&'static str; 2]| {
        move |path: &Path| {
            for name in names {
                npy(path, name, &[N, 2], &numbers(N * 2));
            }
        }
    };
    // As a sum this would be sound alone.
    refused(
        two(["logits.image+image", "logits.image"]),
        &["`logits.image+image`", "expected each modality once, got `image` twice"],
    );
    refused(
        two(["logits.image+sound", "logits.sound+image"]),
        &["arrays `logits.image+sound` and `logits.sound+image`", "got two of one"],
    );
    refused(
        two(["logits", "logits.image+sound"]),
        &["arrays `logits.image+sound` and `logits`", "leave one of them out"],
    );
    // That of all modalities is the model's output.
    asked(|path: &Path| {
        npy(path, "logits.sound+image", &[N, 2], &numbers(N * 2));
        std::fs::remove_file(path.join("fused.npy")).unwrap();
    })
    .unwrap();
}

#[test]
fn few_groups_are_refused() {
    let groups = |count: usize| {
        move |path: &Path| {
            let of: Vec<f32> = (0..N).map(|i| (i / 2 % count) as f32).collect();
            npy(path, "groups", &[N], &of);
        }
    };
    // Which side gets one group, or two of three, is drawn.
    for (count, got) in [(1, "got"), (2, "got 1"), (3, "got"), (6, "got 3")] {
        refused(
            groups(count),
            &[
                "groups.npy: array `groups`",
                "expected at least 10 groups to",
                got,
                "leave `groups` out",
            ],
        );
    }
    asked(groups(30)).unwrap();
    // Class 2 has a group on each side: one half of those that fit would lack it.
    let two = |path: &Path| {
        let label = |i: usize| if i < 8 { 2.0 } else { (i % 2) as f32 };
        let group = |i: usize| if i < 8 { i / 4 } else { i / 2 } as f32;
        npy(path, "labels", &[N], &(0..N).map(label).collect::<Vec<_>>());
        npy(path, "groups", &[N], &(0..N).map(group).collect::<Vec<_>>());
    };
    let noted = asked(two).unwrap();
    assert!(
        noted.contains("1 of 3 classes have fewer than 4 samples of 2 groups on a side of the split"),
        "{noted}"
    );
}

#[test]
fn the_split_is_checked() {
    refused(
        |path| npy(path, "split", &[N], &vec![0.0; N]),
        &["`split`", "expected rows of 0 and of 1, got no 1"],
    );
    refused(
        |path| npy(path, "split", &[N], &vec![2.0; N]),
        &["row 0: expected 0 (fit probes) or 1 (evaluate)"],
    );
    let apart = |path: &Path| {
        npy(
            path,
            "split",
            &[N],
            &(0..N).map(|i| (i / 30) as f32).collect::<Vec<_>>(),
        );
        npy(
            path,
            "groups",
            &[N],
            &(0..N).map(|i| (i / 8) as f32).collect::<Vec<_>>(),
        );
    };
    refused(
        apart,
        &[
            "split.npy: array `split`",
            "groups.npy: array `groups`",
            "the group of row 30 is on both sides of the split",
        ],
    );
    let few = |path: &Path| {
        let of: Vec<f32> = (0..N).map(|i| if i < 16 { 1.0 } else { 0.0 }).collect();
        npy(path, "split", &[N], &of);
    };
    refused(
        few,
        &["labels.npy: array `labels`: expected at least 20 samples to evaluate, got 16"],
    );
}
