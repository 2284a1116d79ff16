//! Exports of planted data, and predictions that fit them and do not.

use std::fs;
use std::path::PathBuf;

use mmcollapse_data::predictions::{Block, Predicted};
use mmcollapse_nn::{Device, Tensor, safetensors};
use mmcollapse_record::{ExperimentInfo, Metric, Preset, Record, RowId, Shows, Split};
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::models::ModelResolver;
use crate::plan::Selection;

const SPEC: &str = "\
dataset: planted
modality: sound
rates: [0.9, 0.5]
protocols: [test_missing, train_availability, train_noise_3, missing]
fusions: {concat: {}, late_fusion: {}}
reallocations: {none: {}}
rows:
  - {fusion: [concat, late_fusion], reallocation: [none]}
presets:
  smoke: {seeds: 2, first_seed: 3, seconds: 1}
";

const EXPERIMENT: ExperimentInfo = ExperimentInfo::new("made-up", "Made up", SPEC, Shows::Scores);

/// Samples of each split of the planted data.
const TRAIN: usize = 48;
const VALIDATION: usize = 24;
const TEST: usize = 32;

/// Its classes; the label of test sample i is i modulo their number.
const CLASSES: usize = 4;

struct Exported {
    folder: TempDir,
    plan: Plan,
    written: Written,
}

fn plan(spec: &'static str) -> Plan {
    let experiment = ExperimentInfo { spec, ..EXPERIMENT };
    Plan::new(
        &experiment,
        Preset::Smoke,
        &Selection::default(),
        &mut ModelResolver::new(true),
    )
    .unwrap()
}

fn options() -> LoadOptions {
    LoadOptions {
        offline: true,
        ..LoadOptions::default()
    }
}

impl Exported {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(SPEC);
        let written = write(&plan, &options(), &folder.path().join("exchange")).unwrap();
        Self { folder, plan, written }
    }

    fn index(&self) -> Value {
        serde_json::from_slice(&fs::read(&self.written.index).unwrap()).unwrap()
    }

    fn path(&self, file: &Value) -> PathBuf {
        self.written.index.with_file_name(file.as_str().unwrap())
    }

    fn arrays(&self, of: &Value) -> std::collections::BTreeMap<String, Tensor> {
        safetensors::load_foreign(&self.path(&of["file"]), &Device::Cpu)
            .unwrap()
            .0
    }

    /// Predictions of every condition: the class that `said` names of the inputs of each sample, with the probability .7.
    fn predicted(&self, said: impl Fn(u64, &str, &[Vec<f32>]) -> usize) -> Predicted {
        let mut predicted = Predicted {
            classes: CLASSES,
            ..Predicted::default()
        };
        for draw in list(&self.index()["draws"]) {
            let seed = draw["seed"].as_u64().unwrap();
            let data = self.arrays(&draw);
            for training in list(&draw["trainings"]) {
                let masks = self.arrays(&training);
                for condition in list(&training["conditions"]) {
                    let split = condition["split"].as_str().unwrap();
                    let inputs = ["image", "sound"].map(|name| {
                        let of_split = &data[&format!("{split}.{name}")];
                        of_split.flatten_from(1).unwrap().to_vec2::<f32>().unwrap()
                    });
                    let seen: Vec<Vec<u8>> = masks[condition["seen"].as_str().unwrap()].to_vec2().unwrap();
                    assert_eq!(seen.len() as u64, condition["samples"].as_u64().unwrap());
                    let row = |sample: usize| {
                        let inputs = [inputs[0][sample].clone(), inputs[1][sample].clone()];
                        let mut row = vec![0.1; CLASSES];
                        row[said(seed, split, &inputs)] = 0.7;
                        (sample, row)
                    };
                    let block = Block {
                        data: [condition["data"].as_str().unwrap().to_owned()].into(),
                        rows: (0..seen.len()).map(row).collect(),
                    };
                    let name = condition["name"].as_str().unwrap().to_owned();
                    predicted.blocks.insert((seed, name), block);
                }
            }
        }
        predicted
    }

    fn scored(&self, predicted: &Predicted, baselines: &[Record]) -> Result<Scored> {
        let path = self.folder.path().join("predictions.parquet");
        predicted.write(&path).unwrap();
        scored(&self.plan, &path, &RowId::plain("mine", "none"), &options(), baselines)
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().unwrap().clone()
}

fn dataset(seed: u64) -> Dataset {
    let options = LoadOptions { seed, ..options() };
    mmcollapse_data::find("planted").unwrap().load(&options).unwrap()
}

/// The label of the sample with these inputs.
fn label(dataset: &Dataset, split: &str, inputs: &[Vec<f32>]) -> usize {
    let samples = match split {
        "test" => dataset.test.for_final_evaluation(),
        _ => &dataset.validation,
    };
    let same = |i: &usize| (0..2).all(|m| samples.row(m, *i) == inputs[m]);
    samples.labels[(0..samples.len()).find(same).unwrap()] as usize
}

#[test]
fn an_export_holds_what_cells_are_given_and_no_test_label() {
    let exported = Exported::new();
    assert_eq!(exported.written.seeds, 2);
    let draws = list(&exported.index()["draws"]);
    assert_eq!(
        draws
            .iter()
            .map(|draw| draw["seed"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [3, 4]
    );
    for draw in &draws {
        let own = dataset(draw["seed"].as_u64().unwrap());
        let data = exported.arrays(draw);
        let shapes: Vec<(&str, &[usize])> = data.iter().map(|(name, array)| (name.as_str(), array.dims())).collect();
        assert_eq!(
            shapes,
            [
                ("test.image", &[TEST, 1, 28, 28][..]),
                ("test.present", &[TEST, 2]),
                ("test.sound", &[TEST, 1, 20, 20]),
                ("train.image", &[TRAIN, 1, 28, 28]),
                ("train.labels", &[TRAIN]),
                ("train.present", &[TRAIN, 2]),
                ("train.sound", &[TRAIN, 1, 20, 20]),
                ("validation.image", &[VALIDATION, 1, 28, 28]),
                ("validation.labels", &[VALIDATION]),
                ("validation.present", &[VALIDATION, 2]),
                ("validation.sound", &[VALIDATION, 1, 20, 20]),
            ]
        );
        let of_index: Vec<String> = draw["arrays"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(of_index, data.keys().cloned().collect::<Vec<_>>());
        let numbers = |name: &str| data[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(numbers("train.sound"), own.train.inputs[1].numbers().into_owned());
        let labels: Vec<i64> = data["train.labels"].to_vec1().unwrap();
        assert!(labels.iter().map(|l| *l as u32).eq(own.train.labels.iter().copied()));
        // The same test samples in another order, in which neighbours are of any class.
        let rows: Vec<Vec<f32>> = data["test.image"].flatten_from(1).unwrap().to_vec2().unwrap();
        let test = own.test.for_final_evaluation();
        let places: Vec<usize> = rows
            .iter()
            .map(|row| (0..TEST).find(|i| test.row(0, *i) == *row).unwrap())
            .collect();
        let mut sorted = places.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..TEST));
        let cyclic = places
            .windows(2)
            .filter(|pair| (pair[0] + 1) % CLASSES == pair[1] % CLASSES)
            .count();
        assert!(cyclic < TEST / 2, "{places:?}");
        let path = exported.path(&draw["file"]);
        assert_eq!(draw["sha256"], sha256(fs::read(&path).unwrap()));
        let ids = fs::read_to_string(exported.path(&draw["ids"])).unwrap();
        assert!(ids.contains("train/0") && !ids.contains("test"), "{ids}");
        let names: Vec<String> = list(&draw["trainings"])
            .iter()
            .map(|t| t["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            names,
            [
                "test_missing",
                "train_availability/0.9",
                "train_availability/0.5",
                "train_noise_3/0.9",
                "train_noise_3/0.5",
                "missing/0.9",
                "missing/0.5",
            ]
        );
        for training in list(&draw["trainings"]) {
            masks_are_those_of_a_cell(&exported, &own, draw, &training);
        }
    }
}

/// The masks of a training, against those that are drawn for its cells.
fn masks_are_those_of_a_cell(exported: &Exported, own: &Dataset, draw: &Value, training: &Value) {
    let arrays = exported.arrays(training);
    let seed = draw["seed"].as_u64().unwrap();
    let name = training["name"].as_str().unwrap();
    let planned = exported.plan.cells.iter().find(|planned| {
        planned.seed == seed && serde_json::to_value(&planned.protocol).unwrap() == training["protocol"]
    });
    let config: CellConfig = serde_json::from_value(planned.unwrap().cell.config.clone()).unwrap();
    let given = Given::of(&config, own).unwrap();
    let mask = |name: &str| -> Vec<u8> { arrays[name].flatten_all().unwrap().to_vec1().unwrap() };
    assert_eq!(mask("train.seen"), bits(&given.train), "{name}");
    assert_eq!(mask("validation.seen"), bits(&given.validation), "{name}");
    // Where the protocol adds noise, the inputs that are learnt from are in its own file, and no others.
    let replaced = arrays.get("train.sound");
    assert_eq!(replaced.is_some(), name.starts_with("train_noise"), "{name}");
    assert!(!arrays.contains_key("train.image") && !arrays.contains_key("test.sound"));
    if let Some(noisy) = replaced {
        let noisy: Vec<f32> = noisy.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(noisy, given.dataset.train.inputs[1].numbers().into_owned());
        assert_ne!(noisy, own.train.inputs[1].numbers().into_owned());
    }
    // The missing ones are the same samples: each exported one is found by its inputs.
    let data = exported.arrays(draw);
    let rows: Vec<Vec<f32>> = data["test.image"].flatten_from(1).unwrap().to_vec2().unwrap();
    let test = own.test.for_final_evaluation();
    for (condition, described) in given.conditions.iter().zip(list(&training["conditions"])) {
        let seen = mask(described["seen"].as_str().unwrap());
        if condition.split() != Split::Test {
            assert_eq!(seen, bits(&condition.seen), "{name}");
            continue;
        }
        for (place, row) in rows.iter().enumerate() {
            let i = (0..TEST).find(|i| test.row(0, *i) == *row).unwrap();
            let expected = [0, 1].map(|m| u8::from(condition.seen.get(i, m)));
            assert_eq!(
                seen[2 * place..2 * place + 2],
                expected,
                "{}: {place}",
                described["name"]
            );
        }
    }
}

/// Of seed 3 all is predicted right but image 0's class, of seed 4 nothing is: 24 of 32, and 0 of 32.
#[test]
fn predictions_are_scored_by_the_labels_that_were_withheld() {
    let exported = Exported::new();
    let data = [dataset(3), dataset(4)];
    let predicted = exported.predicted(|seed, split, inputs| {
        let label = label(&data[seed as usize - 3], split, inputs);
        if seed == 4 || label == 0 {
            (label + 1) % CLASSES
        } else {
            label
        }
    });
    let scored = exported.scored(&predicted, &[]).unwrap();
    assert_eq!((scored.seeds(), scored.records.len()), (2, 14));
    let accuracy: Metric = "accuracy".parse().unwrap();
    let mut levels = 0;
    for record in &scored.records {
        let expected = if record.seed == 3 { 0.75 } else { 0.0 };
        let own = record.outcome.scores.iter();
        for score in own.filter(|score| score.metric == accuracy && score.split == Split::Test) {
            assert_eq!(
                (score.value, score.n, score.protocol),
                (expected, TEST, record.setting.protocol)
            );
            levels += 1;
        }
        let keys: Vec<&str> = record
            .outcome
            .scores
            .iter()
            .map(|score| score.metric.as_str())
            .collect();
        for key in [
            "accuracy_complete",
            "accuracy_only_image",
            "accuracy_only_sound",
            "as_tested",
        ] {
            assert!(keys.contains(&key), "{key}: {keys:?}");
        }
        assert!(record.outcome.scores.iter().all(|score| score.value == expected));
    }
    assert_eq!(levels, 16, "two levels of four protocols on two seeds");
    assert_eq!((scored.suspicion, scored.doubt), (None, None));
    // A protocol may be left out, and so may what is not required.
    let mut some = predicted.clone();
    some.blocks
        .retain(|(_, name), _| name.starts_with("test_missing/test_"));
    assert_eq!(exported.scored(&some, &[]).unwrap().records.len(), 2);
    // One seed is enough.
    some.blocks.retain(|(seed, _), _| *seed == 4);
    assert_eq!(exported.scored(&some, &[]).unwrap().seeds(), 1);
}

/// A change of good predictions, and what is said of it.
type Case = (&'static str, fn(&mut Predicted));

fn block<'a>(predicted: &'a mut Predicted, name: &str) -> &'a mut Block {
    predicted.blocks.get_mut(&(3, name.to_owned())).unwrap()
}

#[test]
fn what_does_not_fit_is_refused() {
    const TESTED: &str = "test_missing/test_0.9";
    let exported = Exported::new();
    let good = exported.predicted(|_, _, _| 0);
    exported.scored(&good, &[]).unwrap();
    let cases: [Case; 14] = [
        (
            "condition `test_missing/test_0.9`: 2 of 32 samples are missing: 5, 9",
            |p| {
                block(p, TESTED).rows.retain(|(sample, _)| ![5, 9].contains(sample));
            },
        ),
        ("condition `test_missing/test_0.9`: sample 7 is there twice", |p| {
            let rows = &mut block(p, TESTED).rows;
            rows.push(rows[7].clone());
        }),
        ("sample 32 is not asked of; the condition has 32 of 32 samples", |p| {
            block(p, TESTED).rows[0].0 = 32;
        }),
        (
            "seeds 9 are not those of made-up (smoke), expected seeds among 3 to 4",
            |p| {
                let moved = block(p, TESTED).clone();
                p.blocks.insert((9, TESTED.to_owned()), moved);
            },
        ),
        ("seed 3: condition `test_missing/test_0.95` is not known", |p| {
            let moved = block(p, TESTED).clone();
            p.blocks.insert((3, "test_missing/test_0.95".to_owned()), moved);
        }),
        ("sample 4: the probabilities sum to 1.2000, expected 1", |p| {
            block(p, TESTED).rows[4].1[0] = 0.9;
        }),
        ("sample 4: p1 is not a number", |p| {
            block(p, TESTED).rows[4].1[1] = f64::NAN;
        }),
        ("sample 4: p2 is -0.1, expected a probability from 0 to 1", |p| {
            block(p, TESTED).rows[4].1[2] = -0.1;
        }),
        ("sample 4: p3 is inf, expected a probability from 0 to 1", |p| {
            block(p, TESTED).rows[4].1[3] = f64::INFINITY;
        }),
        ("expected the probabilities of 4 classes, got 3", |p| {
            p.classes = 3;
            for block in p.blocks.values_mut() {
                block.rows.iter_mut().for_each(|(_, row)| row.truncate(3));
            }
        }),
        (
            "made of other data or masks than made-up (smoke) has: column `data` holds 0123, expected ",
            |p| {
                block(p, TESTED).data = ["0123".to_owned()].into();
            },
        ),
        ("made of other data or masks", |p| {
            // The masks of another seed.
            let other = p.blocks[&(4, TESTED.to_owned())].data.clone();
            block(p, TESTED).data = other;
        }),
        ("seed 3 lacks predictions of test_missing/test_0.9", |p| {
            p.blocks.remove(&(3, TESTED.to_owned()));
        }),
        ("seed 4 lacks predictions of missing/0.5/complete", |p| {
            p.blocks.remove(&(4, "missing/0.5/complete".to_owned()));
        }),
    ];
    for (expected, change) in cases {
        let mut predicted = good.clone();
        change(&mut predicted);
        let error = exported.scored(&predicted, &[]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(expected) && text.contains("predictions.parquet: "),
            "{expected}: {text}"
        );
        assert!(error.help().is_some(), "{text}: what to do");
    }
}

/// All right where the only row beside has a quarter right.
#[test]
fn a_test_without_an_error_is_suspicious() {
    let exported = Exported::new();
    let data = [dataset(3), dataset(4)];
    let row = exported.scored(&exported.predicted(|_, _, _| 0), &[]).unwrap().records;
    let perfect = |rows: &[Record], validation: bool| {
        let mut predicted = exported.predicted(|seed, split, inputs| label(&data[seed as usize - 3], split, inputs));
        predicted
            .blocks
            .retain(|(_, name), _| validation || !name.contains("validation"));
        exported.scored(&predicted, rows).unwrap().suspicion
    };
    // 64 samples of two seeds are too few to be odd; each protocol is judged by itself.
    assert_eq!(perfect(&row, false), None);
    let mut tallies = suspicion::Tallies::default();
    let setting = row[0].setting.clone();
    for seed in 0..4 {
        tallies.add(&setting, seed, Split::Test, 1.0, TEST);
    }
    let said = tallies.suspicion(&row).unwrap();
    assert!(
        said.contains("128 test samples is wrong; the best row has 25.0 %"),
        "{said}"
    );
    assert_eq!(tallies.suspicion(&[]), None);
    // Validation is no worse: nothing is odd about that.
    assert_eq!(perfect(&row, true), None);
}

#[test]
fn what_cannot_be_exported_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let inside: &str = Box::leak(
        SPEC.replace(
            "missing, train_availability, train_noise_3, missing]",
            "missing, upweighted_loss]",
        )
        .into(),
    );
    let error = write(&plan(inside), &options(), &folder.path().join("e"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("made-up: protocol `upweighted_loss` cannot be exported"),
        "{error}"
    );
    let error = write(&plan(SPEC), &options(), folder.path().parent().unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("expected an empty folder"), "{error}");
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing is left");
}

#[cfg(unix)]
#[test]
fn an_export_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let exported = Exported::new();
    let folder = exported.written.index.parent().unwrap();
    assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(
        fs::metadata(&exported.written.index).unwrap().permissions().mode() & 0o777,
        0o600
    );
}
