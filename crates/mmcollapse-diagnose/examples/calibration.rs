//! How often the rule errs on planted models: `cargo run --release -p mmcollapse-diagnose --example calibration [DRAWS [TABLE]]`.
//!
//! Prints the tables of docs/diagnose.md: all, or the one that a second argument names, `alarms`, `power` or `ratios`.

use mmcollapse_diagnose::planted::{Planted, PlantedModel};
use mmcollapse_diagnose::rule::Verdict;
use mmcollapse_diagnose::{Settings, diagnose};
use mmcollapse_files::output::out;
use rayon::prelude::*;

/// Verdicts of a model's modalities, over the draws.
struct Counts {
    draws: usize,
    /// Draws in which a modality is called neglected that is not.
    alarms: usize,
    /// Verdicts on each modality: neglected, kept, uninformative, undecided.
    verdicts: Vec<[usize; 4]>,
}

fn counted(model: &PlantedModel, draws: usize, neglected: Option<usize>) -> Counts {
    let mut counts = Counts {
        draws,
        alarms: 0,
        verdicts: vec![[0; 4]; model.modalities.len()],
    };
    let verdicts = |seed: u64| -> Vec<Verdict> {
        let input = model.draw(1_000 + seed).expect("a planted model is complete");
        let settings = Settings {
            seed,
            ..Settings::default()
        };
        let found = diagnose(&input, &settings).expect("it has samples of all classes");
        found.modalities.iter().map(|modality| modality.verdict).collect()
    };
    let drawn: Vec<Vec<Verdict>> = (0..draws as u64).into_par_iter().map(verdicts).collect();
    for verdicts in drawn {
        let mut alarm = false;
        for (place, verdict) in verdicts.into_iter().enumerate() {
            let at = match verdict {
                Verdict::Neglected => 0,
                Verdict::Kept => 1,
                Verdict::Uninformative => 2,
                Verdict::Undecided => 3,
            };
            counts.verdicts[place][at] += 1;
            alarm |= at == 0 && neglected != Some(place);
        }
        counts.alarms += usize::from(alarm);
    }
    counts
}

fn percent(part: usize, of: usize) -> String {
    format!("{:.1}", 100.0 * part as f64 / of as f64)
}

/// Two modalities, else the default.
fn two(first: Planted, second: Planted) -> PlantedModel {
    PlantedModel {
        modalities: vec![first, second],
        ..PlantedModel::default()
    }
}

/// A modality that is used in full.
fn full(strength: f64) -> Planted {
    Planted::new(strength, 1.0)
}

/// Models in which nothing is neglected.
fn alarms(draws: usize) {
    let nulls: Vec<(&str, PlantedModel)> = vec![
        ("two alike", two(full(1.5), full(1.5))),
        (
            "three alike",
            PlantedModel {
                modalities: vec![full(1.2); 3],
                ..PlantedModel::default()
            },
        ),
        ("strong and weak", two(full(2.5), full(0.7))),
        ("second used at .97", two(full(1.5), Planted::new(1.5, 0.97))),
        ("one uninformative, ignored", two(full(1.5), Planted::new(0.0, 0.0))),
        (
            "both uninformative",
            two(Planted::new(0.0, 1.0), Planted::new(0.0, 0.0)),
        ),
        (
            "redundant, the second ignored",
            two(full(1.5), Planted::repeating(0, 0.0)),
        ),
        (
            "redundant, wide encoders",
            PlantedModel {
                width: 128,
                ..two(full(1.5), Planted::repeating(0, 0.0))
            },
        ),
        (
            "300 samples",
            PlantedModel {
                samples: 300,
                ..two(full(1.5), full(1.5))
            },
        ),
        (
            "fused of 256 columns, 600 samples",
            PlantedModel {
                samples: 600,
                fused_width: 256,
                ..two(full(1.5), full(1.5))
            },
        ),
        (
            "ReLU of 128 neurons",
            PlantedModel {
                fused_width: 128,
                relu: true,
                ..two(full(1.5), full(1.5))
            },
        ),
        (
            "two classes of 9 to 1",
            PlantedModel {
                classes: 2,
                balance: 9.0,
                ..two(full(1.5), full(1.5))
            },
        ),
        (
            "groups of 5",
            PlantedModel {
                group: 5,
                samples: 2_000,
                ..two(full(1.5), full(1.5))
            },
        ),
        (
            "groups of 5, redundant",
            PlantedModel {
                group: 5,
                samples: 2_000,
                ..two(full(1.5), Planted::repeating(0, 0.0))
            },
        ),
        (
            "with the best output",
            PlantedModel {
                output: true,
                ..two(full(1.5), full(1.0))
            },
        ),
        (
            "the same, 1 more for each next class",
            PlantedModel {
                output: true,
                offset: 1.0,
                ..two(full(1.5), full(1.0))
            },
        ),
    ];
    out(format_args!(
        "| nothing neglected | draws | false alarms, % | kept a / b, % |\n|---|--:|--:|--:|\n"
    ));
    for (name, model) in nulls {
        let counts = counted(&model, draws, None);
        let kept: Vec<String> = counts.verdicts.iter().map(|of| percent(of[1], draws)).collect();
        let alarms = percent(counts.alarms, counts.draws);
        out(format_args!("| {name} | {draws} | {alarms} | {} |\n", kept.join(" / ")));
    }
}

/// Models in which the second modality is neglected.
fn power(draws: usize) {
    out(format_args!(
        "| strength | used | samples | power, % | kept, % | alarms on the other, % |\n|--:|--:|--:|--:|--:|--:|\n"
    ));
    for (strength, used, samples) in [
        (1.5, 0.0, 300),
        (1.5, 0.0, 600),
        (1.5, 0.0, 1_000),
        (1.5, 0.5, 1_000),
        (1.5, 0.7, 1_000),
        (1.0, 0.0, 600),
        (1.0, 0.0, 1_000),
        (1.0, 0.0, 2_000),
        (1.0, 0.5, 2_000),
        (0.7, 0.0, 2_000),
        (0.7, 0.0, 4_000),
    ] {
        let model = PlantedModel {
            samples,
            ..two(full(1.5), Planted::new(strength, used))
        };
        let counts = counted(&model, draws, Some(1));
        let of = |verdict: usize| percent(counts.verdicts[1][verdict], draws);
        let (power, kept, alarms) = (of(0), of(1), percent(counts.alarms, draws));
        out(format_args!(
            "| {strength} | {used} | {samples} | {power} | {kept} | {alarms} |\n"
        ));
    }
}

/// Models whose output weighs the second modality too little, so that the first counts too much.
fn ratios(draws: usize) {
    out(format_args!(
        "| classes | strengths | weight of b | samples | a neglected, % | a kept, % | b neglected, % | b kept, % |\n\
         |--:|--:|--:|--:|--:|--:|--:|--:|\n"
    ));
    for (classes, first, second, weight, samples) in [
        (2, 1.0, 2.0, 0.2, 2_000),
        (2, 1.5, 1.5, 0.2, 2_000),
        (2, 1.5, 1.5, 0.3, 2_000),
        (4, 1.5, 2.5, 0.2, 2_000),
        (4, 1.0, 2.0, 0.3, 2_000),
        (4, 1.5, 1.5, 0.2, 2_000),
        (4, 1.5, 1.5, 0.3, 2_000),
        (4, 1.5, 1.5, 0.2, 6_000),
    ] {
        let model = PlantedModel {
            classes,
            samples,
            output: true,
            fused_width: 0,
            ..two(full(first), Planted::weighed(second, weight))
        };
        let counts = counted(&model, draws, Some(1));
        let of = |modality: usize, verdict: usize| percent(counts.verdicts[modality][verdict], draws);
        out(format_args!(
            "| {classes} | {first} / {second} | {weight} | {samples} | {} | {} | {} | {} |\n",
            of(0, 0),
            of(0, 1),
            of(1, 0),
            of(1, 1)
        ));
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let draws = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(200);
    let asked = arguments.next();
    let tables = [("alarms", alarms as fn(usize)), ("power", power), ("ratios", ratios)];
    for (place, (name, table)) in tables.into_iter().enumerate() {
        if asked.is_none() && place > 0 {
            out(format_args!("\n"));
        }
        if asked.as_deref().is_none_or(|asked| asked == name) {
            table(draws);
        }
    }
}
