//! What holds for every method there is: the registries are walked, so that a new entry is tested by being there.

use std::collections::{BTreeMap, BTreeSet};

use mmcollapse_data::{
    Batch, Dataset, ModalitySpec, Presence,
    sets::{PlantedConfig, planted},
};
use mmcollapse_files::write_atomic;
use mmcollapse_nn::{Device, Mode, Tensor, safetensors};
use mmcollapse_record::{Score, Split};

use crate::{
    CellConfig, CellOutcome, Conditions, FUSIONS, MethodConfig, ModelError, ModelSpec, Observer, Protocol,
    REALLOCATIONS, Silent, Status,
    balancing::{BALANCINGS, Held, NONE},
    multimodal::Multimodal,
    run_cell,
    training::{Along, Fit, Objective, Phase, Progress, Readings, TrainingData, root_mean_square, under},
};

pub(crate) fn tiny() -> Dataset {
    planted(&PlantedConfig::tiny())
}

pub(crate) fn cell(fusion: &str, reallocation: &str, options: serde_json::Value) -> CellConfig {
    let mut config: CellConfig = serde_json::from_value(serde_json::json!({
        "dataset": "planted",
        "protocol": {"kind": "test_missing", "modality": "sound", "rates": [0.5, 0.9]},
        "fusion": {"method": fusion},
        "reallocation": {"method": reallocation},
        "training": {"epochs": 3, "batch_size": 8},
        "seed": 5,
    }))
    .unwrap();
    config.reallocation.options = options.as_object().cloned().unwrap_or_default();
    config.resolve().unwrap()
}

/// With a balancing; of no reallocation.
pub(crate) fn balanced(fusion: &str, balancing: &str, options: serde_json::Value) -> CellConfig {
    let mut config = cell(fusion, "none", serde_json::Value::Null);
    let options = options.as_object().cloned().unwrap_or_default();
    config.balancing = Some(MethodConfig {
        method: balancing.to_owned(),
        options,
    });
    config.resolve().unwrap()
}

fn every_method() -> Vec<CellConfig> {
    let mut cells = Vec::new();
    for fusion in FUSIONS {
        for reallocation in REALLOCATIONS {
            cells.push(cell(fusion.name, reallocation.name, serde_json::Value::Null));
        }
    }
    for options in [
        serde_json::json!({"regime": "literal", "epochs": 2, "turn_epochs": 1}),
        serde_json::json!({
            "turns": "psi_then_encoders", "turn_epochs": 1, "epochs": 2, "adversary": "confusion", "md": "pooled",
            "norm_gain": false, "gradient_penalty": 0.1, "stand_ins": 0.5, "stand_in_present": false, "start": "he",
        }),
        serde_json::json!({
            "regime": "literal", "epochs": 3, "turn_epochs": 1, "heads_only": true, "start": "near_identity",
            "trained_encoders": true,
        }),
        serde_json::json!({"turns": "semantic_then_both", "md": "mean", "start": "autoencoder", "autoencoder_epochs": 1}),
    ] {
        cells.push(cell("concat", "ebr", options));
    }
    for balancing in BALANCINGS.iter().filter(|balancing| balancing.name != NONE) {
        cells.push(balanced("concat", balancing.name, serde_json::Value::Null));
    }
    let mut narrow = cell("concat", "none", serde_json::Value::Null);
    narrow.fusion.options.insert("rank".to_owned(), 3.into());
    cells.push(narrow);
    cells.push(cell(
        "concat",
        "ebr_moved",
        serde_json::json!({"student": "sound", "of": {"heads_only": true, "regime": "literal", "epochs": 2, "turn_epochs": 1}}),
    ));
    cells
}

fn label(config: &CellConfig) -> String {
    let balancing = config.balancing.as_ref().map_or(NONE, |balancing| &balancing.method);
    format!(
        "{} + {} + {balancing}",
        config.fusion.method, config.reallocation.method
    )
}

/// The names of the variables that three steps in this phase moved.
pub(crate) fn moved(config: &CellConfig, phase: Option<Phase>, frozen: &[&str]) -> BTreeSet<String> {
    let (dataset, device) = (tiny(), Device::Cpu);
    let model = ModelSpec::new(config, &dataset).unwrap().build(&device).unwrap();
    let before = model.params.state().unwrap();
    let objective = Multimodal(&model);
    let mut training = model.reallocation.training(&config.training);
    training.epochs = 3; // the reversal's warm-up is 0 in the first epoch
    training.batch_size = 24;
    let fit = Fit {
        name: "multimodal".into(),
        label: "multimodal".into(),
        seed: 5,
        training,
        phases: Box::new(|progress| match phase {
            Some(_) => phase,
            None => model.reallocation.phase(progress),
        }),
        params: &model.params,
        along: Along::Nothing,
        frozen: frozen.iter().copied().map(str::to_owned).collect(),
        rate_factor: model.reallocation.rate_factor(),
        balancing: model.balancing.as_deref(),
        objective: &objective,
    };
    let presence = Presence::all(dataset.train.len(), 2);
    let index: Vec<usize> = (0..dataset.train.len()).collect();
    let data = TrainingData {
        samples: &dataset.train,
        modalities: &dataset.modalities,
        presence: &presence,
        index: &index,
        validation: Held {
            samples: &dataset.validation,
            presence: &dataset.validation.present,
        },
        device: &device,
    };
    let mut state = fit.start().unwrap();
    let unprobed = |_: usize| Ok(Readings::default());
    fit.run(&data, &mut state, &mut Silent, &unprobed, &mut |_, _| Ok(()))
        .unwrap();
    assert_eq!(state.step, 3);
    let vars: BTreeSet<String> = model.params.vars().into_iter().map(|(n, _)| n).collect();
    changed(&before, &model.params.state().unwrap())
        .into_iter()
        .filter(|n| vars.contains(n))
        .collect()
}

pub(crate) fn changed(a: &BTreeMap<String, Tensor>, b: &BTreeMap<String, Tensor>) -> BTreeSet<String> {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    a.iter()
        .filter(|(name, tensor)| values(tensor) != values(&b[*name]))
        .map(|(name, _)| name.clone())
        .collect()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all()
        .unwrap()
        .to_dtype(mmcollapse_nn::DType::F32)
        .unwrap()
        .to_vec1()
        .unwrap()
}

fn all_names(config: &CellConfig) -> BTreeSet<String> {
    let model = ModelSpec::new(config, &tiny()).unwrap().build(&Device::Cpu).unwrap();
    model.params.vars().into_iter().map(|(n, _)| n).collect()
}

#[test]
fn every_method_moves_all_its_parameters() {
    for config in every_method() {
        let turns = config.reallocation.options.get("turns");
        if turns.is_none_or(|turns| turns == "joint") {
            let mut expected = all_names(&config);
            if config.reallocation.method == "only" {
                // The other modality's encoder is cut off.
                expected.retain(|name| !under(name, "encoder.sound"));
            }
            let name = label(&config);
            assert_eq!(moved(&config, None, &[]), expected, "{name}");
        }
    }
}

/// The phases of EBR's training with these options, the first epochs of each.
fn turns(options: &serde_json::Value) -> Vec<Phase> {
    let config = cell("shaspec", "ebr", options.clone());
    let model = ModelSpec::new(&config, &tiny()).unwrap().build(&Device::Cpu).unwrap();
    let mut phases: Vec<Phase> = Vec::new();
    while let Some(phase) = model.reallocation.phase(&Progress {
        epoch: phases.len(),
        epochs: 9,
        semantic: &[0.0; 9][..phases.len()],
        phases: &phases.iter().map(|phase| phase.name).collect::<Vec<_>>(),
    }) {
        phases.push(phase);
    }
    phases
}

#[test]
fn each_turn_of_ebr_moves_what_its_formula_names() {
    let options = |turns: &str, heads_only: bool| {
        serde_json::json!({
            "regime": "literal", "turns": turns, "turn_epochs": 1, "lasting_stop": false, "heads_only": heads_only,
        })
    };
    let psi = |n: &String| under(n, "reallocation.psi");
    let heads = |n: &String| under(n, "encoder") || under(n, "reallocation.head");
    // Batch norm takes a convolution's bias away again, so plain SGD leaves it where it is.
    let cancelled = |n: &String| n.ends_with(".conv.bias");
    let check = |options: serde_json::Value, place: usize, name: &str, moves: &dyn Fn(&String) -> bool| {
        let config = cell("shaspec", "ebr", options.clone());
        let phase = turns(&options)[place];
        assert_eq!(phase.name, name);
        let mut expected = all_names(&config);
        expected.retain(|n| moves(n) && !cancelled(n));
        assert_eq!(
            without(moved(&config, Some(phase), &[]), cancelled),
            expected,
            "{options} {name}"
        );
    };
    // L_sem: encoders, h, hinv, fusion; not psi. L_md: psi descends, encoders and h ascend; hinv and fusion stay.
    check(options("alternate", false), 0, "semantic", &|n| !psi(n));
    check(options("alternate", false), 1, "adversarial", &|n| psi(n) || heads(n));
    check(options("psi_then_encoders", false), 1, "psi", &psi);
    check(options("psi_then_encoders", false), 2, "encoders", &heads);
    // The control: psi learns, and nothing of it reaches the encoders.
    check(options("alternate", true), 1, "adversarial", &psi);
    check(options("psi_then_encoders", true), 2, "encoders", &|_| false);
    check(options("joint", true), 0, "joint", &|_| true);
}

/// What is the same in a run of EBR and in its control: turns, steps of L_sem, start; also where the adversary stops.
#[test]
fn the_control_of_ebr_replays_its_turns() {
    let run = |heads_only: bool, turns: &str| -> Vec<String> {
        let config = cell(
            "concat",
            "ebr",
            serde_json::json!({
                "regime": "literal", "turns": turns, "turn_epochs": 1, "epochs": 8, "heads_only": heads_only,
                "optimizer": {"kind": "sgd", "lr": 0.05}, "lambda_md": 1.0,
            }),
        );
        let outcome = run_cell(&config, &tiny(), &Device::Cpu, &mut Silent, Conditions::default()).unwrap();
        let own = outcome.history.into_iter().filter(|record| record.fit == "multimodal");
        own.map(|record| record.phase).collect()
    };
    for (turns, stops) in [("alternate", true), ("psi_then_encoders", false)] {
        let whole = run(false, turns);
        assert_eq!(run(true, turns), whole);
        assert_eq!(
            whole.iter().filter(|phase| *phase == "semantic").count(),
            8,
            "{whole:?}"
        );
        assert_eq!(whole.last().map(String::as_str), Some("semantic"));
        let has_stopped = whole.windows(2).any(|pair| pair[0] == pair[1]);
        assert_eq!(has_stopped, stops, "{whole:?}");
    }
}

fn without(mut names: BTreeSet<String>, these: impl Fn(&String) -> bool) -> BTreeSet<String> {
    names.retain(|n| !these(n));
    names
}

#[test]
fn what_is_frozen_does_not_move() {
    let config = cell("concat", "none", serde_json::Value::Null);
    for frozen in [&["encoder.sound"][..], &["encoder.image", "encoder.sound"]] {
        let expected: BTreeSet<String> = all_names(&config)
            .into_iter()
            .filter(|name| !frozen.iter().any(|frozen| under(name, frozen)))
            .collect();
        assert_eq!(moved(&config, None, frozen), expected);
    }
}

#[test]
fn every_method_handles_every_missing_pattern() {
    let (dataset, device) = (tiny(), Device::Cpu);
    let patterns = [[true, true], [true, false], [false, true], [false, false]];
    for config in every_method() {
        let model = ModelSpec::new(&config, &dataset).unwrap().build(&device).unwrap();
        let mixed = Presence::from_fn(dataset.train.len(), 2, |i, m| patterns[i % 4][m]);
        let mut presences = vec![mixed];
        presences.extend(patterns.map(|p| Presence::from_fn(dataset.train.len(), 2, |_, m| p[m])));
        for presence in presences {
            let batch = Batch::new(&dataset.train, &dataset.modalities, &presence, &[0, 1, 2, 3], &device).unwrap();
            for mode in [Mode::Eval, Mode::Train { seed: 1, step: 2 }] {
                let (_, output) = model.forward(&batch, mode).unwrap();
                assert_eq!(output.logits.dims(), [4, 3], "{}", label(&config));
                assert!(
                    values(&output.logits).iter().all(|v| v.is_finite()),
                    "{} {presence:?}",
                    label(&config)
                );
            }
        }
    }
}

#[test]
fn absent_inputs_cannot_reach_the_prediction() {
    let (dataset, device) = (tiny(), Device::Cpu);
    let mut other = dataset.train.clone();
    other.inputs[1].numbers_mut().iter_mut().for_each(|v| *v += 3.0);
    let presence = Presence::from_fn(dataset.train.len(), 2, |_, m| m == 0);
    for config in every_method() {
        let model = ModelSpec::new(&config, &dataset).unwrap().build(&device).unwrap();
        let logits = [&dataset.train, &other].map(|samples| {
            let batch = Batch::new(samples, &dataset.modalities, &presence, &[0, 5, 9], &device).unwrap();
            values(&model.forward(&batch, Mode::Eval).unwrap().1.logits)
        });
        assert_eq!(logits[0], logits[1], "{}", label(&config));
    }
}

#[test]
fn every_method_trains_scores_and_is_saved_and_loaded() {
    let (dataset, device) = (tiny(), Device::Cpu);
    for config in every_method() {
        let name = label(&config);
        let outcome = run_cell(&config, &dataset, &device, &mut Silent, Conditions::default()).unwrap();
        let accuracies = outcome
            .scores
            .iter()
            .filter(|s| s.metric == "accuracy" && s.split == Split::Test);
        assert_eq!(accuracies.count(), 2, "{name}");
        let (losses, shares): (Vec<_>, Vec<_>) = outcome.scores.iter().partition(|s| s.split == Split::Train);
        let mut shares = shares.iter().filter(|s| s.metric.is_share());
        assert!(shares.all(|s| (0.0..=1.0).contains(&s.value)), "{name}");
        assert!(
            losses
                .iter()
                .any(|s| s.metric == "loss_semantic" && s.value.is_finite()),
            "{name}"
        );
        let json = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<CellOutcome>(&json).unwrap(), outcome, "{name}");

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let spec = ModelSpec::new(&config, &dataset).unwrap();
        let model = spec.build(&device).unwrap();
        safetensors::save(&path, &model.params.state().unwrap(), &BTreeMap::new()).unwrap();
        let again = ModelSpec { seed: 99, ..spec }.build(&device).unwrap();
        let saved = model.params.state().unwrap();
        assert!(!changed(&saved, &again.params.state().unwrap()).is_empty());
        let (state, _) = safetensors::load(&path, &device).unwrap();
        again.params.load(&state).unwrap();
        assert!(changed(&saved, &again.params.state().unwrap()).is_empty());
    }
}

#[test]
fn noise_on_one_modality_leaves_the_baseline_of_the_other_shared() {
    let (dataset, device) = (tiny(), Device::Cpu);
    let folder = tempfile::tempdir().unwrap();
    let run = |rate: f64, shared: Option<&std::path::Path>| {
        let config = CellConfig {
            protocol: Protocol::TrainNoise {
                modality: "sound".into(),
                rate,
                amplitude: 3.0,
            },
            ..cell("concat", "kd", serde_json::Value::Null)
        };
        let folders = Conditions {
            shared,
            ..Conditions::default()
        };
        let mut count = Count::default();
        let outcome = run_cell(&config, &dataset, &device, &mut count, folders).unwrap();
        (outcome.scores, outcome.history, count.0)
    };
    let (shared, alone) = (Some(folder.path()), run(0.75, None));
    let epochs = alone.2;
    assert_eq!(run(0.25, shared).2, epochs);
    let again = run(0.75, shared);
    assert_eq!(again.2, epochs / 5 * 4, "all but the image's baseline");
    assert_eq!((again.0, again.1), (alone.0, alone.1));
}

/// Stops after so many epochs.
pub(crate) struct StopAfter(pub usize);

impl Observer for StopAfter {
    fn epoch(&mut self, _: &str, _: usize, _: usize, _: &[(&str, f64)]) {
        self.0 -= 1;
    }

    fn should_stop(&self) -> bool {
        self.0 == 0
    }
}

fn checkpoint(folder: &tempfile::TempDir) -> Conditions<'_> {
    Conditions {
        checkpoint: Some(folder.path()),
        ..Conditions::default()
    }
}

/// Counts the epochs that are really trained.
#[derive(Default)]
struct Count(usize);

impl Observer for Count {
    fn epoch(&mut self, _: &str, _: usize, _: usize, _: &[(&str, f64)]) {
        self.0 += 1;
    }
}

#[test]
fn what_cells_would_train_alike_is_trained_once_with_the_same_bits() {
    let (dataset, device) = (tiny(), Device::Cpu);
    let folder = tempfile::tempdir().unwrap();
    let shared = Conditions {
        shared: Some(folder.path()),
        ..Conditions::default()
    };
    let run = |fusion: &str, reallocation: &str, folders: Conditions<'_>| {
        let mut count = Count::default();
        let config = cell(fusion, reallocation, serde_json::Value::Null);
        let outcome = run_cell(&config, &dataset, &device, &mut count, folders).unwrap();
        (outcome.scores, outcome.history, outcome.diagnosis, count.0)
    };
    let alone = ["none", "kd"].map(|method| run("concat", method, Conditions::default()));
    let (vanilla, kd) = (alone[0].3, alone[1].3);
    assert_eq!(kd, 5 * vanilla); // two unimodal fits, the diagnosis, the distillation and the model
    let trained = |method: &str, expected: usize| {
        let again = run("concat", method, shared);
        let same = &alone[usize::from(method == "kd")];
        assert_eq!((&again.0, &again.1, &again.2), (&same.0, &same.1, &same.2));
        assert_eq!(again.3, expected);
    };
    trained("none", vanilla);
    trained("none", 0);
    trained("kd", 4 * vanilla);
    trained("kd", 0);
    let own = run("shaspec", "kd", Conditions::default());
    let taught_alike = own.2.student == alone[1].2.student;
    let again = run("shaspec", "kd", shared);
    assert_eq!((&again.0, &again.1, &again.2), (&own.0, &own.1, &own.2));
    assert!(
        taught_alike,
        "the two fusions let one modality collapse, so that one distillation serves both"
    );
    assert_eq!(
        again.3,
        2 * vanilla,
        "the unimodal fits and the distilled encoder serve every fusion"
    );

    // A file that was cut off or changed is no reason to stop, nor to believe it.
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 3;
        bytes[last] ^= 0x40;
        write_atomic(&path, &bytes).unwrap();
    }
    trained("kd", 5 * vanilla);
    for file in std::fs::read_dir(folder.path()).unwrap() {
        write_atomic(&file.unwrap().path(), b"half a fi").unwrap();
    }
    trained("none", vanilla);
    trained("none", 0);
}

/// What differs at evaluation alone is scored with the weights that another cell has left, and so are those of a run that
/// diverged.
#[test]
fn another_evaluation_of_a_trained_model_trains_nothing() {
    let (dataset, folder) = (tiny(), tempfile::tempdir().unwrap());
    let shared = Conditions {
        shared: Some(folder.path()),
        ..Conditions::default()
    };
    let run = |config: &CellConfig, folders: Conditions<'_>| {
        let mut count = Count::default();
        let outcome = run_cell(config, &dataset, &Device::Cpu, &mut count, folders).unwrap();
        ((outcome.status, outcome.scores, outcome.history), count.0)
    };
    let whole = cell("concat", "ebr", serde_json::json!({"regime": "stable"}));
    let mut unaided = whole.clone();
    unaided.substitution = MethodConfig::named("none");
    let (mut other_rates, mut blown) = (whole.clone(), whole.clone());
    other_rates.protocol = Protocol::TestMissing {
        modality: "sound".to_owned(),
        rates: vec![0.3],
    };
    assert!(run(&whole, shared).1 > 0);
    for config in [&unaided, &other_rates] {
        let (outcome, epochs) = run(config, shared);
        assert_eq!((epochs, outcome), (0, run(config, Conditions::default()).0));
    }
    blown.training.blow_up = 1e-6;
    let (outcome, epochs) = run(&blown, shared);
    assert!(
        matches!(outcome.0, Status::Diverged { .. }) && epochs == 1,
        "{outcome:?}"
    );
    assert_eq!(run(&blown, shared), (outcome, 0));
}

/// A measure that an experiment asks for is scored beside what the protocol scores, and from kept weights without training.
#[test]
fn a_measure_that_is_asked_for_later_needs_no_training() {
    let (dataset, folder) = (tiny(), tempfile::tempdir().unwrap());
    let config = cell("concat", "kd", serde_json::Value::Null);
    let run = |conditions: Conditions<'_>| {
        let mut count = Count::default();
        let outcome = run_cell(&config, &dataset, &Device::Cpu, &mut count, conditions);
        (outcome, count.0)
    };
    let shared = Conditions {
        shared: Some(folder.path()),
        ..Conditions::default()
    };
    let asked = ["rank_effective", "cka_{}", "encoder_{}", "encoders"].map(str::to_owned);
    let later = Conditions {
        measures: &asked,
        only_measure: true,
        ..shared
    };
    assert!(matches!(run(later).0, Err(ModelError::NoWeights { .. })));
    let plain = run(shared).0.unwrap();
    assert!(folder.path().join(plain.weights.as_ref().unwrap()).is_file());
    let (measured, epochs) = run(later);
    let measured = measured.unwrap();
    assert_eq!(epochs, 0);
    let is_new = |score: &&Score| {
        let new = ["rank_effective", "cka_", "encoder"];
        new.iter().any(|new| score.metric.as_str().starts_with(new))
    };
    assert_eq!(measured.scores.iter().filter(is_new).count(), 6);
    let value = |key: &str| measured.scores.iter().find(|score| score.metric == *key).unwrap().value;
    let [image, sound] = [value("encoder_image"), value("encoder_sound")];
    assert!((value("encoders") - f64::midpoint(image, sound)).abs() < 1e-12);
    assert!(
        image > 0.5 && sound > 0.5,
        "what an encoder has learnt is read by a probe: {image}, {sound}"
    );
    let old: Vec<&Score> = measured.scores.iter().filter(|score| !is_new(score)).collect();
    assert_eq!(old, plain.scores.iter().collect::<Vec<_>>());
    let added = measured
        .measured
        .keys()
        .filter(|key| !plain.measured.contains_key(*key));
    assert_eq!(
        added.collect::<Vec<_>>(),
        ["cka_{}", "encoder_{}", "encoders", "rank_effective"]
    );
    assert_eq!(measured.weights, plain.weights);
}

#[test]
fn a_cell_stopped_after_every_epoch_ends_with_the_same_bits() {
    let (dataset, device) = (tiny(), Device::Cpu);
    for config in every_method() {
        let whole = run_cell(&config, &dataset, &device, &mut Silent, Conditions::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut stops = 0;
        let pieces = loop {
            let mut observer = StopAfter(1);
            match run_cell(&config, &dataset, &device, &mut observer, checkpoint(&folder)) {
                Ok(outcome) => break outcome,
                Err(ModelError::Interrupted) => stops += 1,
                Err(e) => panic!("{}: {e}", label(&config)),
            }
        };
        assert!(stops >= 3, "{}: stopped {stops} times", label(&config));
        assert_eq!(pieces.history, whole.history, "{}", label(&config));
        assert_eq!(pieces.scores, whole.scores, "{}", label(&config));
        assert_eq!(pieces.diagnosis, whole.diagnosis, "{}", label(&config));
    }
}

#[test]
fn a_checkpoint_of_another_cell_is_refused() {
    let (dataset, device) = (tiny(), Device::Cpu);
    let folder = tempfile::tempdir().unwrap();
    let config = cell("concat", "none", serde_json::Value::Null);
    let stopped = run_cell(&config, &dataset, &device, &mut StopAfter(1), checkpoint(&folder));
    assert!(matches!(stopped, Err(ModelError::Interrupted)));
    let other = CellConfig { seed: 6, ..config };
    let error = run_cell(&other, &dataset, &device, &mut Silent, checkpoint(&folder)).unwrap_err();
    assert!(matches!(error, ModelError::Checkpoint { .. }), "{error}");
}

#[test]
fn methods_of_a_comparison_start_from_the_same_encoders() {
    let initial = |config: &CellConfig| {
        let model = ModelSpec::new(config, &tiny()).unwrap().build(&Device::Cpu).unwrap();
        let state = model.params.state().unwrap();
        state
            .into_iter()
            .filter(|(n, _)| under(n, "encoder"))
            .map(|(n, t)| (n, values(&t)))
            .collect::<Vec<_>>()
    };
    let first = initial(&every_method()[0]);
    for config in every_method() {
        assert_eq!(initial(&config), first, "{}", label(&config));
    }
}

#[test]
fn kd_distils_the_modality_that_collapses() {
    let dataset = tiny();
    let outcome = run_cell(
        &cell("concat", "kd", serde_json::Value::Null),
        &dataset,
        &Device::Cpu,
        &mut Silent,
        Conditions::default(),
    )
    .unwrap();
    let collapse = outcome.diagnosis.collapse.unwrap();
    assert_eq!(outcome.diagnosis.student, collapse.collapsed.clone());
    let gap = |d: &mmcollapse_record::ModalityDiagnosis| d.unimodal.unwrap() - d.prefix.unwrap();
    let widest = collapse.modalities.iter().map(gap).fold(f64::MIN, f64::max);
    let found = collapse
        .modalities
        .iter()
        .find(|d| Some(&d.modality) == collapse.collapsed.as_ref())
        .unwrap();
    assert!(gap(found) >= widest);
    let fits: BTreeSet<&str> = outcome.history.iter().map(|r| r.fit.as_str()).collect();
    assert_eq!(fits.len(), 5, "{fits:?}"); // two unimodal, diagnosis, distillation, multimodal
}

#[test]
fn an_encoder_is_moved_from_a_model_with_ebr() {
    let run = |reallocation: &str, options: serde_json::Value| {
        let config = cell("concat", reallocation, options);
        run_cell(&config, &tiny(), &Device::Cpu, &mut Silent, Conditions::default()).unwrap()
    };
    let small = || serde_json::json!({"hidden": 16, "latent": 8});
    let moved = run("ebr_moved", serde_json::json!({"of": small()}));
    let collapse = moved.diagnosis.collapse.clone().unwrap();
    assert_eq!(moved.diagnosis.student, collapse.collapsed);
    let fits: BTreeSet<&str> = moved.history.iter().map(|r| r.fit.as_str()).collect();
    assert_eq!(
        fits.into_iter().collect::<Vec<_>>(),
        ["diagnosis", "moved", "multimodal", "unimodal/image", "unimodal/sound"]
    );
    // It is trained as a cell with EBR is, and its check reads the latents there.
    let ebr = run("ebr", small());
    let losses = |outcome: &CellOutcome, fit: &str| -> Vec<f64> {
        let own = outcome.history.iter().filter(|record| record.fit == fit);
        own.map(|record| record.losses["modality"]).collect()
    };
    assert_eq!(losses(&moved, "moved"), losses(&ebr, "multimodal"));
    assert!(
        moved
            .history
            .iter()
            .filter(|r| r.fit == "multimodal")
            .all(|r| !r.losses.contains_key("modality"))
    );
    let check = |outcome: &CellOutcome| -> Vec<f64> {
        let names = ["confusion", "confusion_shuffled", "latent_image", "latent_sound"];
        let of = |name: &str| outcome.scores.iter().find(|score| score.metric == name).unwrap().value;
        names.map(of).to_vec()
    };
    assert_eq!(check(&moved), check(&ebr));
    // One modality's head and decoder come with it.
    let plain = run("none", serde_json::Value::Null);
    let width = 320; // of the sound's encoder
    let two_layers = |from: usize, to: usize| from * 16 + 16 + 16 * to + to;
    assert_eq!(
        moved.parameters - plain.parameters,
        two_layers(width, 8) + two_layers(8, width) + 2 * 8
    );
}

#[test]
fn an_unbounded_ascent_is_recorded_as_diverged() {
    let config = cell(
        "concat",
        "ebr",
        serde_json::json!({
            "regime": "literal", "turns": "joint", "lasting_stop": false, "lambda_md": 1e6, "epochs": 20,
            "optimizer": {"kind": "sgd", "lr": 1.0},
        }),
    );
    let outcome = run_cell(&config, &tiny(), &Device::Cpu, &mut Silent, Conditions::default()).unwrap();
    assert!(
        matches!(outcome.status, Status::Diverged { .. }),
        "{:?}",
        outcome.status
    );
    assert!(
        outcome
            .scores
            .iter()
            .any(|s| s.metric == "accuracy" && s.split == Split::Test)
    );
    let json = serde_json::to_string(&outcome).unwrap();
    serde_json::from_str::<CellOutcome>(&json).unwrap();
}

/// A latent that is normalised stays small whatever its encoder does, which must be seen nevertheless.
#[test]
fn an_encoder_that_grows_behind_a_normalised_latent_is_watched() {
    let (dataset, device) = (tiny(), Device::Cpu);
    let config = cell("concat", "ebr", serde_json::Value::Null);
    let model = ModelSpec::new(&config, &dataset).unwrap().build(&device).unwrap();
    let presence = Presence::all(dataset.train.len(), 2);
    let batch = Batch::new(&dataset.train, &dataset.modalities, &presence, &[0, 5, 9, 11], &device).unwrap();
    let progress = Progress {
        epoch: 0,
        epochs: 3,
        semantic: &[],
        phases: &[],
    };
    let size = || -> f32 {
        let losses = Multimodal(&model).losses(&batch, Mode::Eval, &progress).unwrap();
        losses.size.to_scalar().unwrap()
    };
    assert!(size() < 10.0);
    for (_, var) in model.params.vars_under("encoder.image.conv2") {
        var.set(&(var.as_tensor() * 1e5).unwrap()).unwrap();
    }
    let encodings = model.encode(&batch, Mode::Eval).unwrap();
    let latent = encodings.latents[0].as_ref().unwrap();
    let of = |x: &Tensor| -> f32 { root_mean_square(x).unwrap().to_scalar().unwrap() };
    assert!(of(&latent.g) < 10.0 && of(&encodings.z[0]) < 10.0);
    assert!(size() > 1e3 && size() == of(&latent.encoded));
}

#[test]
fn m3care_keeps_encodings_without_dropout() {
    let (dataset, device) = (tiny(), Device::Cpu);
    let config = cell("m3care", "none", serde_json::Value::Null);
    let model = ModelSpec::new(&config, &dataset).unwrap().build(&device).unwrap();
    let presence = Presence::from_fn(dataset.train.len(), 2, |i, m| m == 0 || i != 5);
    let batch = Batch::new(&dataset.train, &dataset.modalities, &presence, &[0, 5, 9, 11], &device).unwrap();
    let (dropped, _) = model.forward(&batch, Mode::Train { seed: 1, step: 0 }).unwrap();
    let (clean, state) = (model.encode(&batch, Mode::Eval).unwrap(), model.params.state().unwrap());
    for (m, name) in ["image", "sound"].iter().enumerate() {
        let held = state[&format!("fusion.bank.z.{name}")].narrow(0, 0, 4).unwrap();
        assert_eq!(values(&held), values(&clean.z[m]));
        assert_ne!(values(&held), values(&dropped.z[m]));
    }
    let present = values(&state["fusion.bank.present"].narrow(0, 0, 4).unwrap());
    assert_eq!(present, [1., 1., 1., 0., 1., 1., 1., 1.]);
}

#[test]
fn scarce_sound_is_scarce_in_training_and_absent_at_test() {
    let dataset = tiny();
    let config = CellConfig {
        protocol: Protocol::TrainAvailability {
            modality: "sound".into(),
            rate: 0.8,
        },
        ..cell("shaspec", "kd", serde_json::Value::Null)
    };
    let outcome = run_cell(&config, &dataset, &Device::Cpu, &mut Silent, Conditions::default()).unwrap();
    let score = |metric: &str| {
        outcome
            .scores
            .iter()
            .find(|s| s.metric == metric && s.split == Split::Test)
            .unwrap()
            .value
    };
    assert_eq!(score("accuracy"), score("accuracy_only_image"));
}

/// Of the shapes of mnist-svhn.
#[test]
fn concat_learns_from_a_grey_and_a_coloured_image() {
    let dataset = planted(&PlantedConfig {
        modalities: vec![
            ModalitySpec::new("mnist", &[1, 28, 28]),
            ModalitySpec::new("svhn", &[3, 32, 32]),
        ],
        classes: 3,
        train: 16,
        signal: vec![2.0, 2.0],
        ..PlantedConfig::default()
    });
    let mut config = cell("concat", "none", serde_json::Value::Null);
    config.training.epochs = 20;
    config.protocol = Protocol::TestMissing {
        modality: "svhn".into(),
        rates: vec![0.5],
    };
    let outcome = run_cell(&config, &dataset, &Device::Cpu, &mut Silent, Conditions::default()).unwrap();
    for name in ["accuracy", "accuracy_only_mnist", "accuracy_only_svhn"] {
        let of = |score: &&Score| score.metric == name && score.split == Split::Test;
        let score = outcome.scores.iter().find(of).unwrap();
        assert!(score.value > 0.5, "{name}: {}", score.value);
    }
}

#[test]
fn a_configuration_that_does_not_fit_says_what_does() {
    let dataset = tiny();
    let mut config = cell("concat", "none", serde_json::Value::Null);
    config.protocol = Protocol::TestMissing {
        modality: "smell".into(),
        rates: vec![0.5],
    };
    let error = run_cell(&config, &dataset, &Device::Cpu, &mut Silent, Conditions::default()).unwrap_err();
    assert!(error.to_string().contains("image, sound"), "{error}");

    let mut config = cell("concat", "none", serde_json::Value::Null);
    config.fusion = MethodConfig::named("conct");
    let error = config.resolve().unwrap_err();
    assert!(error.to_string().contains("conct"), "{error}");

    let mut config = cell("concat", "none", serde_json::Value::Null);
    config.substitution = MethodConfig::named("target");
    let error = config.resolve().unwrap_err();
    assert!(error.to_string().contains("only protocol `patterns`"), "{error}");
}
