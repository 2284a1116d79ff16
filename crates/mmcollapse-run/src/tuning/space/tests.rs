use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::tuning::fixture::{SPACES, spaces};

#[test]
fn what_a_method_does_not_know_is_refused_with_its_place() {
    for (from, to, expected) in [
        (
            "dropout:",
            "drop:",
            [
                "experiments/tune.yaml:8:5: fusion `concat`, option `drop`: unknown field `drop`",
                "expected one of `hidden`, `dropout`",
            ],
        ),
        (
            "lambda_md",
            "lamda_md",
            [
                "experiments/tune.yaml:14:5: reallocation `ebr`, option `lamda_md`",
                "expected one of",
            ],
        ),
        (
            "optimizer.lr",
            "optimizer.lrr",
            [
                "experiments/tune.yaml:4:3: training option `optimizer.lrr`",
                "unknown field `lrr`",
            ],
        ),
        (
            "concat:",
            "conct:",
            [
                "experiments/tune.yaml:6:3: fusion `conct`: there is no such method",
                "late_fusion, concat",
            ],
        ),
        (
            "[32, 64, 128]",
            "[32, 0.5]",
            [
                "experiments/tune.yaml:7:5: fusion `concat`, option `hidden`",
                "for the value 0.5",
            ],
        ),
        (
            "[32, 64, 128]",
            "[]",
            ["option `hidden`: choice needs at least one value", "got none"],
        ),
        (
            "low: 0.01,",
            "low: 0,",
            [
                "experiments/tune.yaml:10:5: fusion `shaspec`, option `shared_weight`",
                "0 < low < high, got low 0 and high 1",
            ],
        ),
        (
            "low: 0.1, high: 0.8",
            "low: 0.8, high: 0.1",
            ["option `dropout`: uniform needs low < high", "got low 0.8 and high 0.1"],
        ),
        (
            "low: 0.0001",
            "low: -0.1",
            [
                "experiments/tune.yaml:4:3: training option `optimizer.lr`",
                "got low -0.1",
            ],
        ),
        (
            "kind: uniform",
            "kind: normal",
            ["experiments/tune.yaml:", "unknown variant `normal`"],
        ),
        (
            "rate: 0.9",
            "rat: 0.9",
            ["experiments/tune.yaml:2:", "unknown field `rat`"],
        ),
        (
            "protocol: test_missing",
            "protocol: none",
            ["experiments/tune.yaml:2", "`none` is no protocol"],
        ),
    ] {
        let text = SPACES.replacen(from, to, 1);
        assert_ne!(text, SPACES, "{from}");
        let message = Spaces::parse(&text).unwrap_err().to_string();
        for expected in expected {
            assert!(message.contains(expected), "{to}: {message}");
        }
    }
}

#[test]
fn settings_are_chosen_for_a_protocol_that_the_experiment_has() {
    use ProtocolKind::{Missing, Patterns, TestMissing, TrainAvailability};
    let spaces = Spaces::parse(&SPACES.replace("training:", "  - {protocol: missing, rate: 0.3}\ntraining:")).unwrap();
    let judged = |protocols: &[ProtocolKind], levels: &[f64], protocol, rate| {
        let judged = spaces.judged((protocols, levels), protocol, rate);
        judged.map(|judged| (judged.protocol, judged.rate))
    };
    let both = [0.95, 0.5];
    assert_eq!(
        judged(&[TrainAvailability, TestMissing], &both, None, None),
        Ok((TestMissing, 0.9))
    );
    assert_eq!(judged(&[Missing], &both, None, None), Ok((Missing, 0.3)));
    // The only level that an experiment has, unless the command says another.
    assert_eq!(judged(&[Missing], &[0.0], None, None), Ok((Missing, 0.0)));
    assert_eq!(judged(&[Missing], &[0.0], None, Some(0.7)), Ok((Missing, 0.7)));
    assert_eq!(
        judged(&[TestMissing], &both, Some(TrainAvailability), Some(0.5)),
        Ok((TrainAvailability, 0.5))
    );
    let error = judged(&[TestMissing], &both, Some(TrainAvailability), None).unwrap_err();
    assert!(error.contains("no level of train_availability"), "{error}");
    let error = judged(&[Patterns], &both, None, None).unwrap_err();
    assert!(error.contains("--protocol"), "{error}");
}

const CONCAT: Methods<'_> = Methods {
    fusion: "concat",
    reallocation: "none",
    balancing: None,
};

#[test]
fn draws_are_reproducible_and_their_own() {
    let draw = |spaces: &Spaces, row: &str, trial: u64| spaces.draw(row, &CONCAT, trial).unwrap();
    let one = draw(&spaces(), "concat", 1);
    // The program draws this on every machine and in every version, or results could not be continued.
    assert_eq!(
        serde_json::to_value(&one).unwrap(),
        json!({"fusion": {"dropout": 0.303, "hidden": 128}, "training": {"optimizer": {"lr": 0.00102}}})
    );
    assert_eq!(draw(&spaces(), "concat", 0), Setting::default());
    assert_ne!(draw(&spaces(), "concat", 2), one);
    assert_ne!(draw(&spaces(), "concat2", 1), one);
    // Another method and another option move no draw.
    let more = SPACES.replace("fusions:\n", "fusions:\n  gated: {}\n").replace(
        "training:\n",
        "training:\n  clip_norm: {kind: uniform, low: 1, high: 9}\n",
    );
    let mut drawn = draw(&Spaces::parse(&more).unwrap(), "concat", 1);
    assert!(drawn.training.remove("clip_norm").is_some());
    assert_eq!(drawn, one);
}

#[test]
fn draws_lie_within_their_bounds_and_fill_them() {
    let spaces = spaces();
    let mut widths = BTreeSet::new();
    let (mut rates, mut dropouts) = (Vec::new(), Vec::new());
    for trial in 1..400 {
        let drawn = spaces.draw("concat", &CONCAT, trial).unwrap();
        widths.insert(drawn.fusion["hidden"].as_u64().unwrap());
        dropouts.push(drawn.fusion["dropout"].as_f64().unwrap());
        rates.push(drawn.training["optimizer"]["lr"].as_f64().unwrap());
    }
    assert_eq!(widths, BTreeSet::from([32, 64, 128]));
    assert!(dropouts.iter().all(|value| (0.1..=0.8).contains(value)));
    assert!(rates.iter().all(|value| (1e-4..=1e-2).contains(value)));
    // Log-uniform: half lie below the geometric mean. Four standard deviations of a count: 4 sqrt(399 / 4) = 40.
    let below = rates.iter().filter(|value| **value < 1e-3).count();
    assert!(below.abs_diff(200) < 40, "{below}");
    let below = dropouts.iter().filter(|value| **value < 0.45).count();
    assert!(below.abs_diff(200) < 40, "{below}");
}
