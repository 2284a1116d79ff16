//! From an export through predictions to a table, as a person would do it.

use std::fs;
use std::process::Command;

use clap::Parser;
use mmcollapse_data::predictions::{Block, Predicted};
use mmcollapse_data::{Batch, ModalitySpec, Presence, Rows as Numbers, Samples};
use mmcollapse_files::tell;
use mmcollapse_models::{CellConfig, Conditions as Training, Given, ModelSpec, Silent, run_cell};
use mmcollapse_nn::{Device, Mode, Tensor, safetensors};
use mmcollapse_record::{Preset, Score, Split};
use mmcollapse_run::plan::Planned;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::cli::fixture::{put, put_scores};
use crate::cli::{Cli, Program, Verb};
use crate::{CLAIMS, EXPERIMENTS, SPACES};

const PROGRAM: Program = Program {
    experiments: EXPERIMENTS,
    claims: CLAIMS,
    spaces: SPACES,
};

/// A folder with an export, a store and results of Table 4 on the excerpt, two seeds of the smoke preset.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a command line of the documentation, its files below this folder.
    fn run(&self, line: &str) -> Result<Ending> {
        let words = line.split_whitespace().map(|word| match word {
            "exchange" | "predictions.parquet" => self.path(word).display().to_string(),
            word => word.to_owned(),
        });
        let mut words: Vec<String> = words.collect();
        if words[1] == "compare" {
            let places = [("--store", "runs"), ("--results", "results")];
            words.extend(
                places
                    .iter()
                    .flat_map(|(flag, name)| [(*flag).to_owned(), self.path(name).display().to_string()]),
            );
        }
        words.push("--offline".to_owned());
        PROGRAM.run(
            Cli::try_parse_from(&words)
                .unwrap_or_else(|error| panic!("{line}: {error}"))
                .verb,
        )
    }

    fn plan(seeds: u64) -> Plan {
        let table4 = PROGRAM.find("table4").unwrap();
        let selection = Selection {
            seeds: Some(seeds),
            ..Selection::default()
        };
        let mut resolver = ModelResolver::new(true);
        let spec = spec_on(
            table4,
            Some("avmnist-embedded"),
            Preset::Smoke,
            &selection,
            &mut resolver,
        )
        .unwrap();
        Plan::of(table4, &spec, Preset::Smoke, &selection, &mut resolver).unwrap()
    }

    /// Puts made-up outcomes for every cell but those of concat without reallocation, which are trained: half right, a little more
    /// with each seed. Returns the trained ones with the file of their weights.
    fn fill(&self, seeds: u64) -> Vec<(Planned, Vec<Score>, PathBuf)> {
        let store = Store::new(&self.path("runs"));
        let mut trained = Vec::new();
        for planned in Self::plan(seeds).cells {
            if planned.row.name != "concat" {
                put(&store, &planned, None, 0.5 + planned.seed as f64 / 64.0);
                continue;
            }
            let config: CellConfig = serde_json::from_value(planned.cell.config.clone()).unwrap();
            let options = mmcollapse_data::LoadOptions {
                seed: planned.seed,
                offline: true,
                progress: false,
            };
            let dataset = mmcollapse_data::find(&config.dataset).unwrap().load(&options).unwrap();
            let shared = self.path("weights");
            let conditions = Training {
                shared: Some(&shared),
                ..Training::default()
            };
            let outcome = run_cell(&config, &dataset, &Device::Cpu, &mut Silent, conditions).unwrap();
            put_scores(&store, &planned, outcome.scores.clone());
            trained.push((planned, outcome.scores, shared.join(outcome.weights.unwrap())));
        }
        trained
    }

    fn index(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("exchange/index.json")).unwrap()).unwrap()
    }

    /// Predicts every condition from the exported arrays alone.
    fn predict(&self, model: impl Fn(u64, &str, &Exported) -> Vec<Vec<f64>>) -> Predicted {
        let mut predicted = Predicted {
            classes: 10,
            ..Predicted::default()
        };
        let load = |file: &Value| {
            let path = self.path("exchange").join(file.as_str().unwrap());
            safetensors::load_foreign(&path, &Device::Cpu).unwrap().0
        };
        for draw in self.index()["draws"].as_array().unwrap() {
            let modalities: Vec<ModalitySpec> = serde_json::from_value(draw["modalities"].clone()).unwrap();
            let data = load(&draw["file"]);
            let seed = draw["seed"].as_u64().unwrap();
            for training in draw["trainings"].as_array().unwrap() {
                let masks = load(&training["file"]);
                for condition in training["conditions"].as_array().unwrap() {
                    let text = |field: &str| condition[field].as_str().unwrap().to_owned();
                    let split = text("split");
                    let seen: Vec<Vec<u8>> = masks[&text("seen")].to_vec2().unwrap();
                    let n = seen.len();
                    let inputs = modalities.iter().map(|modality| {
                        let array: &Tensor = &data[&format!("{split}.{}", modality.name)];
                        Numbers::dense(n, array.flatten_all().unwrap().to_vec1().unwrap())
                    });
                    let exported = Exported {
                        samples: Samples {
                            ids: mmcollapse_data::Ids::Numbered(n),
                            inputs: inputs.collect(),
                            labels: vec![0; n],
                            present: Presence::all(n, modalities.len()),
                        },
                        seen: Presence::from_fn(n, modalities.len(), |i, m| seen[i][m] == 1),
                        modalities: modalities.clone(),
                    };
                    let rows = model(seed, training["name"].as_str().unwrap(), &exported);
                    let block = Block {
                        data: [text("data")].into(),
                        rows: rows.into_iter().enumerate().collect(),
                    };
                    predicted.blocks.insert((seed, text("name")), block);
                }
            }
        }
        predicted
    }
}

/// What an export says of a condition.
struct Exported {
    samples: Samples,
    seen: Presence,
    modalities: Vec<ModalitySpec>,
}

/// Class probabilities of logits, in double precision.
fn softmax(row: &[f32]) -> Vec<f64> {
    let e: Vec<f64> = row.iter().map(|x| libm::exp(f64::from(*x))).collect();
    let sum: f64 = e.iter().sum();
    e.iter().map(|e| e / sum).collect()
}

/// The values of a row's runs in `runs.csv`, by protocol, level, seed and metric; test scores only.
fn values(csv: &str, row: &str) -> Vec<String> {
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let place = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let wanted = ["protocol", "rate", "seed", "metric", "value", "n_test"].map(place);
    let own = lines.map(|line| line.split(',').collect::<Vec<_>>());
    let own = own.filter(|cells| cells[place("row")] == row && cells[place("metric")].starts_with("accuracy"));
    let mut values: Vec<String> = own.map(|cells| wanted.map(|column| cells[column]).join(" ")).collect();
    values.sort();
    values
}

/// The predictions of trained cells, made of the export alone and put through a file, have the cells' scores to the last digit.
#[test]
fn the_predictions_of_a_cell_stand_beside_it_with_its_scores() {
    let bench = Bench::new();
    let trained = bench.fill(2);
    assert_eq!(trained.len(), 4, "two protocols of two seeds");
    bench
        .run("mmcollapse export avmnist-embedded exchange --preset smoke --seed 0..2")
        .unwrap();
    let predicted = bench.predict(|seed, training, exported| {
        let is_own = |(planned, ..): &&(Planned, Vec<Score>, PathBuf)| {
            planned.seed == seed && training.starts_with(&planned.setting.to_string())
        };
        let (planned, _, weights) = trained.iter().find(is_own).unwrap();
        let config: CellConfig = serde_json::from_value(planned.cell.config.clone()).unwrap();
        // Of the data set the shapes and classes are needed; labels are those of the training.
        let options = mmcollapse_data::LoadOptions {
            seed,
            offline: true,
            progress: false,
        };
        let dataset = mmcollapse_data::find(&config.dataset).unwrap().load(&options).unwrap();
        let given = Given::of(&config, &dataset).unwrap();
        let model = ModelSpec::new(&config, &given.dataset)
            .unwrap()
            .build(&Device::Cpu)
            .unwrap();
        let mut state = model.params.state().unwrap();
        state.extend(safetensors::load(weights, &Device::Cpu).unwrap().0);
        model.params.load(&state).unwrap();
        let order: Vec<usize> = (0..exported.samples.len()).collect();
        let mut rows = Vec::new();
        for index in order.chunks(128) {
            let batch = Batch::new(
                &exported.samples,
                &exported.modalities,
                &exported.seen,
                index,
                &Device::Cpu,
            )
            .unwrap();
            let logits: Vec<Vec<f32>> = model.forward(&batch, Mode::Eval).unwrap().1.logits.to_vec2().unwrap();
            rows.extend(logits.iter().map(|row| softmax(row)));
        }
        rows
    });
    predicted.write(&bench.path("predictions.parquet")).unwrap();
    let compare =
        "mmcollapse compare table4 predictions.parquet --name mine --preset smoke --dataset avmnist-embedded --seeds 2";
    assert_eq!(bench.run(compare).unwrap(), Ending::Well);
    let folder = bench.path("results/table4/avmnist-embedded-smoke-with-mine");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let runs = read("runs.csv");
    let (own, cells) = (values(&runs, "mine"), values(&runs, "concat"));
    assert_eq!(own, cells);
    // Accuracy, complete, and each modality alone, of two protocols and two seeds.
    assert_eq!(own.len(), 16, "{own:?}");
    let scores = trained.iter().flat_map(|(_, scores, _)| scores);
    let accuracies: Vec<f64> = scores
        .filter(|score| score.split == Split::Test && score.metric.as_str() == "accuracy")
        .map(|score| score.value)
        .collect();
    assert!(
        accuracies.iter().any(|value| *value > 0.3),
        "models that learnt something: {accuracies:?}"
    );

    let table = read("table.md");
    for text in [
        "mine is external: not trained by this program",
        "| mine (external)",
        "## Whether mine (external) is better",
        "mine (external) against every other row",
        "mmcollapse compare table4 predictions.parquet --name mine --preset smoke --dataset avmnist-embedded",
    ] {
        assert!(table.contains(text), "{text}: {table}");
    }
    // Against itself the difference is 0 on both seeds.
    let of_concat = |line: &&str| line.starts_with("| Concat ") && line.contains("missing: accuracy");
    let verdict = table.lines().find(of_concat).unwrap();
    assert!(
        verdict.contains("+0.00 [+0.00, +0.00]") && verdict.contains("excluded"),
        "{verdict}"
    );
    let tests = read("tests.csv");
    let against: BTreeSet<&str> = tests
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(4).unwrap())
        .collect();
    assert_eq!(against.len(), 12, "{against:?}");
    assert!(folder.join("figure.svg").is_file() && folder.join("figure.png").is_file());
    let folders: Vec<_> = fs::read_dir(bench.path("results/table4")).unwrap().collect();
    assert_eq!(folders.len(), 1, "no other result is written");
    assert!(!bench.path("results/cells").exists());

    // Rows of ours are compared by the same rule, and rows that are not there are named.
    assert_eq!(
        bench
            .run(
                "mmcollapse compare table4 --rows concat+kd concat --preset smoke --dataset avmnist-embedded --seeds 2"
            )
            .unwrap(),
        Ending::Well
    );
    let error = bench
        .run("mmcollapse compare table4 --rows gated concat --preset smoke --dataset avmnist-embedded")
        .unwrap_err();
    assert!(error.to_string().contains("there is no row `gated`"), "{error}");
    for (name, expected) in [
        ("concat", "row `concat"),
        ("Mine", "expected a name"),
        ("a-with-b", "expected a name"),
    ] {
        let line = compare.replace("--name mine", &format!("--name {name}"));
        let error = bench.run(&line).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
}

/// What looks as if test labels were used is shown with a reason only.
#[test]
fn a_suspicion_needs_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let table4 = PROGRAM.find("table4").unwrap();
    let shown = |despite: Option<&str>| {
        let external = External {
            row: "mine".to_owned(),
            predictions: "0123456789abcdef".to_owned(),
            seeds: 2,
            lacking: vec![3, 7],
            rule: None,
            suspicion: Some("none is wrong".to_owned()),
            despite: despite.map(str::to_owned),
        };
        let text = external.text().join(" ");
        let rows = Rows {
            records: Vec::new(),
            provenance: Provenance::default(),
        };
        let error = beside(table4, rows, Vec::new(), external, folder.path()).unwrap_err();
        (error.to_string(), text)
    };
    let (refused, text) = shown(None);
    assert!(text.contains("mine lacks seeds that other rows have: 3, 7."), "{text}");
    assert!(
        refused.contains("mine: test labels may have been used") && refused.contains("none is wrong"),
        "{refused}"
    );
    // Then it is asked for what it stands beside.
    let (next, text) = shown(Some("the data are easy"));
    assert!(
        next.contains("none of the 0 cells to compare with has a seed of the predictions"),
        "{next}"
    );
    assert!(
        text.contains("mine may have seen test labels: none is wrong. Shown nevertheless: the data are easy"),
        "{text}"
    );
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}

/// Of what is asked of clap too: predictions need a name, and rows are two.
#[test]
fn what_is_asked_is_one_of_two() {
    for wrong in [
        "mmcollapse compare table4",
        "mmcollapse compare table4 --margin 2",
        "mmcollapse compare table4 p.parquet",
        "mmcollapse compare table4 --name mine",
        "mmcollapse compare table4 --rows concat",
        "mmcollapse compare table4 p.parquet --name mine --rows concat smil",
        "mmcollapse compare table4 p.parquet --name mine --margin 0",
        "mmcollapse export avmnist e --seed 3..3",
    ] {
        assert!(Cli::try_parse_from(wrong.split(' ')).is_err(), "{wrong}");
    }
    let right = Cli::try_parse_from("mmcollapse compare table4 p.parquet --name mine".split(' ')).unwrap();
    assert!(matches!(right.verb, Verb::Compare { .. }));
}

/// The commands of the page, as they stand there; and the example method, where Python has what it needs.
#[test]
fn the_commands_of_the_page_do_what_it_says() {
    let page = fs::read_to_string("../docs/compare.md").unwrap();
    let commands: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let walk = commands
        .iter()
        .take_while(|line| !line.contains("export avmnist exchange"));
    let walk: Vec<&str> = walk.copied().collect();
    let rows = commands.iter().find(|line| line.contains("--rows")).unwrap();
    let bench = Bench::new();
    bench.fill(1);
    let mut done = Vec::new();
    for line in walk.iter().chain([rows]) {
        let line = line.trim_start_matches("cargo ");
        if let Some(arguments) = line.strip_prefix("python ") {
            example(&bench, arguments);
        } else if !line.starts_with("reproduce ") {
            // Its rows are in the store.
            assert_eq!(
                bench.run(line).unwrap_or_else(|error| panic!("{line}: {error:?}")),
                Ending::Well
            );
        }
        done.push(line.split(' ').take(2).collect::<Vec<_>>().join(" "));
    }
    assert_eq!(
        done,
        [
            "reproduce table4",
            "mmcollapse export",
            "python scripts/example_method.py",
            "mmcollapse compare",
            "mmcollapse compare"
        ]
    );
    let table =
        fs::read_to_string(bench.path("results/table4/avmnist-embedded-smoke-with-my-method/table.md")).unwrap();
    assert!(table.contains("my-method (external)"), "{table}");
    // The other commands of the page are of the program too.
    for line in commands.iter().filter(|line| line.starts_with("cargo mmcollapse ")) {
        Cli::try_parse_from(line.trim_start_matches("cargo ").split(' '))
            .unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

/// Predicts by the example in Python; where it cannot run, the shares of the classes.
fn example(bench: &Bench, arguments: &str) {
    let python = std::env::var("MMCOLLAPSE_PYTHON").unwrap_or_else(|_| "python3".into());
    let probe = Command::new(&python)
        .args(["-c", "import numpy, pyarrow.parquet, torch"])
        .output();
    if !probe.is_ok_and(|output| output.status.success()) {
        tell!(
            "\n!!! SKIPPED: scripts/example_method.py: {python} has no torch with numpy and pyarrow; set MMCOLLAPSE_PYTHON\n"
        );
        let predicted = bench.predict(|_, _, exported| vec![vec![0.1; 10]; exported.samples.len()]);
        predicted.write(&bench.path("predictions.parquet")).unwrap();
        return;
    }
    let words: Vec<&str> = arguments.split(' ').collect();
    let output = Command::new(&python)
        .arg(format!("../{}", words[0]))
        .args(words[1..].iter().map(|word| bench.path(word)))
        .env("EPOCHS", "10")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // It learns: ten epochs of late fusion are far above the 10 % of a guess where nothing is missing.
    let plan = Bench::plan(1);
    let row = external_row("my-method", &[]).unwrap();
    let resolver = ModelResolver::new(true);
    let scored = exchange::scored(&plan, &bench.path("predictions.parquet"), &row, resolver.options(), &[]).unwrap();
    let scores = scored.records.iter().flat_map(|record| &record.outcome.scores);
    let complete: Vec<f64> = scores
        .filter(|s| s.metric.as_str() == "accuracy_complete")
        .map(|s| s.value)
        .collect();
    assert!(
        complete.len() == 2 && complete.iter().all(|value| *value > 0.5),
        "{complete:?}"
    );
}
