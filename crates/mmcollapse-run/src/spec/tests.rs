//! Specs that are read, refused and laid over.

use std::fmt::Write as _;

use super::error::find_key;
use super::*;
use mmcollapse_record::Preset;
use serde_json::json;

const SPEC: &str = "\
dataset: avmnist
modality: sound
rates: [0.95, 0.9]
protocols: [test_missing]
training: {epochs: 60}
fusions:
  concat: {config: {method: concat}}
  shaspec: {config: {method: shaspec}, cost: 2}
reallocations:
  none: {config: {method: none}}
  ebr:
    config: {method: ebr}
rows:
  - {fusion: [concat, shaspec], reallocation: [none]}
  - {fusion: [shaspec], reallocation: [ebr]}
presets:
  smoke: {seeds: 2, seconds: 1}
";

fn error(text: &str) -> String {
    Spec::parse("experiments/t/spec.yaml", text).unwrap_err().to_string()
}

#[test]
fn rows_are_products() {
    let names = |text: &str| {
        let spec = Spec::parse("s", text).unwrap();
        let rows = spec.rows(&spec.presets[&Preset::Smoke]);
        rows.into_iter().map(|row| row.name).collect::<Vec<_>>()
    };
    assert_eq!(names(SPEC), ["concat", "shaspec", "shaspec+ebr"]);
    // A preset may have rows of its own.
    let own = "seeds: 2, rows: [{fusion: [concat], reallocation: [ebr]}]";
    assert_eq!(names(&SPEC.replace("seeds: 2", own)), ["concat+ebr"]);
}

#[test]
fn unknown_keys_are_refused_with_their_line() {
    let text = SPEC.replace("modality: sound", "modalty: sound");
    let message = error(&text);
    assert!(
        message.starts_with("experiments/t/spec.yaml:2:1: unknown field `modalty`"),
        "{message}"
    );

    let text = SPEC.replace(
        "    config: {method: ebr}",
        "    config: {method: ebr}\n    trainin: {}",
    );
    let message = error(&text);
    assert!(message.starts_with("experiments/t/spec.yaml:13:5:"), "{message}");
    assert!(message.contains("unknown field `trainin`"), "{message}");

    let text = SPEC.replace("seeds: 2", "seed: 2");
    let message = error(&text);
    assert!(message.starts_with("experiments/t/spec.yaml:17:"), "{message}");
    assert!(message.contains("unknown field `seed`"), "{message}");
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_line() {
    let message = error(&SPEC.replace("modality: sound", "modality: [sound"));
    assert!(message.starts_with("experiments/t/spec.yaml:"), "{message}");
    let message = error(&SPEC.replace("rates: [0.95, 0.9]", "rates: [95, 90]"));
    assert!(
        message.starts_with("experiments/t/spec.yaml:3:1: a rate is"),
        "{message}"
    );
    let message = error(&SPEC.replace("fusion: [shaspec]", "fusion: [shapec]"));
    assert!(
        message.contains("`shapec`") && message.contains("concat, shaspec"),
        "{message}"
    );
    let message = error(&format!("{SPEC}  smoke: {{seeds: 3, seconds: 1}}\n"));
    assert!(message.contains("duplicate"), "{message}");
    let message = error(&SPEC.replace("training: {epochs: 60}", "training: {epochs: 60, epochs: 70}"));
    assert!(message.contains("duplicate"), "{message}");
    let message = error(&SPEC.replace("[shaspec], reallocation: [ebr]", "[concat], reallocation: [none]"));
    assert!(message.contains("row `concat` is there twice"), "{message}");
    let message = error(&SPEC.replace("smoke: {", "smok: {"));
    assert!(message.contains("unknown variant `smok`"), "{message}");
    let message = error(&SPEC.replace("seeds: 2", "seeds: 0"));
    assert!(message.contains("no seeds"), "{message}");
    let message = error(&SPEC.replace("reallocation: [ebr]}", "reallocation: [ebr], rates: [0.123]}"));
    assert!(message.contains("wants the level 0.123"), "{message}");
    let message = error(&SPEC.replace(
        "    config: {method: ebr}",
        "    twin: heads\n    config: {method: ebr}",
    ));
    assert!(
        message.contains("reallocation `ebr` has the twin `heads`, which is not there"),
        "{message}"
    );
    let message = error(&SPEC.replace(
        "    config: {method: ebr}",
        "    dose: {series: a, at: 0}\n    config: {method: ebr}",
    ));
    assert!(
        message.contains("the dose of `ebr` must be a number above 0, got 0"),
        "{message}"
    );
}

#[test]
fn settings_of_several_experiments_lie_under_the_spec() {
    let common = "\
encoders: {codes: {method: code_transformer, width: 64}}
training: {epochs: 30, batch_size: 64}
reallocations:
  ebr: {config: {method: kd}, cost: 9}
  kd: {config: {method: kd}, cost: 3}
presets:
  smoke:
    training: {epochs: 2}
    reallocations: {kd: {training: {epochs: 1}}}
    encoders: {codes: {method: code_bag}}
    datasets: {large: {training: {epochs: 1}}}
  quick: {training: {epochs: 12}}
";
    let on = |spec, common| ExperimentInfo {
        common: Some(("experiments/common.yaml", common)),
        ..ExperimentInfo::new("t", "T", spec, mmcollapse_record::Shows::Scores)
    };
    let experiment = |common| on(SPEC, common);
    let mut spec = Spec::of(&experiment(common)).unwrap();
    // Rows may be of a reallocation that is shared; the spec's own wins.
    let names: Vec<&String> = spec.reallocations.keys().collect();
    assert_eq!(names, ["ebr", "kd", "none"]);
    assert_eq!(spec.reallocations["ebr"].cost, None);
    assert_eq!(
        Value::from(spec.presets[&Preset::Smoke].reallocations["kd"].training.clone()),
        json!({"epochs": 1})
    );
    let of_shared: &'static str = Box::leak(SPEC.replace("[ebr]", "[kd]").into_boxed_str());
    assert!(Spec::of(&on(of_shared, common)).is_ok());
    // The spec has 60 epochs of its own, and no preset `quick`.
    assert_eq!(
        Value::from(spec.training.clone()),
        json!({"epochs": 60, "batch_size": 64})
    );
    assert_eq!(spec.presets.len(), 1);
    let smoke = &spec.presets[&Preset::Smoke];
    assert_eq!(Value::from(smoke.training.clone()), json!({"epochs": 2}));
    assert_eq!(
        Value::from(smoke.encoders.clone()),
        json!({"codes": {"method": "code_bag"}})
    );
    for (dataset, epochs) in [("small", 2), ("large", 1)] {
        spec.on(dataset);
        assert_eq!(
            Value::from(spec.presets[&Preset::Smoke].training.clone()),
            json!({"epochs": epochs})
        );
    }
    let error = Spec::of(&experiment("training: {}\nfusions: {}\n"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("experiments/common.yaml:2:1: unknown field `fusions`"),
        "{error}"
    );
}

#[test]
fn another_data_set_may_have_its_own_rows() {
    let text = |row| SPEC.replace("seeds: 2", &format!("seeds: 2, datasets: {{large: {{rows: [{row}]}}}}"));
    let mut spec = Spec::parse("s", &text("{fusion: [concat], reallocation: [ebr], seeds: 1}")).unwrap();
    let names = |spec: &Spec| -> Vec<String> {
        let rows = spec.rows(&spec.presets[&Preset::Smoke]);
        rows.into_iter().map(|row| row.name).collect()
    };
    let own = names(&spec);
    spec.on("small");
    assert_eq!(names(&spec), own);
    spec.on("large");
    assert_eq!(names(&spec), ["concat+ebr"]);
    let message = error(&text("{fusion: [conct], reallocation: [ebr]}"));
    assert!(message.contains("names fusion `conct`"), "{message}");
    let message = error(&text("{fusion: [concat, concat], reallocation: [ebr]}"));
    assert!(message.contains("row `concat+ebr` is there twice"), "{message}");
}

#[test]
fn another_data_set_may_have_its_own_modalities() {
    let text = SPEC.replace(
        "modality: sound\n",
        "modality: sound\nmodalities: [sound, image]\ndatasets:\n  views: {modalities: [a, b, c], rates: [2, 3], measures: [rank_effective]}\n",
    );
    let text = text
        .replace("rates: [0.95, 0.9]", "rates: [1, 2]")
        .replace("test_missing", "modalities");
    let text = text.replace("seeds: 2", "seeds: 2, rates: [2]");
    let mut spec = Spec::parse("s", &text).unwrap();
    spec.on("others");
    assert!(spec.measures.is_empty());
    assert_eq!(
        (spec.dataset.as_str(), &spec.modalities[..]),
        ("others", &["sound".to_owned(), "image".to_owned()][..])
    );
    spec.on("views");
    assert_eq!((spec.modality.as_deref(), spec.modalities.len()), (Some("sound"), 3));
    assert_eq!(spec.measures, ["rank_effective"]);
    let message = error(&text.replace("rank_effective", "rank_effectiv"));
    assert!(message.contains("there is no measure `rank_effectiv`"), "{message}");
    assert_eq!(
        (&spec.rates, &spec.presets[&Preset::Smoke].rates),
        (&vec![2.0, 3.0], &None)
    );
    let message = error(&text.replace("rates: [1, 2]", "rates: [1, 3]"));
    assert!(
        message.contains("from 1 to the 2 that `modalities` names, got 3"),
        "{message}"
    );
}

#[test]
fn keys_are_found_outside_of_comments() {
    let text = "# rate: 3\nlearning_rate: 1\nx: {rate : 2}\n";
    assert_eq!(find_key(text, "rate"), text.find("rate :"));
    assert_eq!(find_key(text, "absent"), None);
}

#[test]
fn maps_are_merged_and_other_methods_replace() {
    let mut base = json!({"a": 1, "o": {"kind": "step", "every": 3}, "p": {"x": 1, "y": 2}})
        .as_object()
        .unwrap()
        .clone();
    let over = json!({"b": 2, "o": {"kind": "cosine"}, "p": {"y": 3}});
    lay_over(&mut base, over.as_object().unwrap());
    assert_eq!(
        Value::from(base),
        json!({"a": 1, "b": 2, "o": {"kind": "cosine"}, "p": {"x": 1, "y": 3}})
    );
}

proptest::proptest! {
    #![proptest_config(crate::mutation::cases(2000))]

    /// Whatever a slip of the hand makes of a spec, it is read or refused with its place.
    #[test]
    fn no_mutated_spec_makes_the_reader_panic(edits in crate::mutation::edits()) {
        let text = crate::mutation::mutated_text(SPEC, &edits);
        match Spec::parse("experiments/t/spec.yaml", &text) {
            Ok(spec) => {
                for preset in spec.presets.values() {
                    spec.rows(preset);
                }
            }
            Err(error) => proptest::prop_assert!(error.to_string().starts_with("experiments/t/spec.yaml")),
        }
    }
}

/// Names of names of names: a text of a kilobyte that would unfold to a gigabyte.
#[test]
fn a_spec_that_unfolds_without_end_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let inner = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{inner}]").unwrap();
    }
    error(&text);
    error(&"[".repeat(100_000));
}

/// What a spec says of encoders is about the series and codes of its own data.
#[test]
fn a_users_data_have_the_encoders_of_their_shape() {
    let text = "\
dataset: avmnist
modality: sound
rates: [0.5]
protocols: [test_missing]
encoders: {codes: {method: code_transformer}}
fusions: {concat: {}}
reallocations: {none: {}, sound_only: {config: {method: only, modality: sound}, cost: 2}}
rows: [{fusion: [concat], reallocation: [none, sound_only]}]
presets: {smoke: {seeds: 1, seconds: 1, encoders: {series: {method: gru, steps: 4}}}}
";
    let mut spec = Spec::parse("spec.yaml", text).unwrap();
    spec.on("mine");
    let encoders = serde_json::json!({"steps": {"method": "gru", "steps": 9}});
    spec.adapt(&Adapted {
        modality: "steps".to_owned(),
        modalities: vec!["rows".to_owned(), "steps".to_owned()],
        encoders: encoders.as_object().unwrap().clone(),
        training: Map::new(),
    });
    assert_eq!(Value::from(spec.encoders.clone()), encoders);
    assert!(spec.presets.values().all(|preset| preset.encoders.is_empty()));
    assert_eq!(spec.rows[0].reallocation, ["none", "rows_only", "steps_only"]);
    let alone = &spec.reallocations["steps_only"];
    assert_eq!(
        Value::from(alone.config.clone()),
        serde_json::json!({"method": "only", "modality": "steps"})
    );
}
