use std::fs;

use super::claims::Claims;
use super::results::Results;
use super::verdict::{Verdict, families, in_words, on_own_data, whole};
use super::*;
use crate::render::render;
use crate::summary::synthetic::{TABLE4, record};
use mmcollapse_record::{
    Commit, Machine, Origin, OriginCount, Preset, ProtocolKind, Provenance, Record, Shows, Status, TunedBy,
};

const TABLE: ExperimentInfo = ExperimentInfo {
    name: "table4",
    title: "Table 4 <made up>",
    spec: include_str!("../../../../experiments/table4/spec.yaml"),
    common: None,
    paper: Some(TABLE4),
    shows: Shows::Scores,
};

const CLAIMS: &str = "\
claims:
  - id: C6
    place: Table 4
    states: Reallocation | helps <b>.
    tests:
      - {says: kd above none, experiment: table4, protocol: test_missing, metric: accuracy, row: shaspec+kd, against: shaspec, claimed: higher, margin: 0.01}
      - {says: none above kd, experiment: table4, protocol: test_missing, metric: accuracy, row: shaspec, against: shaspec+kd, claimed: higher, margin: 0.01}
      - {says: concat differs, experiment: table4, protocol: test_missing, metric: accuracy, row: concat+kd, against: concat, claimed: higher, margin: 0.01}
      - {says: concat differs much, experiment: table4, protocol: test_missing, metric: accuracy, row: concat+kd, against: concat, claimed: higher, margin: 0.001}
      - {says: falls, experiment: table4, protocol: test_missing, metric: accuracy, row: shaspec, from: 0.9, to: 0.95, claimed: lower, margin: 0.01}
      - {says: absent, experiment: table4, protocol: test_missing, metric: accuracy, row: muse, claimed: higher, margin: 0.01}
      - {says: without a number, experiment: table4, protocol: test_missing, metric: accuracy_only_sound, row: concat+kd, against: concat, claimed: higher, margin: 0.01}
      - {says: not asked, experiment: table4, protocol: test_missing, metric: accuracy_only_sound, row: shaspec+kd, against: shaspec, claimed: higher, margin: 0.01}
  - {id: L1, place: Lemma 1, states: Something else., tests: []}
inconsistent: [Some *things*.]
";

/// ShaSpec gains 9 of 450 by KD, concat nothing on average; sound at 95 % costs 9.
fn records() -> Vec<Record> {
    let mut records = Vec::new();
    for (row, fusion, reallocation) in [
        ("shaspec", "shaspec", "none"),
        ("shaspec+kd", "shaspec", "kd"),
        ("concat", "concat", "none"),
        ("concat+kd", "concat", "kd"),
    ] {
        for seed in 0..10_u64 {
            let wobble = seed as usize % 3;
            let right = match row {
                "shaspec+kd" => 420 + wobble + seed as usize % 2,
                "concat+kd" => 410 + wobble + 2 * (seed as usize % 2),
                _ => 411 + wobble,
            };
            let levels = [(0.95, right - 9 - seed as usize % 4), (0.9, right)];
            records.push(record(
                row,
                (fusion, reallocation),
                "test_missing",
                seed,
                &levels,
                match (row, seed) {
                    ("concat+kd", 3) => Status::Diverged {
                        reason: "loss is not finite".into(),
                        epoch: 4,
                    },
                    _ => Status::Ok,
                },
            ));
        }
    }
    records
}

/// Every part is somewhere in the text.
fn has_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// A folder with the results of the made-up experiment, in the folder of this name.
fn results(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let provenance = Provenance {
        experiment: "table4".into(),
        preset: name.trim_end_matches("-tuned").parse().unwrap(),
        command: "mmcollapse reproduce table4".into(),
        cells: 40,
        seeds: 10,
        ..Provenance::default()
    };
    let out = folder.path().join("results").join("table4").join(name);
    render(&TABLE, &records(), &provenance, &out).unwrap();
    folder
}

/// Adds results of the made-up experiment on another data set.
fn on_avmnist_hard(records: &[Record], root: &Path) {
    let provenance = Provenance {
        experiment: "table4".into(),
        preset: Preset::Quick,
        command: "mmcollapse reproduce table4 --dataset avmnist-hard".into(),
        cells: 40,
        seeds: 10,
        dataset: Some("avmnist-hard".into()),
        ..Provenance::default()
    };
    render(&TABLE, records, &provenance, &root.join("table4/avmnist-hard-quick")).unwrap();
}

#[test]
fn every_verdict_is_reached() {
    let folder = results("quick");
    let claims = Claims::parse(CLAIMS, &[TABLE]).unwrap();
    let found = Results::read(&[TABLE], &folder.path().join("results")).unwrap();
    let tested = &families(&claims.claims[0], &found).unwrap()[0].tests;
    let verdicts: Vec<Verdict> = tested.iter().map(|t| t.verdict).collect();
    assert_eq!(
        verdicts,
        [
            Verdict::Holds,
            Verdict::Opposite,
            Verdict::DoesNotHold,
            Verdict::Undecided,
            Verdict::Holds,
            Verdict::NotMeasured,
            Verdict::NoNumber,
            Verdict::NotMeasured
        ]
    );
    // The change between two levels is that of each seed: 9, 10, 11 or 12 of 450.
    let fall = &tested[4].numbers.as_ref().unwrap().0.estimate;
    let expected = -(9.0 * 3.0 + 10.0 * 3.0 + 11.0 * 2.0 + 12.0 * 2.0) / 10.0 / 450.0;
    assert!((fall.mean - expected).abs() < 1e-12, "{}", fall.mean);
    assert_eq!(fall.n, 10);
    assert_eq!(
        whole(tested),
        "holds in part: 2 of 5 tests hold, 2 do not (no number in 1 of 8 tests: runs diverged) (2 of 8 tests not measured)"
    );
    assert_eq!(whole(&tested[..1]), "holds");
    assert_eq!(whole(&tested[1..3]), "does not hold");
    assert_eq!(whole(&tested[3..4]), "cannot be decided at this n");
    assert_eq!(whole(&tested[5..6]), "not measured");
    assert_eq!(whole(&tested[6..7]), "no number: runs diverged");
    assert_eq!(whole(&tested[6..]), "not measured");
    assert_eq!(whole(&[]), "not tested here yet");
}

/// Tuned settings are another result, not a larger preset.
#[test]
fn tuned_results_are_not_taken_for_a_preset() {
    let folder = results("quick-tuned");
    let found = Results::read(&[TABLE], &folder.path().join("results")).unwrap();
    assert!(found.experiments.is_empty());
}

/// They are shown apart, with tests and a correction of their own.
#[test]
fn tuned_settings_have_verdicts_of_their_own() {
    let folder = results("quick");
    let root = folder.path().join("results");
    let claims = Claims::parse(CLAIMS, &[TABLE]).unwrap();
    let before = Results::read(&[TABLE], &root).unwrap();
    let untuned = reproduction::markdown(&claims, &before).unwrap();
    assert!(!untuned.contains("With tuned settings"), "{untuned}");

    let provenance = Provenance {
        experiment: "table4".into(),
        preset: Preset::Quick,
        command: "mmcollapse reproduce table4 --tuned".into(),
        cells: 20,
        seeds: 10,
        tuned: Some(TunedBy {
            file: "results/tuned/table4/quick.yaml".into(),
            protocol: ProtocolKind::TestMissing,
            rate: 0.9,
            trials: 16,
            seeds: vec![1000, 1001],
            left_out: vec![],
        }),
        ..Provenance::default()
    };
    // Two of the rows were tuned.
    let searched: Vec<_> = records()
        .into_iter()
        .filter(|r| r.row.fusion.name == "shaspec")
        .collect();
    render(&TABLE, &searched, &provenance, &root.join("table4/quick-tuned")).unwrap();
    let results = Results::read(&[TABLE], &root).unwrap();
    assert_eq!((results.experiments.len(), results.tuned.len()), (1, 1));
    let both = families(&claims.claims[0], &results).unwrap();
    let named: Vec<_> = both.iter().map(|f| (f.dataset, f.tuned, f.tests.len())).collect();
    let tuned = both[1].tests.len();
    assert_eq!(named, [(None, false, 8), (None, true, tuned)]);
    assert!(
        tuned < 6
            && both[1]
                .tests
                .iter()
                .all(|t| t.test.row.to_string().starts_with("shaspec"))
    );
    let (difference, p) = both[1].tests[0].numbers.as_ref().unwrap();
    assert!((tuned as f64 * difference.wilcoxon.p - p).abs() < 1e-12);
    assert_eq!(
        in_words(&both),
        in_words(&families(&claims.claims[0], &before).unwrap())
    );

    let text = reproduction::markdown(&claims, &results).unwrap();
    has_all(
        &text,
        &[
            "| verdict on the paper's data | with tuned settings |\n",
            "| Something else. | not tested here yet | – |\n",
            "### With tuned settings\n",
            "- [table4](table4/quick-tuned/table.md), 10 seeds\n",
            "| table4 | quick, tuned | 20 |",
            "It covers table4 (quick); with tuned settings: table4 (quick).",
        ],
    );
    let page = page::html(&text, &results);
    assert!(page.contains("id=\"table4-tuned\"") && page.contains("id=\"table4\""));
}

#[test]
fn the_report_is_written_from_results_alone() {
    let folder = results("quick");
    let root = folder.path().join("results");
    let Written::Pages(paths) = write(&[TABLE], CLAIMS, &root, false).unwrap() else {
        panic!("kept");
    };
    assert_eq!(paths, [root.join("REPRODUCTION.md"), root.join("report/index.html")]);
    // Nothing beside the folder: a file of that name may be the user's own.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let text = fs::read_to_string(&paths[0]).unwrap();
    has_all(
        &text,
        &[
            "| C6 | Table 4 | Reallocation \\| helps \\<b>. | holds in part",
            "| L1 | Lemma 1 | Something else. | not tested here yet |",
            "- Some \\*things\\*.",
            "| shaspec+kd | test\\_missing |",
            "`mmcollapse reproduce table4`",
        ],
    );
    let page = fs::read_to_string(&paths[1]).unwrap();
    has_all(
        &page,
        &[
            "<svg",
            "Table 4 &lt;made up&gt;",
            "helps &lt;b&gt;.",
            "aria-sort",
            "id=\"table4\"",
        ],
    );
    assert!(!page.contains("<metadata>"), "the caption says where it comes from");
    // Nothing is asked from outside. Namespaces are names, not addresses to go to.
    for outside in [
        "src=\"http",
        "href=\"http",
        "url(http",
        "@import",
        "<link rel=\"stylesheet",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(
        write(&[TABLE], CLAIMS, &root, false).unwrap(),
        Written::Pages(paths.clone())
    );
    assert_eq!(fs::read_to_string(&paths[1]).unwrap(), page);
}

/// What is less complete leaves the report as it is, whatever is less: an experiment, a data set, seeds, cells, a preset.
#[test]
fn a_report_is_not_replaced_by_one_that_rests_on_less() {
    let whole = || {
        let folder = results("quick");
        on_avmnist_hard(&records(), &folder.path().join("results"));
        write(&[TABLE], CLAIMS, &folder.path().join("results"), false).unwrap();
        folder
    };
    let less = |change: &dyn Fn(&Path), lost: &str| {
        let folder = whole();
        let root = folder.path().join("results");
        let read = || {
            let page = fs::read_to_string(root.join("report/index.html")).unwrap();
            (fs::read_to_string(root.join("REPRODUCTION.md")).unwrap(), page)
        };
        let before = read();
        change(&root);
        let Written::Kept(reason) = write(&[TABLE], CLAIMS, &root, false).unwrap() else {
            panic!("replaced, though it loses {lost}");
        };
        assert!(reason.contains(lost) && reason.contains("--force"), "{lost}: {reason}");
        assert_eq!(read(), before);
        assert!(matches!(
            write(&[TABLE], CLAIMS, &root, true).unwrap(),
            Written::Pages(_)
        ));
        assert_ne!(read(), before);
    };
    less(
        &|root| fs::remove_dir_all(root.join("table4/quick")).unwrap(),
        "lose table4 (quick, 10 seeds, 40 cells)",
    );
    less(
        &|root| fs::remove_dir_all(root.join("table4/avmnist-hard-quick")).unwrap(),
        "lose table4 --dataset avmnist-hard (quick, 10 seeds, 40 cells)",
    );
    let change = |root: &Path, field: &str, by: &str| {
        let path = root.join("table4/quick/runs.provenance.json");
        let text = fs::read_to_string(&path).unwrap().replace(field, by);
        write_atomic(&path, text.as_bytes()).unwrap();
    };
    less(
        &|root| change(root, "\"cells\": 40", "\"cells\": 39"),
        "(quick, 10 seeds, 40 cells): there are quick, 10 seeds, 39 cells",
    );
    less(
        &|root| change(root, "\"seeds\": 10", "\"seeds\": 9"),
        "there are quick, 9 seeds, 40 cells",
    );
}

/// The pages say which results are stale, and at which commits cells were trained, whatever drew the figure.
#[test]
fn pages_tell_stale_results_and_the_commits_of_their_cells() {
    let folder = results("quick");
    let root = folder.path().join("results");
    let commit = |hash: &str| {
        Some(Commit {
            hash: hash.repeat(40),
            dirty: false,
        })
    };
    let of = |hash: &str, device: &str| OriginCount {
        origin: Origin {
            version: "1".into(),
            commit: commit(hash),
            machine: Machine {
                cpu: "c".into(),
                cores: 1,
                os: "o".into(),
            },
            device: device.into(),
        },
        cells: 20,
    };
    let provenance = Provenance {
        experiment: "table4".into(),
        preset: Preset::Quick,
        command: "mmcollapse reproduce table4".into(),
        commit: commit("d"),
        cells: 40,
        seeds: 10,
        origins: vec![of("a", "cpu"), of("b", "cpu"), of("a", "cuda:0")],
        ..Provenance::default()
    };
    render(&TABLE, &records(), &provenance, &root.join("table4/quick")).unwrap();
    let pages = || pages(&[TABLE], CLAIMS, &root).unwrap().map(|(_, text)| text);
    let line = |state: &str| format!("| table4 | quick{state} | 40 | 10 | aaaaaaaaaaaa, bbbbbbbbbbbb |");
    let [text, page] = pages();
    has_all(&text, &[&line("")]);
    assert!(!page.contains("Stale"), "{page}");
    write_atomic(&root.join(STATES), b"table4/quick: stale\n").unwrap();
    let [text, page] = pages();
    has_all(&text, &[&line(", stale")]);
    has_all(&page, &["<strong>Stale</strong>"]);
    write_atomic(&root.join(STATES), b"[").unwrap();
    let error = super::pages(&[TABLE], CLAIMS, &root).unwrap_err();
    assert!(format!("{error:?}").contains(STATES), "{error:?}");
}

/// The start of a large preset does not take the place of the whole of a smaller one.
#[test]
fn a_preset_that_is_whole_counts_before_a_larger_one_that_is_not() {
    let folder = results("quick");
    let root = folder.path().join("results");
    let begun = Provenance {
        experiment: "table4".into(),
        preset: Preset::Full,
        command: "mmcollapse reproduce table4 --preset full".into(),
        cells: 40,
        missing: 1000,
        seeds: 10,
        ..Provenance::default()
    };
    render(&TABLE, &records(), &begun, &root.join("table4/full")).unwrap();
    let preset = || Results::read(&[TABLE], &root).unwrap().experiments[0].provenance.preset;
    assert_eq!(preset(), Preset::Quick);
    let ended = Provenance { missing: 0, ..begun };
    render(&TABLE, &records(), &ended, &root.join("table4/full")).unwrap();
    assert_eq!(preset(), Preset::Full);
}

#[test]
fn the_larger_preset_counts_and_smoke_never() {
    let folder = results("smoke");
    let root = folder.path().join("results");
    assert!(Results::read(&[TABLE], &root).unwrap().experiments.is_empty());
    let folder = results("full");
    let root = folder.path().join("results");
    assert_eq!(Results::read(&[TABLE], &root).unwrap().experiments.len(), 1);
    // A broken file is named.
    fs::remove_file(root.join("table4/full/table.parquet")).unwrap();
    let error = format!("{:?}", Results::read(&[TABLE], &root).err().unwrap());
    assert!(error.contains("table.parquet"), "{error}");
}

#[test]
fn another_data_set_is_shown_and_decides_nothing() {
    let folder = results("quick");
    let root = folder.path().join("results");
    let claims = Claims::parse(CLAIMS, &[TABLE]).unwrap();
    let read = || Results::read(&[TABLE], &root).unwrap();
    let verdicts = |results: &Results| {
        let families = families(&claims.claims[0], results).unwrap();
        assert_eq!(families.len(), 1);
        families[0].tests.iter().map(|t| t.verdict).collect::<Vec<_>>()
    };
    let before = verdicts(&read());
    let worse: Vec<_> = records().into_iter().filter(|r| r.row != "shaspec+kd").collect();
    on_avmnist_hard(&worse, &root);
    let results = read();
    assert_eq!((results.experiments.len(), results.others.len()), (1, 1));
    assert_eq!(verdicts(&results), before);
    let text = reproduction::markdown(&claims, &results).unwrap();
    assert!(text.contains("(table4/avmnist-hard-quick/table.md)"), "{text}");
    let page = page::html(&text, &results);
    assert!(page.contains("id=\"table4-avmnist-hard\"") && page.contains("id=\"table4\""));
}

/// A test on a stand-in is one of a family of its own, whatever the tests on the paper's data say.
#[test]
fn a_stand_in_has_a_verdict_and_a_correction_of_its_own() {
    let folder = results("quick");
    let root = folder.path().join("results");
    on_avmnist_hard(&records(), &root);
    let own = "says: kd above none, experiment: table4, ";
    let moved = CLAIMS.replacen(own, &format!("{own}dataset: avmnist-hard, "), 1).replacen(
        "tests: []",
        "tests: [{says: only there, experiment: table4, dataset: avmnist-hard, protocol: test_missing, metric: accuracy, \
         row: shaspec, against: shaspec+kd, claimed: higher, margin: 0.01}]",
        1,
    );
    let claims = Claims::parse(&moved, &[TABLE]).unwrap();
    let results = Results::read(&[TABLE], &root).unwrap();
    let both = families(&claims.claims[0], &results).unwrap();
    let named: Vec<_> = both.iter().map(|f| (f.dataset, f.tests.len())).collect();
    assert_eq!(named, [(None, 7), (Some("avmnist-hard"), 1)]);
    // One test is a family of one: its p stays as it is. Those on the paper's data are four that were measured.
    let (difference, p) = both[1].tests[0].numbers.as_ref().unwrap();
    assert!((difference.wilcoxon.p - p).abs() < 1e-12);
    let (difference, p) = both[0].tests[0].numbers.as_ref().unwrap();
    assert!((4.0 * difference.wilcoxon.p - p).abs() < 1e-12);
    let only = families(&claims.claims[1], &results).unwrap();
    assert_eq!(on_own_data(&only), "not tested on the paper's data");
    assert_eq!(
        in_words(&only),
        "not tested on the paper's data; on avmnist-hard: does not hold"
    );
    let text = reproduction::markdown(&claims, &results).unwrap();
    has_all(
        &text,
        &[
            "| verdict on the paper's data | open stand-in: avmnist-hard |\n| --- | --- | --- | --- | --- |\n",
            "| Something else. | not tested on the paper's data | does not hold |\n",
            "## Claim L1: not tested on the paper's data; on avmnist-hard: does not hold\n",
            "### Open stand-in: avmnist-hard\n",
            "| only there | table4 on avmnist-hard, test\\_missing: test accuracy (%) |",
            "It covers table4 (quick); on other data than the paper's: table4 on avmnist-hard (quick).",
        ],
    );
}

#[test]
fn a_test_stands_for_each_combination_of_its_words() {
    let text = "\
claims:
  - id: C6
    place: Table 4
    states: Something.
    tests:
      - each: {row: {grape: GRAPE, muse: MUSE}, protocol: [test_missing, train_availability]}
        says: \"{row}, {protocol}\"
        experiment: table4
        protocol: \"{protocol}\"
        metric: accuracy
        row: \"{row}+kd\"
        against: \"{row}\"
        level: 0.9
        claimed: higher
        margin: 0.01
inconsistent: []
";
    let claims = Claims::parse(text, &[TABLE]).unwrap();
    let tests: Vec<_> = claims.claims[0]
        .tests
        .iter()
        .map(|test| {
            (
                test.says.as_str(),
                test.row.to_string(),
                test.against.as_ref().map(ToString::to_string),
                test.level,
            )
        })
        .collect();
    let (grape, muse) = (("grape+kd", Some("grape")), ("muse+kd", Some("muse")));
    let expected = [
        ("GRAPE, test_missing", grape),
        ("GRAPE, train_availability", grape),
        ("MUSE, test_missing", muse),
        ("MUSE, train_availability", muse),
    ];
    assert_eq!(
        tests,
        expected.map(|(says, (row, against))| (says, row.to_owned(), against.map(str::to_owned), Some(0.9)))
    );
}

#[test]
fn claims_that_cannot_be_meant_are_refused() {
    for (from, to, message) in [
        (
            "experiment: table4, protocol: test_missing, metric: accuracy, row: muse",
            "experiment: table5, protocol: test_missing, metric: accuracy, row: muse",
            "no experiment `table5`; there are table4",
        ),
        (
            "margin: 0.001",
            "margin: 0",
            "the margin must be a number above 0, got 0",
        ),
        ("from: 0.9, to: 0.95", "from: 0.9", "`from` and `to` together"),
        ("id: L1", "id: C6", "claim C6 is there twice"),
        ("claimed: lower", "claimed: less", "unknown variant `less`"),
        ("says: falls", "say: falls", "unknown field `say`"),
        (
            "says: falls",
            "each: {row: [muse]}, says: falls",
            "test \"falls\": no field has the word {row}",
        ),
        (
            "says: falls",
            "says: \"{row} falls\"",
            "`{row} falls` has a word that does not stand under `each`",
        ),
        (
            "says: falls",
            "each: {row: 3}, says: \"{row} falls\"",
            "the values of `row`",
        ),
    ] {
        assert!(CLAIMS.contains(from), "{from}");
        let error = Claims::parse(&CLAIMS.replacen(from, to, 1), &[TABLE])
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "{message}: {error}");
        assert!(error.starts_with("experiments/claims.yaml: "), "{error}");
    }
}

proptest::proptest! {
    #![proptest_config(crate::mutation::cases(60))]

    /// What a report reads again, damaged: an error that names the file, or results.
    #[test]
    fn no_mutated_result_makes_the_report_panic(which in 0..5_usize, edits in crate::mutation::edits()) {
        static WHOLE: std::sync::LazyLock<tempfile::TempDir> = std::sync::LazyLock::new(|| results("quick"));
        let names = ["runs.parquet", "table.parquet", "runs.provenance.json", "table.md", "figure.svg"];
        let folder = tempfile::tempdir().unwrap();
        let mut asked = String::new();
        for (place, name) in names.iter().enumerate() {
            let bytes = fs::read(WHOLE.path().join("results/table4/quick").join(name)).unwrap();
            let path = folder.path().join("table4/quick").join(name);
            let damaged = if place == which {
                asked = path.display().to_string();
                crate::mutation::mutated(&bytes, &edits)
            } else {
                bytes
            };
            write_atomic(&path, &damaged).unwrap();
        }
        match Results::read(&[TABLE], folder.path()) {
            Ok(found) => {
                let claims = Claims::parse(CLAIMS, &[TABLE]).unwrap();
                for claim in &claims.claims {
                    let _ = families(claim, &found);
                }
            }
            Err(error) => {
                let text = format!("{error:?}").replace(['\n', ' ', '│'], "");
                proptest::prop_assert!(text.contains(&asked.replace(' ', "")), "{}: {}", asked, text);
            }
        }
    }
}
