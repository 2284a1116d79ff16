mod mechanism;

use std::fs;

use std::collections::BTreeMap;

use mmcollapse_probes::{Reason, Verdict};

use super::claims::{Claims, Direction};
use super::results::Results;
use super::stated::{Standing, Stated};
use super::verdict::{Family, counts, families, in_words};
use super::*;
use crate::render::render;
use crate::summary::synthetic::{TABLE4, metric, record};
use mmcollapse_record::{
    Commit, Machine, Origin, OriginCount, Preset, ProtocolKind, Provenance, Record, Score, Shows, Split, Status,
    TunedBy,
};

const TABLE: ExperimentInfo = ExperimentInfo {
    common: Some((
        "experiments/avmnist.yaml",
        include_str!("../../../../experiments/avmnist.yaml"),
    )),
    paper: Some(TABLE4),
    ..ExperimentInfo::new(
        "table4",
        "Table 4 <made up>",
        include_str!("../../../../experiments/table4/spec.yaml"),
        Shows::Scores,
    )
};

/// On the made-up data: supported, contradicted, excluded (a conjunction), supported (a trend); not measured, and exploratory.
const CLAIMS: &str = "\
claims:
  - id: C6
    place: Table 4
    states: Reallocation | helps <b>.
    primary:
      - {says: kd above none, experiment: table4, protocol: test_missing, metric: accuracy, row: shaspec+kd, against: shaspec, claimed: higher, margin: 0.03, printed: Table 4, seeds: {n: 10, from: 0}}
      - {says: none above kd, experiment: table4, protocol: test_missing, metric: accuracy, row: shaspec, level: 0.9, against: shaspec+kd, claimed: higher, margin: 0.01, seeds: {n: 10, from: 0}}
      - says: KD lifts every fusion
        all_of: {row: {concat: [Concat, 0.01], shaspec: [ShaSpec, 0.04]}}
        experiment: table4
        protocol: test_missing
        metric: accuracy
        level: 0.95
        row: \"{row}+kd\"
        against: \"{row}\"
        claimed: higher
        printed: Table 4
        seeds: {n: 10, from: 0}
      - {says: falls, experiment: table4, protocol: test_missing, metric: accuracy, row: shaspec, trend: true, claimed: higher, margin: 0.01, seeds: {n: 10, from: 0}}
    exploratory:
      - {says: concat differs, experiment: table4, protocol: test_missing, metric: accuracy, row: concat+kd, against: concat}
  - id: C7
    place: Table 5
    states: Others.
    primary:
      - {says: absent, experiment: table4, protocol: test_missing, metric: accuracy, row: muse, claimed: higher, margin: 0.01, seeds: {n: 10, from: 0}}
      - {says: without a number, experiment: table4, protocol: test_missing, metric: accuracy_only_sound, row: concat+kd, against: concat, claimed: higher, margin: 0.01, seeds: {n: 10, from: 0}}
  - {id: L1, place: Lemma 1, states: Something else.}
overlap: {avmnist: 0, avmnist-hard: 0.5}
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

fn on_data(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), "0".repeat(64))])
}

/// The first claim's findings, of a folder of results.
fn found<'a>(claims: &'a Claims, root: &Path) -> Vec<Family<'a>> {
    let results = Results::read(&[TABLE], root).unwrap();
    families(&claims.claims[0], claims, &results, &Stated::beside(root)).unwrap()
}

fn verdicts(family: &Family) -> Vec<Verdict> {
    family.primary.iter().map(|test| test.verdict).collect()
}

/// The text and the page of a folder of results.
fn written(claims: &Claims, root: &Path) -> (String, String) {
    let results = Results::read(&[TABLE], root).unwrap();
    let mut pages = made(claims, &results, root).unwrap().into_iter().map(|(_, text)| text);
    (pages.next().unwrap(), pages.next().unwrap())
}

/// Every part is somewhere in the text.
fn has_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// A folder with the results of the made-up experiment, in the folder of this name.
fn results(name: &str) -> tempfile::TempDir {
    results_of(&records(), name)
}

/// The same with other records.
fn results_of(records: &[Record], name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let provenance = Provenance {
        experiment: "table4".into(),
        preset: name.trim_end_matches("-tuned").parse().unwrap(),
        command: "mmcollapse reproduce table4".into(),
        cells: 40,
        seeds: 10,
        data: on_data("avmnist"),
        ..Provenance::default()
    };
    let out = folder.path().join("results").join("table4").join(name);
    render(&TABLE, records, &provenance, &out).unwrap();
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
        data: on_data("avmnist-hard"),
        ..Provenance::default()
    };
    render(&TABLE, records, &provenance, &root.join("table4/avmnist-hard-quick")).unwrap();
}

#[test]
fn verdicts_come_from_intervals() {
    let folder = results("quick");
    let root = folder.path().join("results");
    let claims = Claims::parse(CLAIMS, &[TABLE]).unwrap();
    let families = found(&claims, &root);
    let [own] = &families[..] else { panic!("one data set") };
    assert_eq!(
        verdicts(own),
        [
            Verdict::Supported { smaller: true },
            Verdict::Contradicted,
            Verdict::Excluded,
            Verdict::Contradicted
        ]
    );
    assert_eq!(counts(&own.primary), "1 of 4 supported, 2 contradicted, 1 excluded");
    assert_eq!(counts(&own.primary[1..2]), "1 of 1 contradicted");
    assert_eq!(counts(&[]), "no test");
    // The trend is each seed's: 9, 10, 11 or 12 of 450 fewer at 95 %.
    let fall = own.primary[3].parts[0].estimate.unwrap().0;
    let expected = -(9.0 * 3.0 + 10.0 * 3.0 + 11.0 * 2.0 + 12.0 * 2.0) / 10.0 / 450.0;
    assert!((fall.mean - expected).abs() < 1e-12, "{}", fall.mean);
    assert_eq!((fall.n, fall.q), (10, 0.0));
    // Of the conjunction ShaSpec's part holds by itself, concat's does not.
    let parts: Vec<_> = own.primary[2].parts.iter().map(|part| part.verdict).collect();
    let expected = [Verdict::Excluded, Verdict::Supported { smaller: true }];
    assert_eq!(parts, expected.map(Some));
    assert_eq!(own.primary[2].deciding().unwrap().name, "Concat");
    assert_eq!(own.exploratory.len(), 1);

    let results = Results::read(&[TABLE], &root).unwrap();
    let others = verdict::families(&claims.claims[1], &claims, &results, &Stated::beside(&root)).unwrap();
    // A row that the result does not have is not one of too few seeds.
    let [absent, too_few] = [Reason::NotRun, Reason::NotMeasured].map(Verdict::NotTested);
    assert_eq!(verdicts(&others[0]), [absent, too_few]);
    assert_eq!(in_words(&others), "the paper's data: 2 of 2 not tested");
    let untested = verdict::families(&claims.claims[2], &claims, &results, &Stated::beside(&root)).unwrap();
    assert_eq!(in_words(&untested), "not tested here yet");
}

/// The seeds that a test names count; others only until those are run, and then as exploratory.
#[test]
fn a_test_is_made_on_its_own_seeds() {
    let folder = results("quick");
    let root = folder.path().join("results");
    let on = |seeds: &str| CLAIMS.replace("seeds: {n: 10, from: 0}", &format!("seeds: {seeds}"));
    // Seeds 0 to 9 were run: 9 of 10 are enough, 8 are not.
    let judged = |seeds: &str| {
        let claims = Claims::parse(&on(seeds), &[TABLE]).unwrap();
        let test = &found(&claims, &root)[0].primary[0];
        let is_judged = test.verdict != Verdict::NotTested(Reason::NotMeasured);
        (is_judged, test.standing == Standing::OtherSeeds)
    };
    assert_eq!(judged("{n: 10, from: 1}"), (true, false));
    assert_eq!(judged("{n: 10, from: 2}"), (true, true));
    assert_eq!(judged("{n: 10, from: 100}"), (true, true));
    assert_eq!(judged("{n: 12, from: 100}"), (false, false));
    let claims = Claims::parse(&on("{n: 4, from: 3}"), &[TABLE]).unwrap();
    assert_eq!(found(&claims, &root)[0].primary[0].parts[0].estimate.unwrap().0.n, 4);
    assert_eq!(found(&claims, &root)[0].exploratory[0].estimate.unwrap().0.n, 10);
}

/// A claim on the mechanism has no verdict on a reallocated row without the check, and one on the plain row.
#[test]
fn a_mechanism_needs_its_check() {
    let folder = results("quick");
    let root = folder.path().join("results");
    let needs = CLAIMS.replacen("    primary:", "    needs: reallocated\n    primary:", 1);
    let claims = Claims::parse(&needs, &[TABLE]).unwrap();
    let not_made = Verdict::NotTested(Reason::CheckNotMade);
    assert_eq!(
        verdicts(&found(&claims, &root)[0]),
        [not_made, Verdict::Contradicted, not_made, Verdict::Contradicted]
    );
    let measured = &Results::read(&[TABLE], &root).unwrap().experiments[0];
    let (protocol, row) = ("test_missing".parse().unwrap(), "shaspec+kd".parse().unwrap());
    assert_eq!(measured.passing("reallocated", &protocol, &row), None);
    // A measure of shares stands for one: 420 to 423 of 450 right.
    let share = measured.passing("accuracy", &protocol, &row).unwrap();
    assert!((0.9..0.95).contains(&share), "{share}");
}

/// A check that passes without an adversary, or fails on what is shuffled, decides nothing.
#[test]
fn a_check_has_controls_of_its_own() {
    let claims = CLAIMS
        .replacen("    primary:", "    needs: reallocated\n    primary:", 1)
        .replace("shaspec+kd, against", "shaspec+ebr, against");
    let claims = Claims::parse(&claims, &[TABLE]).unwrap();
    // Confusion of the treatment, of its control, and of what is shuffled.
    let verdict = |treated: f64, control: f64, shuffled: f64| {
        let mut records = records();
        for seed in 0..10_u64 {
            // The same models scored without a stand-in are no control, and confused as they are.
            let rows = [
                ("shaspec+ebr", treated, 421),
                ("shaspec+heads", control, 411),
                ("shaspec+ebr_none", treated, 401),
            ];
            for (row, confusion, right) in rows {
                let levels = [(0.95, right), (0.9, right + seed as usize % 3)];
                let mut record = record(row, ("shaspec", "ebr"), "test_missing", seed, &levels, Status::Ok);
                if row == "shaspec+ebr" {
                    record.row.reallocation.twin = Some("heads".to_owned());
                }
                let scores = [("confusion", confusion), ("confusion_shuffled", shuffled)].map(|(key, value)| Score {
                    protocol: record.setting.protocol,
                    rate: 0.95,
                    split: Split::Test,
                    metric: metric(key),
                    value,
                    n: 900,
                });
                record.outcome.scores.extend(scores);
                records.push(record);
            }
        }
        let folder = results_of(&records, "quick");
        let root = folder.path().join("results");
        verdicts(&found(&claims, &root)[0])[0]
    };
    assert!(matches!(verdict(0.97, 0.1, 1.0), Verdict::Supported { .. }));
    assert_eq!(verdict(0.5, 0.1, 1.0), Verdict::NotTested(Reason::CheckFailed));
    for (control, shuffled) in [(0.95, 1.0), (0.1, 0.5)] {
        let unsound = verdict(0.97, control, shuffled);
        assert_eq!(unsound, Verdict::NotTested(Reason::CheckUnsound));
    }
}

/// With more than a tenth of the runs diverged a representation is not compared, and an accuracy has its median beside it.
#[test]
fn diverged_runs_withhold_verdicts_on_the_representation() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("results");
    let mut records = records();
    for record in &mut records {
        if record.row == "shaspec+kd" && record.seed < 2 {
            record.outcome.status = Status::Diverged {
                reason: "loss is not finite".into(),
                epoch: 4,
            };
        }
    }
    on_avmnist_hard(&records, &root);
    let hard = CLAIMS.replace("experiment: table4", "experiment: table4, dataset: avmnist-hard");
    let hard = hard.replace(
        "        experiment: table4, dataset: avmnist-hard\n",
        "        experiment: table4\n        dataset: avmnist-hard\n",
    );
    let claims = Claims::parse(&hard, &[TABLE]).unwrap();
    let families = found(&claims, &root);
    let first = &families[0].primary[0].parts[0];
    assert!((first.diverged - 0.2).abs() < 1e-12);
    assert!(first.median().is_some() && first.estimate.is_some());
    let (text, _) = written(&claims, &root);
    assert!(
        text.contains("; median +") && text.contains("20 % of a row's runs diverged"),
        "{text}"
    );
    let ranks = hard
        .replace(
            "metric: accuracy, row: shaspec+kd",
            "metric: rank_effective, row: shaspec+kd",
        )
        .replace("margin: 0.03", "margin: 1.5");
    let claims = Claims::parse(&ranks, &[TABLE]).unwrap();
    assert_eq!(
        found(&claims, &root)[0].primary[0].verdict,
        Verdict::NotTested(Reason::Diverged)
    );
    // There is one run among ten of concat + KD: a tenth is not too many.
    assert!((families[0].primary[2].parts[0].diverged - 0.1).abs() < 1e-12);
}

/// Seeds that cut the same records anew have wider intervals, as wide as the claims say where results do not tell.
#[test]
fn overlap_widens_intervals() {
    let folder = results("quick");
    let root = folder.path().join("results");
    on_avmnist_hard(&records(), &root);
    let other = CLAIMS.replacen(
        "says: kd above none, experiment: table4, ",
        "says: kd above none, experiment: table4, dataset: avmnist-hard, ",
        1,
    );
    let own = Claims::parse(CLAIMS, &[TABLE]).unwrap();
    let other = Claims::parse(&other, &[TABLE]).unwrap();
    let own = found(&own, &root);
    let other = found(&other, &root);
    let [own, other] = [&own[0], &other[1]].map(|family| family.primary[0].parts[0].estimate.unwrap());
    assert_eq!((own.0.q, other.0.q), (0.0, 0.5));
    assert!(other.1.low < own.1.low);
    // A data set of which it is not known how its seeds draw is refused.
    let unknown = CLAIMS.replace("overlap: {avmnist: 0, ", "overlap: {");
    let claims = Claims::parse(&unknown, &[TABLE]).unwrap();
    let results = Results::read(&[TABLE], &root).unwrap();
    let error = families(&claims.claims[0], &claims, &results, &Stated::beside(&root))
        .err()
        .unwrap();
    assert!(error.to_string().contains("`overlap` has none of"), "{error}");
}

/// Tuned settings are another result, not a larger preset.
#[test]
fn tuned_results_are_not_taken_for_a_preset() {
    let folder = results("quick-tuned");
    let found = Results::read(&[TABLE], &folder.path().join("results")).unwrap();
    assert!(found.experiments.is_empty());
}

/// They are shown apart, without verdicts.
#[test]
fn tuned_settings_are_exploratory() {
    let folder = results("quick");
    let root = folder.path().join("results");
    let claims = Claims::parse(CLAIMS, &[TABLE]).unwrap();
    let before = Results::read(&[TABLE], &root).unwrap();
    assert!(before.tuned.is_empty());
    let before = verdicts(&found(&claims, &root)[0]);

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
        data: on_data("avmnist"),
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
    let families = found(&claims, &root);
    assert_eq!(verdicts(&families[0]), before);
    let tuned: Vec<_> = families[0]
        .exploratory
        .iter()
        .filter(|compared| compared.tuned)
        .collect();
    assert!(!tuned.is_empty());
    assert!(
        tuned
            .iter()
            .all(|one| one.comparison.row.to_string().starts_with("shaspec") && one.estimate.is_some())
    );

    let (text, page) = written(&claims, &root);
    has_all(
        &text,
        &[
            "| kd above none, settings tuned | [table4](table4/quick-tuned/table.md), ",
            "- [table4](table4/quick-tuned/table.md), 10 seeds\n",
            "| table4 | quick, tuned | 20 |",
            "It covers table4 (quick); with tuned settings: table4 (quick).",
        ],
    );
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
            "| C6 | Table 4 | Reallocation \\| helps \\<b>. | 1 of 4 supported, 2 contradicted, 1 excluded |",
            "| L1 | Lemma 1 | Something else. | – |",
            "| KD lifts every fusion: all of | | | | | | **excluded: the paper's effect** | not known |",
            "| … Concat | [table4](table4/quick/table.md), test\\_missing: test accuracy (%) at 0.95 | +0.",
            "| **contradicted** | not known |",
            "No test of these results is: they are on seeds that were run before the tests were stated.",
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
            "<svg class=\"forest\"",
            "decided by one of 2: Concat",
            "<span id=\"table4-protocol-test-missing-shaspec-kd\">",
            "<a href=\"#table4-protocol-test-missing-shaspec-kd\">table4</a>, <a href=\"#table4\">figure</a>",
            "data-dataset=\"the paper&#39;s data\"".replace("&#39;", "'").as_str(),
            "data-methods=\"KD|ShaSpec\" data-verdict=\"contradicted\"",
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
        rows: Vec::new(),
    };
    let provenance = Provenance {
        experiment: "table4".into(),
        preset: Preset::Quick,
        command: "mmcollapse reproduce table4".into(),
        commit: commit("d"),
        cells: 40,
        seeds: 10,
        origins: vec![of("a", "cpu"), of("b", "cpu"), of("a", "cuda:0")],
        data: on_data("avmnist"),
        ..Provenance::default()
    };
    render(&TABLE, &records(), &provenance, &root.join("table4/quick")).unwrap();
    let pages = || -> [String; 2] {
        let pages = pages(&[TABLE], CLAIMS, &root).unwrap().into_iter();
        pages.map(|(_, text)| text).collect::<Vec<_>>().try_into().unwrap()
    };
    let line = |state: &str| format!("| table4 | quick{state} | 40 | 10 | aaaaaaaaaaaa, bbbbbbbbbbbb |");
    let [text, page] = pages();
    has_all(&text, &[&line("")]);
    assert!(!page.contains("Stale"), "{page}");
    write_atomic(&root.join(STATES), b"table4/quick: stale\n").unwrap();
    write_atomic(&root.join(EXCEPTIONS), b"table4/quick: being trained anew\n").unwrap();
    let [text, page] = pages();
    has_all(
        &text,
        &[
            &line(", stale (being trained anew)"),
            "not tested: its runs are of an earlier revision",
        ],
    );
    assert!(
        !text.contains("before its runs |") && !text.contains("after its runs |"),
        "{text}"
    );
    has_all(
        &page,
        &["<strong>Stale</strong>", "Why it is still here: being trained anew."],
    );
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
    let before = verdicts(&found(&claims, &root)[0]);
    let worse: Vec<_> = records().into_iter().filter(|r| r.row != "shaspec+kd").collect();
    on_avmnist_hard(&worse, &root);
    assert_eq!(found(&claims, &root).len(), 1);
    assert_eq!(verdicts(&found(&claims, &root)[0]), before);
    let (text, page) = written(&claims, &root);
    assert!(text.contains("(table4/avmnist-hard-quick/table.md)"), "{text}");
    assert!(page.contains("id=\"table4-avmnist-hard\"") && page.contains("id=\"table4\""));
}

/// A test on a stand-in is one of a family of its own, whatever the tests on the paper's data say.
#[test]
fn a_stand_in_has_verdicts_of_its_own() {
    let folder = results("quick");
    let root = folder.path().join("results");
    on_avmnist_hard(&records(), &root);
    let own = "says: kd above none, experiment: table4, ";
    let moved = CLAIMS.replacen(own, &format!("{own}dataset: avmnist-hard, "), 1);
    let claims = Claims::parse(&moved, &[TABLE]).unwrap();
    let families = found(&claims, &root);
    let named: Vec<_> = families.iter().map(|f| (f.dataset, f.primary.len())).collect();
    assert_eq!(named, [(None, 3), (Some("avmnist-hard"), 1)]);
    let (text, _) = written(&claims, &root);
    has_all(
        &text,
        &[
            "| the paper's data | open stand-in: avmnist-hard |\n| --- | --- | --- | --- | --- |\n",
            "## Claim C6: the paper's data: 0 of 3 supported, 2 contradicted, 1 excluded; avmnist-hard: 1 of 1 supported\n",
            "### On avmnist-hard: 1 of 1 supported\n",
            "| kd above none | [table4](table4/avmnist-hard-quick/table.md), test\\_missing: test accuracy (%) |",
            "It covers table4 (quick); on other data than the paper's: table4 on avmnist-hard (quick).",
        ],
    );
}

#[test]
fn words_stand_for_tests_and_for_their_parts() {
    let text = "\
claims:
  - id: C6
    place: Table 4
    states: Something.
    primary:
      - each: {protocol: [test_missing, train_availability]}
        all_of: {row: {grape: [GRAPE, 0.02], muse: [MUSE, 0.03]}, beta: {0: none, 8: much}}
        says: \"lifts, {protocol}\"
        experiment: table4
        protocol: \"{protocol}\"
        metric: accuracy
        row: \"{row}+kd\"
        against: \"{row}\"
        level: \"{beta}\"
        claimed: at_most
        printed: Table 4
        seeds: {n: 10, from: 5}
overlap: {}
inconsistent: []
";
    let claims = Claims::parse(text, &[TABLE]).unwrap();
    let tests = &claims.claims[0].primary;
    let says: Vec<&str> = tests.iter().map(|test| test.says.as_str()).collect();
    assert_eq!(says, ["lifts, test_missing", "lifts, train_availability"]);
    assert!(tests[1].seeds.has(5) && tests[1].seeds.has(14) && !tests[1].seeds.has(15) && !tests[1].seeds.has(4));
    let parts: Vec<_> = tests[1]
        .parts
        .iter()
        .map(|part| {
            (
                part.name.as_str(),
                part.row.to_string(),
                part.margin,
                format!("{:?}", part.over),
            )
        })
        .collect();
    let part = |name, row: &str, margin, level: &str| (name, row.to_owned(), Some(margin), format!("Level({level})"));
    assert_eq!(
        parts,
        [
            part("GRAPE, none", "grape+kd", 0.02, "0.0"),
            part("GRAPE, much", "grape+kd", 0.02, "8.0"),
            part("MUSE, none", "muse+kd", 0.03, "0.0"),
            part("MUSE, much", "muse+kd", 0.03, "8.0")
        ]
    );
    assert_eq!(tests[0].parts[0].claimed, Direction::AtMost);
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
            "margin: 0.03",
            "margin: 0",
            "the margin must be a number above 0, got 0",
        ),
        (
            "margin: 0.03, printed: Table 4",
            "margin: 0.03",
            "line 6, claim C6, \"kd above none\": the margin is 0.03: expected 0.01, or `printed`",
        ),
        ("trend: true", "from: 0.9", "`from` and `to` together"),
        (
            "trend: true",
            "trend: true, level: 0.9",
            "or `trend`, or `kink`, or none of them",
        ),
        ("id: L1", "id: C6", "claim C6 is there twice"),
        (
            "claimed: higher, margin: 0.03",
            "margin: 0.03",
            "needs `claimed`, `margin` and `seeds`",
        ),
        (
            "margin: 0.01, seeds: {n: 10, from: 0}}",
            "margin: 0.01}",
            "needs `claimed`, `margin` and `seeds`",
        ),
        ("n: 10", "n: 1", "at least two seeds, got 1"),
        (
            "row: concat+kd, against: concat}",
            "row: concat+kd, against: concat, margin: 0.01}",
            "line 21, claim C6, \"concat differs\": an exploratory comparison has no verdict",
        ),
        (
            "row: shaspec, level: 0.9, against: shaspec+kd",
            "row: shaspec, against: shaspec+kd",
            "line 7, claim C6, \"none above kd\": the same comparison belongs to claim C6, \"kd above none\"",
        ),
        (
            "says: falls, experiment: table4, protocol: test_missing, metric: accuracy, row: shaspec",
            "all_of: {row: [shaspec, shaspec]}, says: falls, experiment: table4, protocol: test_missing, metric: accuracy, row: \"{row}\"",
            "it makes the same comparison twice",
        ),
        (
            "row: shaspec, trend: true",
            "each: {row: [shaspec, concat]}, row: \"{row}\", trend: true",
            "more than 4 primary tests of a claim on the paper's data",
        ),
        (
            "says: absent",
            "dataset: digits, says: absent",
            "`overlap` has no data set `digits`",
        ),
        ("claimed: higher", "claimed: less", "unknown variant `less`"),
        ("says: falls", "say: falls", "unknown field `say`"),
        (
            "says: falls",
            "each: {row: [muse]}, says: falls",
            "\"falls\": no field has the word {row}",
        ),
        (
            "says: falls",
            "says: \"{row} falls\"",
            "`{row} falls` has a word that stands under neither",
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
    let ratio = CLAIMS.replacen(
        "metric: accuracy, row: shaspec+kd",
        "metric: rank_effective, row: shaspec+kd",
        1,
    );
    let error = Claims::parse(&ratio, &[TABLE]).unwrap_err().to_string();
    assert!(
        error.contains("the margin must be a number above 1, got 0.03"),
        "{error}"
    );
}

/// A test is confirmatory if the commits of its cells have it and none of their results has its seeds.
#[test]
fn what_was_stated_before_its_runs_is_confirmatory() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let git = |arguments: &[&str]| {
        let own = [
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.org",
            "-c",
            "commit.gpgsign=false",
        ];
        let mut command = std::process::Command::new("git");
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(name);
        }
        let output = command.arg("-C").arg(root).args(own).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let commit = |claims: &str| {
        fs::create_dir_all(root.join("experiments")).unwrap();
        write_atomic(&root.join("experiments/claims.yaml"), claims.as_bytes()).unwrap();
        git(&["add", "."]);
        git(&["commit", "-q", "--no-verify", "--allow-empty", "-m", "state"]);
        git(&["rev-parse", "HEAD"])
    };
    git(&["init", "-q"]);
    let earlier = commit(&CLAIMS.replace("margin: 0.03", "margin: 0.02"));
    // Layout, order of fields and remarks do not make another test.
    let laid_out = CLAIMS.replace(
        "{says: kd above none, experiment: table4,",
        "{experiment: table4, says: kd above none,",
    );
    let stated = commit(&format!("# a remark\n{laid_out}"));
    let needed = commit(&CLAIMS.replace("    place: Table 4\n", "    place: Table 4\n    needs: reallocated\n"));
    let falls = CLAIMS.find("      - {says: falls").unwrap();
    let fewer = CLAIMS
        .find("    exploratory:")
        .map(|end| [&CLAIMS[..falls], &CLAIMS[end..]].concat())
        .unwrap();
    let fewer = commit(&fewer);
    let another = "      - {says: rises, experiment: table4, protocol: test_missing, metric: accuracy, row: concat, trend: true, claimed: higher, margin: 0.01, seeds: {n: 10, from: 0}}\n";
    let more = commit(&[&CLAIMS[..falls], another, &CLAIMS[falls..]].concat());
    let asks = CLAIMS.replace("    place: Table 4\n", "    place: Table 4\n    needs: reallocated\n");
    let second = format!("checks: {{reallocated: 2}}\n{asks}");
    let decided_anew = commit(&second);
    let of_plain = second.replacen(
        "row: shaspec+kd, against: shaspec,",
        "row: shaspec, against: concat,",
        1,
    );
    let asked_before = commit(&of_plain.replace("reallocated: 2", "reallocated: 1"));
    let results = root.join("results");
    let standing_of = |text: &str, commits: &[&str]| {
        let claims = Claims::parse(text, &[TABLE]).unwrap();
        let origin = |said: &&str| {
            // `commit:row` where the cells are of one row.
            let (hash, row) = said
                .split_once(':')
                .map_or((*said, None), |(hash, row)| (hash, Some(row)));
            OriginCount {
                origin: Origin {
                    version: "1".into(),
                    commit: Some(Commit {
                        hash: hash.to_owned(),
                        dirty: false,
                    }),
                    machine: Machine {
                        cpu: "a".into(),
                        cores: 1,
                        os: "linux".into(),
                    },
                    device: "cpu".into(),
                },
                cells: 20,
                rows: row.into_iter().map(str::to_owned).collect(),
            }
        };
        let provenance = Provenance {
            experiment: "table4".into(),
            preset: Preset::Quick,
            command: "mmcollapse reproduce table4".into(),
            cells: 40,
            seeds: 10,
            data: on_data("avmnist"),
            origins: commits.iter().map(origin).collect(),
            ..Provenance::default()
        };
        render(&TABLE, &records(), &provenance, &results.join("table4/quick")).unwrap();
        found(&claims, &results)[0].primary[0].standing
    };
    let standing = |commits: &[&str]| standing_of(CLAIMS, commits);
    assert_eq!(standing(&[&stated]), Standing::Confirmatory);
    // Tests that were added make the others no easier; a test that was dropped does, and a check that was asked for later hides.
    assert_eq!(standing(&[&fewer]), Standing::Confirmatory);
    assert_eq!(standing(&[&more]), Standing::OtherFamily);
    assert_eq!(standing(&[&stated, &needed]), Standing::OtherFamily);
    // A check that is decided in another way since is another check.
    assert_eq!(standing_of(&asks, &[&needed]), Standing::Confirmatory);
    assert_eq!(standing_of(&second, &[&decided_anew]), Standing::Confirmatory);
    assert_eq!(standing_of(&second, &[&needed]), Standing::OtherFamily);
    // It is not asked of a row without reallocation.
    assert_eq!(standing_of(&of_plain, &[&asked_before]), Standing::Confirmatory);
    assert_eq!(standing(&[&needed, &earlier]), Standing::Exploratory);
    assert_eq!(standing(&[&earlier]), Standing::Exploratory);
    assert_eq!(standing(&[&stated, &earlier]), Standing::Exploratory);
    // A row that was trained by another commit is not the test's.
    let later = format!("{earlier}:muse+kd");
    assert_eq!(
        standing(&[&format!("{stated}:shaspec"), &format!("{stated}:shaspec+kd"), &later]),
        Standing::Confirmatory
    );
    assert_eq!(
        standing(&[&format!("{stated}:shaspec"), &format!("{earlier}:shaspec+kd")]),
        Standing::Exploratory
    );
    assert_eq!(standing(&[&"0".repeat(40)]), Standing::NotKnown);
    assert_eq!(standing(&[]), Standing::NotKnown);
    // Once a result with these seeds is committed, what is trained later tells nothing new of them.
    let seen = commit(CLAIMS);
    assert_eq!(standing(&[&seen]), Standing::Exploratory);
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
                let stated = Stated::beside(folder.path());
                for claim in &claims.claims {
                    let _ = families(claim, &claims, &found, &stated);
                }
            }
            Err(error) => {
                let text = format!("{error:?}").replace(['\n', ' ', '│'], "");
                proptest::prop_assert!(text.contains(&asked.replace(' ', "")), "{}: {}", asked, text);
            }
        }
    }
}

/// Of a row that was run at fewer levels the other counts at these alone: each mean over its own would be another quantity.
#[test]
fn two_rows_are_compared_at_the_levels_that_both_have() {
    let mut records = records();
    for record in &mut records {
        if record.row == "shaspec+kd" {
            // Only at 90 %, where it is above by the most; at 95 % both are lower.
            record.outcome.scores.retain(|score| score.rate != 0.95);
        }
    }
    let folder = results_of(&records, "quick");
    let root = folder.path().join("results");
    let claims = Claims::parse(CLAIMS, &[TABLE]).unwrap();
    let families = found(&claims, &root);
    let (spread, _) = families[0].primary[0].parts[0].estimate.unwrap();
    // 420 against 411, and one more in every second seed.
    assert!((spread.mean - 9.5 / 450.0).abs() < 1e-12, "{spread:?}");
}
