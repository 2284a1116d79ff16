use super::*;
use std::collections::BTreeMap;
use std::fs;

use crate::summary::synthetic::{TABLE4, experiment, metric, record, table4};
use mmcollapse_record::{Dose, Machine, Origin, Score, Split, Status};
use polars::prelude::{ParquetReader, SerReader};

const TABLE: ExperimentInfo = ExperimentInfo {
    common: Some((
        "experiments/avmnist.yaml",
        include_str!("../../../../experiments/avmnist.yaml"),
    )),
    paper: Some(TABLE4),
    ..ExperimentInfo::new(
        "table4",
        "Table 4: avMNIST accuracy with sound missing, fusion x reallocation (made-up numbers)",
        include_str!("../../../../experiments/table4/spec.yaml"),
        Shows::Scores,
    )
};

fn provenance() -> Provenance {
    let commit = Some(Commit {
        hash: "0123456789abcdef0123456789abcdef01234567".into(),
        dirty: false,
    });
    Provenance {
        experiment: "table4".into(),
        preset: Preset::Quick,
        command: "mmcollapse reproduce table4".into(),
        commit: commit.clone(),
        version: "0.1.0".into(),
        data: BTreeMap::from([("avmnist".into(), "fedcba9876543210fedcba9876543210".into())]),
        cells: 400,
        missing: 0,
        seeds: 10,
        origins: vec![OriginCount {
            origin: Origin {
                version: "0.1.0".into(),
                commit,
                machine: Machine {
                    cpu: "Example CPU 3000".into(),
                    cores: 2,
                    os: "linux x86_64".into(),
                },
                device: "cpu".into(),
            },
            cells: 400,
            rows: Vec::new(),
        }],
        cell_seconds: 2500.0,
        wall_seconds: 1300.0,
        dataset: None,
        synthetic: None,
        excerpt: None,
        tuned: None,
        commit_not_known: None,
        preset_seeds: None,
        more_complete: None,
        overlap: None,
        external: None,
    }
}

#[test]
fn everything_is_written_with_its_origin() {
    let folder = tempfile::tempdir().unwrap();
    // To look at what is drawn: MMCOLLAPSE_LOOK=/an/absolute/folder cargo test ...
    let out = std::env::var_os("MMCOLLAPSE_LOOK").map_or(folder.path().to_owned(), PathBuf::from);
    let paths = render(&TABLE, &experiment(10), &provenance(), &out).unwrap();
    assert_eq!(paths.len(), 12);
    let read = |name: &str| fs::read(out.join(name)).unwrap();
    let text = |name: &str| String::from_utf8(read(name)).unwrap();
    // Each cell once, however many levels it is scored at.
    let keys: Vec<String> = text("runs.keys").lines().map(str::to_owned).collect();
    assert_eq!(keys.len(), experiment(10).len());
    assert!(keys.is_sorted() && keys.iter().all(|key| key.len() == 64), "{keys:?}");
    for name in ["table.md", "table.tex", "figure.svg"] {
        for fact in [
            "mmcollapse reproduce table4",
            "0123456789ab",
            "fedcba987654",
            "Example CPU 3000",
        ] {
            assert!(text(name).contains(fact), "{name}: {fact}");
        }
    }
    for name in ["table", "runs", "figure"] {
        let json = text(&format!("{name}.provenance.json"));
        assert_eq!(serde_json::from_str::<Provenance>(&json).unwrap(), provenance());
    }
    for name in ["table", "runs"] {
        let parquet = std::io::Cursor::new(read(&format!("{name}.parquet")));
        let frame = ParquetReader::new(parquet).finish().unwrap();
        let csv = text(&format!("{name}.csv"));
        assert_eq!(csv.lines().count(), frame.height() + 1, "{name}");
        let header: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
        assert_eq!(frame.get_column_names(), header, "{name}");
    }
    assert!(read("figure.png").starts_with(b"\x89PNG"));
}

#[test]
fn no_number_of_the_paper_stands_beside_a_control() {
    let mut records = experiment(2);
    let of_kd = records.iter().filter(|record| record.row == "shaspec+kd").cloned();
    let control = of_kd.map(|mut record| {
        record.row.reallocation.name = "pretrained".into();
        record.row.reallocation.control = true;
        record
    });
    records.extend(control.collect::<Vec<_>>());
    let summary = Summary::new("table4", &records, &Paper::of(&TABLE).unwrap()).unwrap();
    let printed = |row: &str| {
        let method = summary.methods.iter().position(|method| method == row).unwrap();
        summary
            .groups
            .iter()
            .filter(|group| group.method == method && group.paper.is_some())
            .count()
    };
    assert!(printed("shaspec+kd") > 0);
    assert_eq!(printed("shaspec+pretrained"), 0);
    // Nor has a control been run in its stead.
    records.retain(|record| record.row != "shaspec+kd");
    let folder = tempfile::tempdir().unwrap();
    render(&TABLE, &records, &provenance(), folder.path()).unwrap();
    let table = fs::read_to_string(folder.path().join("table.md")).unwrap();
    assert!(table.contains("ShaSpec + KD (not run here)"), "{table}");
}

#[test]
fn equal_records_give_equal_files() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("1"), folder.path().join("2"));
    render(&TABLE, &experiment(2), &provenance(), &one).unwrap();
    for path in render(&TABLE, &experiment(2), &provenance(), &two).unwrap() {
        let name = path.file_name().unwrap();
        assert!(
            fs::read(one.join(name)).unwrap() == fs::read(&path).unwrap(),
            "{name:?}"
        );
    }
}

#[test]
fn what_is_incomplete_or_a_smoke_test_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let smoke = Provenance {
        preset: Preset::Smoke,
        missing: 7,
        ..provenance()
    };
    render(&TABLE, &experiment(2), &smoke, folder.path()).unwrap();
    let table = fs::read_to_string(folder.path().join("table.md")).unwrap();
    assert!(table.contains("Incomplete: 7 of 407 cells are missing"));
    assert!(table.contains("Preset smoke"));
}

/// At n = 10 and q = 1601 / 5599: sqrt(1 + 10 q) = 1.96.
#[test]
fn what_intervals_leave_out_is_said_where_seeds_share_records() {
    let folder = tempfile::tempdir().unwrap();
    let text = |overlap| {
        let provenance = Provenance {
            overlap,
            seeds: 10,
            ..provenance()
        };
        render(&TABLE, &experiment(10), &provenance, folder.path()).unwrap();
        fs::read_to_string(folder.path().join("table.md")).unwrap()
    };
    assert!(
        text(Some(1601.0 / 5599.0))
            .contains("at n = 10 the intervals of the verdicts, which do, are 2.0 times as wide")
    );
    assert!(!text(None).contains("times as wide"));
}

#[test]
fn another_data_set_stands_without_the_papers_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let table = |provenance: Provenance| {
        render(&TABLE, &experiment(3), &provenance, folder.path()).unwrap();
        fs::read_to_string(folder.path().join("table.md")).unwrap()
    };
    let here = table(provenance());
    let there = table(Provenance {
        dataset: Some("avmnist-hard".into()),
        ..provenance()
    });
    assert!(there.contains("data set avmnist-hard instead"), "{there}");
    assert!(there.contains("these never count for the paper's data"));
    assert!(
        here.contains("95.89") && !there.contains("95.89"),
        "a number of the paper"
    );
}

#[test]
fn synthetic_data_are_called_so_wherever_numbers_stand() {
    let folder = tempfile::tempdir().unwrap();
    let provenance = Provenance {
        dataset: Some("ehr-planted".into()),
        synthetic: Some("Synthetic data: planted features, no patients.".to_owned()),
        ..provenance()
    };
    render(&TABLE, &experiment(3), &provenance, folder.path()).unwrap();
    for name in ["table.md", "table.tex", "figure.svg", "table.provenance.json"] {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(
            text.contains("Synthetic data: planted features, no patients"),
            "{name}: {text}"
        );
    }
    let table = fs::read_to_string(folder.path().join("table.md")).unwrap();
    assert!(table.contains("synthetic data set ehr-planted instead"), "{table}");
}

#[test]
fn nothing_to_show_is_an_error_that_says_what_to_do() {
    let error = render(&TABLE, &[], &provenance(), Path::new("nowhere")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "table4: no cell of preset quick has finished, so there is nothing to show"
    );
    assert!(
        error
            .help()
            .unwrap()
            .to_string()
            .contains("mmcollapse reproduce table4")
    );
}

/// Records of two levels of beta with measures, and of training with curves.
fn other_shapes() -> Vec<Record> {
    let mut records = Vec::new();
    for (row, reallocation) in [("concat", "none"), ("concat+kd", "kd")] {
        for (seed, beta) in (0..5).flat_map(|seed| [(seed, 0.0), (seed, 4.0)]) {
            let ok = Status::Ok;
            let methods = ("concat", reallocation);
            let mut record = record(
                row,
                methods,
                "upweighted_loss",
                seed,
                &[(beta, 400 + seed as usize)],
                ok,
            );
            let like = record.outcome.scores[0].clone();
            for (metric, split, value) in [
                ("rank_effective", Split::Test, 20.0 - beta + seed as f64),
                ("cka_sound", Split::Test, 0.4 + 0.01 * seed as f64),
                ("loss_semantic", Split::Train, 0.2 + 0.01 * seed as f64),
            ] {
                record.outcome.scores.push(Score {
                    metric: metric.parse().unwrap(),
                    split,
                    value,
                    ..like.clone()
                });
            }
            let curve = (0..40)
                .map(|e| 2.3 * libm::exp(-0.1 * f64::from(e) - 0.01 * seed as f64))
                .collect();
            record.outcome.curves.insert("semantic".into(), curve);
            records.push(record);
        }
    }
    records
}

#[test]
fn measures_have_sheets_and_panels_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let out =
        std::env::var_os("MMCOLLAPSE_LOOK").map_or(folder.path().to_owned(), |p| PathBuf::from(p).join("measures"));
    let measures = ExperimentInfo {
        shows: Shows::Measures(&["rank_effective", "accuracy", "cka_sound"]),
        ..TABLE
    };
    render(&measures, &other_shapes(), &provenance(), &out).unwrap();
    let table = fs::read_to_string(out.join("table.md")).unwrap();
    for part in [
        "effective rank",
        "CKA with sound",
        "β = 4",
        "18.000 ± 1.963",
        "| Concat + KD ",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    // What the spec asks for is shown, too.
    let asking = ExperimentInfo {
        spec: "measures: [rank_effective]",
        shows: Shows::Measures(&["accuracy"]),
        ..TABLE
    };
    let beside = folder.path().join("asked");
    render(&asking, &other_shapes(), &provenance(), &beside).unwrap();
    let asked = fs::read_to_string(beside.join("table.md")).unwrap();
    assert!(asked.contains("18.000 ± 1.963"), "{asked}");
    // A rank is no share: nothing is written in percent or compared with the paper but the accuracy.
    assert!(!table.contains("2200.00"), "{table}");
    let figure = fs::read_to_string(out.join("figure.svg")).unwrap();
    assert!(figure.contains("<svg"));
}

/// Each series starts at 0 with its control, which several series may share.
#[test]
fn measures_are_drawn_against_the_dose() {
    let folder = tempfile::tempdir().unwrap();
    let out = std::env::var_os("MMCOLLAPSE_LOOK").map_or(folder.path().to_owned(), |p| PathBuf::from(p).join("doses"));
    let mut records = Vec::new();
    for seed in 0..6 {
        let wave = (seed % 3) as usize;
        let mut add = |row: &str, dose: Option<(&str, f64)>, right: usize, confusion: f64| {
            let fusion = row.split('+').next().unwrap_or(row);
            let reallocation = if fusion == row { "none" } else { "ebr" };
            let mut record = record(
                row,
                (fusion, reallocation),
                "test_missing",
                seed,
                &[(0.9, right + wave)],
                Status::Ok,
            );
            if let Some((series, at)) = dose {
                record.row.reallocation.twin = Some("heads".to_owned());
                let series = series.to_owned();
                record.row.reallocation.dose = Some(Dose { series, at });
            }
            record.outcome.scores.push(Score {
                protocol: record.setting.protocol,
                rate: 0.9,
                split: Split::Test,
                metric: metric("confusion"),
                value: confusion + 0.01 * wave as f64,
                n: 900,
            });
            records.push(record);
        };
        add("concat+heads", None, 400, 0.1);
        for (place, at) in [0.1, 1.0, 10.0].into_iter().enumerate() {
            add(
                &format!("concat+reversal_{place}"),
                Some(("reversal", at)),
                390 - 20 * place,
                0.3 + 0.35 * place as f64,
            );
        }
        add("concat+confusion_1", Some(("uniform confusion", 1.0)), 405, 0.95);
        add("concat", None, 380, 0.0);
    }
    let doses = ExperimentInfo {
        shows: Shows::Dose {
            of: "weight of the adversary",
            measures: &["confusion", "accuracy"],
        },
        ..TABLE
    };
    render(&doses, &records, &provenance(), &out).unwrap();
    let figure = fs::read_to_string(out.join("figure.svg")).unwrap();
    assert!(figure.contains("<svg"));
    let summary = Summary::new("table4", &records, &table4()).unwrap();
    let text = FigureText {
        title: "doses",
        preset: "quick",
        warnings: vec![],
        provenance: String::new(),
        ..FigureText::default()
    };
    let drawn = Figure::of_doses(
        &summary,
        "weight of the adversary",
        &[metric("confusion"), metric("accuracy")],
        text,
    );
    let row = &drawn.rows[0];
    assert_eq!(row.x_ticks, ["0", "0.1", "1", "10"]);
    let [confusion, accuracy] = &row.panels[..] else {
        panic!("{:?}", row.panels)
    };
    assert_eq!(confusion.guides[0].values, [Some(0.9)]);
    assert!(accuracy.guides.is_empty());
    let means = |panel: &crate::figure::Panel, line: usize| -> Vec<Option<f64>> {
        let points = panel.lines[line].points.iter();
        points
            .map(|point| point.map(|point| (100.0 * point.mean).round() / 100.0))
            .collect()
    };
    assert_eq!(means(confusion, 0), [Some(0.11), Some(0.31), Some(0.66), Some(1.01)]);
    assert_eq!(means(confusion, 1), [Some(0.11), None, Some(0.96), None]);
    let names: Vec<&str> = drawn.legend.iter().map(|(name, _)| name.as_str()).collect();
    // A row that is in no series is a level line.
    assert_eq!(names, ["reversal", "uniform confusion", "Concat"]);
    assert_eq!(means(accuracy, 2), [Some(84.67); 4]);
}

/// Planted data of several levels are data sets of their own; each reallocation of dosed fusions is a series.
#[test]
fn planted_levels_have_panels_of_their_own() {
    let mut records = Vec::new();
    for seed in 0..6 {
        for (level, lost) in [(1.0, 0), (16.0, 40)] {
            for (row, rank, right) in [
                ("concat_2", 2.0, 100),
                ("concat_8", 8.0, 300),
                ("concat_2+kd", 2.0, 150),
                ("concat_8+kd", 8.0, 310),
            ] {
                let (fusion, reallocation) = row.split_once('+').unwrap_or((row, "none"));
                let levels = [(level, right - lost + (seed % 3) as usize)];
                let protocol = "planted_noisier_distinct";
                let mut record = record(row, (fusion, reallocation), protocol, seed, &levels, Status::Ok);
                let series = "bounded rank".to_owned();
                record.row.fusion.dose = Some(Dose { series, at: rank });
                records.push(record);
            }
        }
    }
    let summary = Summary::new("planted-rank", &records, &table4()).unwrap();
    let text = FigureText {
        title: "ranks",
        preset: "quick",
        warnings: vec![],
        provenance: String::new(),
        ..FigureText::default()
    };
    let drawn = Figure::of_doses(&summary, "rank", &[metric("accuracy")], text);
    let names: Vec<&str> = drawn.legend.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["bounded rank", "bounded rank + KD"]);
    let headings: Vec<&str> = drawn.rows.iter().map(|row| row.heading.as_str()).collect();
    assert!(
        headings[0].starts_with("planted_noisier_distinct at 1 (noise features"),
        "{headings:?}"
    );
    assert!(
        headings[1].starts_with("planted_noisier_distinct at 16 (noise features"),
        "{headings:?}"
    );
    let means = |row: usize, line: usize| -> Vec<f64> {
        let points = drawn.rows[row].panels[0].lines[line].points.iter();
        points.map(|point| (point.unwrap().mean * 4.5).round()).collect()
    };
    assert_eq!((means(0, 0), means(0, 1)), (vec![101.0, 301.0], vec![151.0, 311.0]));
    assert_eq!((means(1, 0), means(1, 1)), (vec![61.0, 261.0], vec![111.0, 271.0]));
}

#[test]
fn curves_are_drawn_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = std::env::var_os("MMCOLLAPSE_LOOK").map_or(folder.path().to_owned(), |p| PathBuf::from(p).join("curves"));
    let curves = ExperimentInfo {
        shows: Shows::Curves,
        ..TABLE
    };
    let mut records = other_shapes();
    records.retain(|record| record.trained_level() == Some(0.0));
    let paths = render(&curves, &records, &provenance(), &out).unwrap();
    assert!(paths.iter().any(|path| path.ends_with("curves.parquet")));
    let table = fs::read_to_string(out.join("table.md")).unwrap();
    for part in ["plateaus of the semantic loss", "epochs until 90 %", "0.220 ± 0.020"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let csv = fs::read_to_string(out.join("curves.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 10 * 40);
}

#[test]
fn probes_are_drawn_against_the_level_and_along_training() {
    let mut records = Vec::new();
    for (row, reallocation, loss) in [
        ("concat", "none", 0.3),
        ("concat+kd", "kd", 0.1),
        ("concat+ebr", "ebr", 0.4),
    ] {
        for (seed, count) in (0..6).flat_map(|seed| [2_u32, 3, 4, 5].map(|count| (seed, count))) {
            let ok = Status::Ok;
            let levels = [(f64::from(count), 400 + seed as usize)];
            let mut record = record(row, ("concat", reallocation), "modalities", seed, &levels, ok);
            record.outcome.diagnosis.eliminated = Some("notes".to_owned());
            let like = record.outcome.scores[0].clone();
            for (metric, value) in [("gap_first", loss - 0.2), ("gap_eliminated", loss)] {
                record.outcome.scores.push(Score {
                    metric: metric.parse().unwrap(),
                    value: 0.1 * (value + 0.05 * f64::from(count) + 0.02 * seed as f64),
                    ..like.clone()
                });
            }
            for (place, modality) in ["labs", "notes"].iter().enumerate() {
                for (encoder, lost) in [("prefix", loss), ("baseline", 0.0)] {
                    let at = |point: u32| {
                        let fall = libm::exp(-f64::from(point));
                        0.4 + 0.1 * place as f64 + lost * 0.1 * f64::from(count) + 0.01 * seed as f64 + 0.3 * fall
                    };
                    let curve = (0..6).map(at).collect();
                    record
                        .outcome
                        .curves
                        .insert(format!("probe_{encoder}_{modality}"), curve);
                }
            }
            records.push(record);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let out = std::env::var_os("MMCOLLAPSE_LOOK").map_or(folder.path().to_owned(), |p| PathBuf::from(p).join("probes"));
    let probes = ExperimentInfo {
        shows: Shows::Probes(&["gap_first", "gap_eliminated"]),
        ..TABLE
    };
    render(&probes, &records, &provenance(), &out).unwrap();
    let figure = fs::read_to_string(out.join("figure.svg")).unwrap();
    assert!(
        figure.contains("same modality's encoder trained on its own loss"),
        "{figure}"
    );
    // Models lose modalities of their own, so these gaps are not of one thing.
    let table = fs::read_to_string(out.join("table.md")).unwrap();
    assert!(
        table.contains("gap of the first modality (points), what reallocation adds"),
        "{table}"
    );
    assert!(table.contains("gap of the eliminated modality (points)"), "{table}");
    assert!(!table.contains("gap of the eliminated modality (points), what reallocation adds"));
    let csv = fs::read_to_string(out.join("probes.csv")).unwrap();
    let header = "row,protocol,seed,modalities,modality,eliminated,encoder,point,points,cross_entropy\n";
    assert!(csv.starts_with(header), "{csv}");
    // Three rows, six seeds, four levels, of each two modalities inside and alone at six points.
    assert_eq!(csv.lines().count(), 1 + 3 * 6 * 4 * 2 * 2 * 6);
}

/// Rows that are named are drawn, and only those; where roles are known there is a second row of panels.
#[test]
fn neurons_are_drawn() {
    let mut records = Vec::new();
    for (row, seed) in ["concat", "concat+kd", "concat+ebr"]
        .into_iter()
        .flat_map(|row| (0..4).map(move |seed| (row, seed)))
    {
        let reallocation = row.split_once('+').map_or("none", |(_, name)| name);
        let right = [(2.0, 380 + seed as usize), (4.0, 370)];
        let mut record = record(row, ("concat", reallocation), "planted_noise", seed, &right, Status::Ok);
        for (name, share) in [("noise_m1", 0.2), ("predictive_m2", 0.5), ("conjugate_m1", 0.3)] {
            let shares = (0..8).map(|neuron| share + 0.01 * f64::from(neuron)).collect();
            record.outcome.curves.insert(format!("neurons_{name}"), shares);
        }
        records.push(record);
    }
    let folder = tempfile::tempdir().unwrap();
    let out =
        std::env::var_os("MMCOLLAPSE_LOOK").map_or(folder.path().to_owned(), |p| PathBuf::from(p).join("neurons"));
    let neurons = ExperimentInfo {
        shows: Shows::Neurons {
            rows: &["concat", "concat+ebr"],
            measures: &["accuracy"],
        },
        ..TABLE
    };
    render(&neurons, &records, &provenance(), &out).unwrap();
    let summary = Summary::new("t", &records, &Paper::of(&TABLE).unwrap()).unwrap();
    let text = || FigureText {
        title: "t",
        preset: "quick",
        warnings: Vec::new(),
        provenance: String::new(),
        ..FigureText::default()
    };
    let figure = Figure::of_neurons(&records, &summary, &["concat", "concat+ebr"], text());
    let names: Vec<&str> = figure.legend.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["no reallocation", "EBR"]);
    assert_eq!(figure.rows.len(), 2);
    let first = &figure.rows[0].panels[0].lines[0];
    // The first modality leads, with noise and conjugate features: .64 in the last neuron.
    assert!((first.points[0].unwrap().mean - 64.0).abs() < 1e-9, "{first:?}");
    let meeting = &figure.rows[1].panels[0].lines[1];
    assert!((meeting.points[0].unwrap().mean - 27.0).abs() < 1e-9, "{meeting:?}");
    // Runs that tell no roles have one row of panels.
    for record in &mut records {
        let shares = record.outcome.curves.remove("neurons_noise_m1").unwrap();
        record.outcome.curves = [("neurons_m1".to_owned(), shares)].into();
    }
    assert_eq!(
        Figure::of_neurons(&records, &summary, &["concat"], text()).rows.len(),
        1
    );
}

/// Levels that are numbers of modalities have columns of their own, a protocol without levels has none, and a metric that
/// nobody measured no sheet.
#[test]
fn numbers_and_patterns_of_modalities_are_named_in_tables() {
    let mut records = Vec::new();
    for (seed, count) in (0..5).flat_map(|seed| [(seed, 3.0), (seed, 2.0)]) {
        let ok = Status::Ok;
        let right = [(count, 400 + seed as usize)];
        let mut record = record("concat", ("concat", "none"), "mortality_modalities", seed, &right, ok);
        let score = Score {
            metric: "vif_mean".parse().unwrap(),
            value: count + seed as f64,
            ..record.outcome.scores[0].clone()
        };
        record.outcome.scores.push(score);
        records.push(record);
    }
    for (row, seed) in (0..5).flat_map(|seed| [("concat", seed), ("concat+zeros", seed)]) {
        let ok = Status::Ok;
        let right = [(0.0, 390 + seed as usize)];
        records.push(record(row, ("concat", "none"), "mortality_patterns", seed, &right, ok));
    }
    let folder = tempfile::tempdir().unwrap();
    let out =
        std::env::var_os("MMCOLLAPSE_LOOK").map_or(folder.path().to_owned(), |p| PathBuf::from(p).join("modalities"));
    let experiment = ExperimentInfo {
        shows: Shows::Measures(&["vif_mean", "rank_effective", "accuracy"]),
        ..TABLE
    };
    render(&experiment, &records, &provenance(), &out).unwrap();
    let table = fs::read_to_string(out.join("table.md")).unwrap();
    assert!(table.contains("|  2 modalities |  3 modalities |"), "{table}");
    assert!(table.contains("mean variance inflation factor"), "{table}");
    assert!(!table.contains("effective rank"), "{table}");
    let patterns = &table[table.find("mortality\\_patterns").unwrap()..];
    assert!(patterns.contains("| Concat + Zeros | here |"), "{patterns}");
    assert!(!patterns.contains("| 0 % |"), "{patterns}");
    // Each on its own reference: the row without a stand-in.
    assert!(patterns.contains("what reallocation adds"), "{patterns}");
}

/// p values of the paper stand beside ours on its own data only, and apart from them always.
#[test]
fn tests_of_a_row_stand_beside_the_papers_on_its_own_data_only() {
    let versus = ExperimentInfo {
        name: "table8",
        title: "Table 8",
        paper: Some(
            "source: {reference: R, table: Table 8, caption: c}
metric: accuracy
unit: probability
rates: [0.95]
rows: []
means: [{fusion: shaspec, values: {test_missing_accuracy: 0.0085}}]
",
        ),
        shows: Shows::Tests {
            row: "shaspec+kd",
            others: &[],
        },
        ..TABLE
    };
    let folder = tempfile::tempdir().unwrap();
    let written = |provenance: &Provenance| {
        render(&versus, &experiment(10), provenance, folder.path()).unwrap();
        fs::read_to_string(folder.path().join("table.md")).unwrap()
    };
    let here = written(&provenance());
    assert!(
        here.contains("ShaSpec + KD against every other row") && here.contains("least p | paper |"),
        "{here}"
    );
    assert_eq!(
        here.matches("0.0085").count(),
        3,
        "both pairings, and the paper's own sheet: {here}"
    );
    let there = written(&Provenance {
        dataset: Some("avmnist-hard".into()),
        ..provenance()
    });
    assert!(!there.contains("least p | paper |"), "{there}");
    assert_eq!(there.matches("0.0085").count(), 1, "{there}");
    let csv = fs::read_to_string(folder.path().join("tests.csv")).unwrap();
    assert!(
        csv.starts_with("experiment,protocol,metric,row,against,pairing,pairs,difference,"),
        "{csv}"
    );
    let rows: BTreeSet<String> = experiment(10).iter().map(|r| r.row.to_string()).collect();
    let others = rows.len() - 1;
    // Two protocols, two pairings.
    assert_eq!(csv.lines().count(), 4 * others + 1, "{csv}");
}

/// Planted data have a set a level: naming fifteen would fill a figure's foot.
#[test]
fn many_data_sets_of_one_kind_are_counted() {
    let mut provenance = provenance();
    for level in 0..15 {
        let name = format!("planted-features:noise={level}");
        provenance.data.insert(name, "0".repeat(64));
    }
    let facts = facts(&provenance);
    let data: Vec<&String> = facts.iter().filter(|fact| fact.contains("data ")).collect();
    assert_eq!(
        data,
        [
            "data avmnist fedcba987654",
            "15 data sets planted-features, each named in provenance.json"
        ]
    );
}
