//! Every experiment: one folder each with its spec, the paper's numbers and a program of its own.

#[cfg(feature = "train")]
pub mod cli;
pub mod pages;

use mmcollapse_record::{At, ExperimentInfo, Reference, Shows};

#[cfg(feature = "train")]
#[doc(hidden)]
pub use mimalloc::MiMalloc;

/// The program of an experiment: `mmcollapse reproduce NAME`, NAME being that of the binary.
#[cfg(feature = "train")]
#[macro_export]
macro_rules! program {
    () => {
        #[global_allocator]
        static ALLOCATOR: $crate::MiMalloc = $crate::MiMalloc;

        fn main() -> std::process::ExitCode {
            let own = Some(env!("CARGO_BIN_NAME"));
            $crate::cli::main(
                $crate::EXPERIMENTS,
                $crate::CLAIMS,
                $crate::SPACES,
                $crate::BUILT_FROM,
                own,
            )
        }
    };
}

/// The paper's claims and their tests.
pub const CLAIMS: &str = include_str!("claims.yaml");

/// The commit that this is built from, as the build script found it.
pub const BUILT_FROM: &str = env!("MMCOLLAPSE_BUILT_FROM");

/// What may be tuned of each method.
pub const SPACES: &str = include_str!("tune.yaml");

/// What the experiments in Table 4's training on avMNIST share.
const AVMNIST: Option<(&str, &str)> = Some(("experiments/avmnist.yaml", include_str!("avmnist.yaml")));

/// What the experiments on health records share.
const EHR: Option<(&str, &str)> = Some(("experiments/ehr.yaml", include_str!("ehr.yaml")));

/// Lemma 1's bound on pairs of features, of d_i in modality i.
const CROSSING_BOUND: &str = "the paper's bound, 1 - Σ(d_i / Σd)²";

/// Lemma 3's null.
const ROLES_PERMUTED: &str = "null: features exchanged within a modality";

/// The least that the leading one of two modalities can hold.
const HALF: Reference = Reference::everywhere("leading_modality", "both modalities alike", 0.5);

/// An experiment: its folder (`of` that whose cells it has), its title and what it shows; then what else it has, by field.
macro_rules! experiment {
    ($name:literal, $($rest:tt)*) => { experiment!($name of $name, $($rest)*) };
    ($name:literal of $spec:literal, $title:literal, $shows:expr $(, $field:ident: $value:expr)* $(,)?) => {
        ExperimentInfo {
            $($field: $value,)*
            ..ExperimentInfo::new($name, $title, include_str!(concat!($spec, "/spec.yaml")), $shows)
        }
    };
}

/// The experiments, in the paper's order; a new one is a folder and a line here (docs/add-an-experiment.md).
pub static EXPERIMENTS: &[ExperimentInfo] = &[
    experiment!(
        "table1",
        "Health records with missing modalities, method against method",
        Shows::Rows(&["auprc"]),
        common: EHR,
        paper: Some(include_str!("table1/paper.yaml")),
    ),
    experiment!(
        "table2",
        "Health records, every fusion with every reallocation",
        Shows::Rows(&["auprc"]),
        common: EHR,
        paper: Some(include_str!("table2/paper.yaml")),
    ),
    experiment!(
        "table3",
        "avMNIST accuracy at audio missing rates, method against method",
        Shows::Rows(&[]),
        common: AVMNIST,
        paper: Some(include_str!("table3/paper.yaml")),
    ),
    experiment!(
        "table4",
        "avMNIST accuracy at audio missing rates, every fusion with every reallocation",
        Shows::Scores,
        common: AVMNIST,
        paper: Some(include_str!("table4/paper.yaml")),
    ),
    experiment!(
        "table5",
        "Health records, the order of the teachers in distillation",
        Shows::Rows(&["auprc"]),
        common: EHR,
        paper: Some(include_str!("table5/paper.yaml")),
    ),
    experiment!(
        "table6",
        "Health records, what stands in for missing modalities",
        Shows::Rows(&["auroc_spread", "auroc_of_1", "auroc_of_2", "auroc_of_3"]),
        common: EHR,
        paper: Some(include_str!("table6/paper.yaml")),
    ),
    experiment!(
        "table7",
        "Collinearity of the fused features against the number of modalities",
        Shows::Measures(&["vif_mean", "vif_collinear", "rank_effective", "auroc", "accuracy"]),
        common: EHR,
        paper: Some(include_str!("table7/paper.yaml")),
    ),
    experiment!(
        // Nothing is trained twice.
        "table8" of "table1",
        "Health records with missing modalities, MUSE with EBR tested against every other method",
        Shows::Tests {
            row: "muse+ebr",
            others: &["auprc"],
        },
        common: EHR,
        paper: Some(include_str!("table8/paper.yaml")),
    ),
    experiment!(
        // Nothing is trained twice.
        "table9" of "fig1",
        "How many modalities the weights of fusion neurons are of",
        Shows::Rows(&["polysemanticity_mixed", "polysemanticity_block", "polysemanticity_told", "mixing_neurons"]),
        paper: Some(include_str!("table9/paper.yaml")),
        references: &[Reference::everywhere("polysemanticity", "ln 2, the most that two modalities can give", std::f64::consts::LN_2)],
    ),
    experiment!(
        "table10",
        "Health records, lowest training loss with GMC's objective against the number of modalities",
        Shows::Measures(&["lowest_loss_prefix", "lowest_loss_baseline", "gap_first", "gap_eliminated", "auroc"]),
        common: EHR,
        paper: Some(include_str!("table10/paper.yaml")),
    ),
    experiment!(
        "table11",
        "Rank of the fused representation of GMC (60 numbers) and MMVAE (20) as the sound weighs more",
        Shows::Measures(&["rank_effective", "rank_stable", "rank_numerical", "accuracy"]),
        common: AVMNIST,
        paper: Some(include_str!("table11/paper.yaml")),
    ),
    experiment!(
        "ebr-dose",
        "How much of the adversary helps",
        Shows::Dose {
            of: "weight of the adversary",
            measures: &[
                "confusion",
                "accuracy",
                "accuracy_complete",
                "accuracy_only_image",
                "rank_effective",
                "leading_modality"
            ],
        },
    ),
    experiment!(
        "ebr-confused",
        "What the adversary does where the modalities cannot be told apart",
        Shows::Dose {
            of: "weight of the adversary",
            measures: &[
                "confusion",
                "accuracy_complete",
                "accuracy",
                "accuracy_only_sound",
                "encoder_sound",
                "rank_effective"
            ],
        },
    ),
    experiment!(
        "ebr-search",
        "Which reading of explicit basis reallocation serves best",
        Shows::Scores
    ),
    experiment!(
        "ebr-regime",
        "Explicit basis reallocation in the paper's own training",
        Shows::Measures(&["rank_effective", "rank_stable", "accuracy", "cka_image", "cka_sound"]),
        paper: Some(include_str!("ebr-regime/paper.yaml")),
    ),
    experiment!(
        "balancing",
        "Methods that weigh the modalities in training, over every pattern that can be left",
        Shows::Rows(&[
            "accuracy_of_2",
            "accuracy_of_1",
            "auroc_of_4",
            "auroc_of_1",
            "auprc",
            "encoders",
            "encoder_image",
            "encoder_sound"
        ]),
        common: AVMNIST,
    ),
    experiment!(
        "rank-bottleneck",
        "Who is neglected when rank is scarce",
        Shows::Dose {
            of: "rank of the fusion layer",
            measures: &[
                "accuracy",
                "accuracy_only_image",
                "accuracy_only_sound",
                "rank_effective",
                "cka_image",
                "cka_sound"
            ],
        },
        common: AVMNIST,
    ),
    experiment!(
        "lemma1",
        "Lemma 1: whether neurons mix modalities more as modalities become more",
        Shows::Measures(&[
            "crossing_excess",
            "crossing_observed",
            "crossing_random",
            "mixing_neurons",
            "mixing_neurons_20",
        ]),
        references: &[
            Reference::everywhere("crossing_excess", "null: features exchanged between modalities", 0.0),
            Reference {
                metric: "crossing_observed",
                protocols: &["planted_modalities", "planted_additive_modalities"],
                label: CROSSING_BOUND,
                at: At::Levels(&[(2.0, 1.0 / 2.0), (3.0, 2.0 / 3.0), (4.0, 3.0 / 4.0), (6.0, 5.0 / 6.0), (8.0, 7.0 / 8.0)]),
            },
            // d_i of modality i: 8 features and two more for each modality before it.
            Reference {
                metric: "crossing_observed",
                protocols: &["planted_unequal_modalities"],
                label: CROSSING_BOUND,
                at: At::Levels(&[(2.0, 0.4938), (3.0, 0.6578), (4.0, 0.7397), (6.0, 0.8218), (8.0, 0.8633)]),
            },
        ],
    ),
    experiment!(
        "theorem1",
        "Theorem 1: whether conjugate features stop lowering the loss as neurons meet noise",
        Shows::Dose {
            of: "share of neurons in which noise meets prediction",
            measures: &[
                "contribution_conjugate",
                "contribution_predictive",
                "noise_cost",
                "auroc"
            ],
        },
        references: &[Reference::everywhere("contribution_conjugate", "limit of the test: .05 nats", 0.05)],
    ),
    experiment!(
        "lemma2",
        "Lemma 2: whether the gradient's rank follows that of the average gradient outer product (AGOP)",
        Shows::Measures(&[
            "gradient_rank",
            "agop_rank",
            "rank_ratio",
            "gradient_rank_variation",
            "gradient_rank_numerical",
            "gradient_rank_stable",
            "agop_rank_numerical",
            "agop_rank_stable",
            "auroc"
        ]),
        levels: Some(("planted rank", 4.0)),
        references: &[Reference::everywhere("gradient_rank_variation", "steady: 5 % at most", 0.05)],
        along: &[
            ("gradient_rank", "Effective rank of the gradient along training; above each panel the planted rank"),
            ("agop_rank", "Effective rank of the AGOP along training; above each panel the planted rank"),
        ],
    ),
    experiment!(
        "theorem2",
        "Theorem 2: whether weights come closer to the average gradient outer product (AGOP) as features share dimensions",
        Shows::Measures(&[
            "agop_distance",
            "agop_distance_rotated",
            "agop_distance_excess",
            "auroc"
        ]),
        levels: Some(("features a dimension, gamma", 0.5)),
        references: &[
            // The layer has eight neurons.
            Reference {
                metric: "agop_distance",
                protocols: &["planted_pairs"],
                label: "the paper's bound, gamma^(-1/8)",
                at: At::Levels(&[(2.0, 1.0), (4.0, 0.917), (8.0, 0.841), (16.0, 0.771)]),
            },
            Reference {
                metric: "agop_distance",
                protocols: &["planted_pairs"],
                label: "null: trained on random labels",
                at: At::Row("concat", "planted_pairs_unlabelled"),
            },
        ],
    ),
    experiment!(
        "lemma3",
        "Lemma 3: whether noise shares neurons with predictive features of other modalities",
        Shows::Measures(&[
            "role_places_excess",
            "role_places_tied_excess",
            "role_odds_excess",
            "auroc"
        ]),
        references: &[
            Reference::everywhere("role_places_excess", ROLES_PERMUTED, 0.0),
            Reference::everywhere("role_places_tied_excess", ROLES_PERMUTED, 0.0),
            Reference::everywhere("role_odds_excess", ROLES_PERMUTED, 0.0),
        ],
    ),
    experiment!(
        "planted-collapse",
        "Whether noise and scarce rank make a planted model lose a modality",
        Shows::Measures(&[
            "auroc_only_m2",
            "auroc_only_m1",
            "auroc",
            "role_places_excess",
            "rank_effective"
        ]),
    ),
    experiment!(
        "planted-rank",
        "Whether a planted model loses the noisier modality where the rank of its layer is scarce",
        Shows::Dose {
            of: "rank of the fusion layer",
            measures: &["accuracy_only_m2", "accuracy_only_m1", "accuracy", "rank_effective"],
        },
    ),
    experiment!(
        "theorem3",
        "Theorem 3: whether alignment gives neurons a single meaning and frees rank",
        Shows::Dose {
            of: "weight of the alignment",
            measures: &[
                "confusion",
                "teacher_contrast",
                "monosemantic_neurons",
                "monosemantic_neurons_50",
                "monosemantic_meanings_50",
                "rank_effective",
                "mixing_neurons",
                "contribution_conjugate",
                "auroc"
            ],
        },
    ),
    experiment!(
        "fig1",
        "What fusion neurons of avMNIST models hold of image and sound",
        Shows::Neurons {
            rows: &[
                "concat",
                "concat+pretrained",
                "concat+kd",
                "concat+heads_narrow",
                "concat+ebr_narrow"
            ],
            measures: &[
                "leading_modality",
                "mixing_neurons",
                "accuracy_only_image",
                "accuracy_only_sound"
            ],
        },
        references: &[HALF],
    ),
    experiment!(
        // Nothing is trained twice.
        "fig2" of "lemma3",
        "Whether noise of one modality and prediction of another share neurons, on planted features",
        Shows::Neurons {
            rows: &["concat+start", "concat"],
            measures: &["leading_modality", "mixing_neurons", "role_places_excess", "auroc"],
        },
        references: &[HALF],
    ),
    experiment!(
        "fig3" of "theorem3",
        "What fusion neurons hold before and after alignment, on planted features",
        Shows::Neurons {
            // EBR's two doses: those of the tests where noise is shared, and where what predicts is.
            rows: &["concat", "concat+mmd_10", "concat+kd_32", "concat+heads", "concat+ebr_1", "concat+ebr_3"],
            measures: &["leading_modality", "mixing_neurons", "monosemantic_neurons_50", "rank_effective", "auroc"],
        },
        references: &[HALF],
    ),
    experiment!(
        "fig4",
        "What an encoder loses inside a multimodal model, against the number of modalities",
        Shows::Probes(&[
            "gap_first",
            "gap_eliminated",
            "probe_prefix_first",
            "probe_baseline_first",
            "probe_prefix_eliminated",
            "probe_baseline_eliminated",
        ]),
        common: EHR,
        paper: Some(include_str!("fig4/paper.yaml")),
    ),
    experiment!(
        "fig5",
        "Health records, rank and similarity of the fused representation as laboratory values weigh more",
        Shows::Measures(&[
            "rank_effective",
            "rank_stable",
            "rank_numerical",
            "auroc",
            "cka_labs",
            "cka_diagnoses",
            "cka_vitals",
            "cosine_labs",
            "cosine_diagnoses",
            "cosine_vitals",
        ]),
        common: EHR,
        paper: Some(include_str!("fig5/paper.yaml")),
    ),
    experiment!(
        "fig6",
        "Health records, semantic loss along training",
        Shows::Curves,
        common: EHR,
        paper: Some(include_str!("fig6/paper.yaml")),
    ),
    experiment!(
        "fig7",
        "Health records with noise on the laboratory values in training",
        Shows::Scores,
        common: EHR,
        paper: Some(include_str!("fig7/paper.yaml")),
    ),
    experiment!(
        "fig8",
        "avMNIST accuracy with noise on the sound in training",
        Shows::Scores,
        common: AVMNIST,
        paper: Some(include_str!("fig8/paper.yaml")),
    ),
    experiment!(
        "fig9",
        "avMNIST semantic loss along training",
        Shows::Curves,
        common: AVMNIST,
        paper: Some(include_str!("fig9/paper.yaml")),
    ),
    experiment!(
        "fig10",
        "avMNIST rank and similarity of the fused representation as the sound weighs more",
        Shows::Measures(&[
            "rank_effective",
            "rank_stable",
            "rank_numerical",
            "accuracy",
            "cka_image",
            "cka_sound",
            "cosine_image",
            "cosine_sound",
        ]),
        common: AVMNIST,
        paper: Some(include_str!("fig10/paper.yaml")),
    ),
];

#[cfg(test)]
mod built_from;

#[cfg(test)]
mod committed;

#[cfg(all(test, feature = "train"))]
#[path = "tests/added/mod.rs"]
mod added;

#[cfg(all(test, feature = "train"))]
mod tests {
    use std::collections::BTreeSet;

    use mmcollapse_data::DatasetSource;
    use mmcollapse_data::ehr::Task;
    use mmcollapse_record::{Metric, Preset, RowName};
    use mmcollapse_report::paper::Paper;
    use mmcollapse_report::report::claims::Over;
    use mmcollapse_run::models::check_spec;
    use mmcollapse_run::spec::Row;

    use super::*;

    /// Wherever a method is trained that has a control, the control is trained on the same seeds and levels.
    #[test]
    fn every_row_has_its_control() {
        let mut controlled = 0;
        for experiment in EXPERIMENTS {
            let spec = mmcollapse_run::spec::Spec::of(experiment).unwrap();
            for preset in [Preset::Quick, Preset::Full] {
                let Some(settings) = spec.presets.get(&preset) else {
                    continue;
                };
                let rows = spec.rows(settings);
                for row in &rows {
                    let Some(twin) = &spec.reallocations[&row.reallocation].twin else {
                        continue;
                    };
                    let of_twin = |other: &&Row| other.fusion == row.fusion && other.reallocation == *twin;
                    let found = rows.iter().find(of_twin);
                    let place = format!("{} ({preset}): {} without {twin}", experiment.name, row.name);
                    let found = found.unwrap_or_else(|| panic!("{place}"));
                    let seeds = |row: &Row| row.seeds.unwrap_or(settings.seeds);
                    assert!(seeds(found) >= seeds(row), "{place} on all seeds");
                    assert_eq!(
                        (&found.protocols, &found.rates),
                        (&row.protocols, &row.rates),
                        "{place}"
                    );
                    controlled += 1;
                }
            }
        }
        assert!(controlled > 60, "{controlled}");
    }

    /// Claims parse, and what they test is a row, a protocol and levels that the experiment has.
    #[test]
    fn claims_are_about_what_there_is() {
        let claims = mmcollapse_report::report::claims::Claims::parse(CLAIMS, EXPERIMENTS).unwrap();
        let comparisons = claims.claims.iter().flat_map(|claim| {
            let primary = claim.primary.iter().flat_map(|test| &test.parts);
            primary.chain(&claim.exploratory)
        });
        for test in comparisons {
            let experiment = EXPERIMENTS.iter().find(|e| e.name == test.experiment).unwrap();
            let mut spec = mmcollapse_run::spec::Spec::of(experiment).unwrap();
            if let Some(dataset) = &test.dataset {
                spec.on(dataset);
                let labels = Task::ALL.map(|task| format!("{dataset}-{}", task.name()));
                let known = std::iter::once(dataset)
                    .chain(&labels)
                    .any(|name| mmcollapse_data::find(name).is_ok());
                assert!(known, "{}: there is no data set `{dataset}`", test.name);
                let excerpt = mmcollapse_data::find(dataset).ok().and_then(DatasetSource::excerpt);
                assert_eq!(excerpt, None, "no verdict rests on an excerpt: {}", test.name);
            }
            let quick = &spec.presets[&Preset::Quick];
            // What takes an hour a run is in `full` alone.
            let presets = [quick, &spec.presets[&Preset::Full]];
            let rows = presets.iter().flat_map(|preset| spec.rows(preset));
            let rows: Vec<RowName> = rows.map(|row| row.name.parse().unwrap()).collect();
            for row in [Some(&test.row), test.against.as_ref()].into_iter().flatten() {
                assert!(rows.contains(row), "{}: {row}", test.name);
            }
            // Of several labels, those that the data set has.
            let of_label = |task: &String| {
                let dataset = test
                    .dataset
                    .as_ref()
                    .or(spec.paper_dataset.as_ref())
                    .unwrap_or(&spec.dataset);
                mmcollapse_data::find(&format!("{dataset}-{task}")).is_ok()
            };
            let labels = spec.tasks.iter().filter(|task| of_label(task));
            let mut labels: Vec<Option<String>> = labels.cloned().map(Some).collect();
            if labels.is_empty() {
                labels.push(None);
            }
            let (protocols, levels) = spec.levels(Some(quick));
            for setting in std::iter::once(&test.protocol).chain(&test.against_protocol) {
                let of_spec = protocols.contains(&setting.protocol) && labels.contains(&setting.task);
                assert!(of_spec, "{}", test.name);
            }
            assert_eq!(test.dataset.as_deref(), spec.other_dataset(), "{}", test.name);
            let paper = Paper::of(experiment).unwrap();
            let shown = experiment.shows.metrics(&paper.metric).unwrap();
            let alone = |metric: &Metric| test.metric.as_str().starts_with(&format!("{metric}_"));
            let asked = spec.measures.iter().any(|key| *key == test.metric.definition().key);
            assert!(
                asked || shown.contains(&test.metric) || shown.iter().any(alone),
                "{}: {}",
                test.name,
                test.metric
            );
            let asked = match test.over {
                Over::Level(level) | Over::Kink(level) => vec![level],
                Over::Change(from, to) => vec![from, to],
                Over::Mean | Over::Trend | Over::Line(_) => Vec::new(),
            };
            for level in asked {
                assert!(levels.contains(&level), "{}: {level}", test.name);
            }
        }
    }

    /// No number of a patient or a stay of the open demos stands in any text under `results/`.
    #[test]
    fn results_name_no_record() {
        let root = std::path::Path::new("..");
        let mut records = BTreeSet::new();
        for name in ["eicu-demo", "mimic-iv-demo"] {
            let source = mmcollapse_data::ehr::find(name).unwrap();
            // Which tests read real data and which are skipped is said where those data are tested.
            let Ok(cohort) = mmcollapse_data::ehr::load(source, None, None) else {
                continue;
            };
            records.extend(cohort.admissions.iter().flat_map(|a| [a.subject, a.id]));
        }
        let mut folders = vec![root.join("results")];
        let mut read = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let Ok(text) = std::fs::read_to_string(&path) else {
                    continue;
                };
                read += 1;
                for word in text.split(|c: char| !(c.is_alphanumeric() || c == '.' || c == '_')) {
                    let number = word.parse::<u64>().ok().filter(|_| word.len() >= 5);
                    assert!(
                        number.is_none_or(|number| !records.contains(&number)),
                        "{}: the number of a record",
                        path.display()
                    );
                }
            }
        }
        assert!(read > 20, "{read}");
    }

    /// What `tune.yaml` declares, the methods take.
    #[test]
    fn spaces_are_read() {
        if let Err(error) = mmcollapse_run::tuning::Spaces::parse(SPACES) {
            panic!("{error:?}");
        }
    }

    /// Every preset of every spec can be run: all its keys, methods and options are known.
    #[test]
    fn specs_resolve() {
        for experiment in EXPERIMENTS {
            match check_spec(experiment) {
                Ok(cells) => assert!(cells > 0),
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}
