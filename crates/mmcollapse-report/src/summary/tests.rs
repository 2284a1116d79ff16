use super::synthetic::{TABLE3, TABLE4, experiment, metric, record, setting, table4};
use super::*;
use mmcollapse_record::ProtocolKind;

fn ok(row: &str, reallocation: &str, seed: u64, right: &[(f64, usize)]) -> Record {
    record(row, ("shaspec", reallocation), "test_missing", seed, right, Status::Ok)
}

fn diverged() -> Status {
    Status::Diverged {
        reason: "loss is not finite".into(),
        epoch: 3,
    }
}

fn small() -> Vec<Record> {
    vec![
        ok("shaspec", "none", 0, &[(0.95, 405), (0.9, 414)]),
        ok("shaspec", "none", 1, &[(0.95, 414), (0.9, 423)]),
        ok("shaspec", "none", 2, &[(0.95, 396), (0.9, 405)]),
        ok("shaspec+kd", "kd", 0, &[(0.95, 414), (0.9, 414)]),
        ok("shaspec+kd", "kd", 1, &[(0.95, 432), (0.9, 432)]),
        record(
            "shaspec+kd",
            ("shaspec", "kd"),
            "test_missing",
            2,
            &[(0.95, 45), (0.9, 45)],
            diverged(),
        ),
    ]
}

fn close(got: f64, expected: f64) {
    assert!((got - expected).abs() < 1e-12, "got {got}, expected {expected}");
}

/// By hand: plain .90 .92 .88, KD .92 .96 and .10 for the run that diverged.
#[test]
fn means_and_differences_are_those_of_the_same_seeds() {
    let summary = Summary::new("table4", &small(), &table4()).unwrap();
    assert_eq!(summary.methods.len(), 2);
    assert_eq!(summary.protocols[0].rates, [0.95, 0.9]);
    let get = |method, column| {
        summary
            .get(&setting("test_missing"), method, &metric("accuracy"), column)
            .unwrap()
    };

    let plain = get(0, Column::Rate(0.95));
    let estimate = plain.estimate.unwrap();
    close(estimate.mean, 0.9);
    close(estimate.sd.unwrap(), 0.02);
    // t(.975, 2) = 4.302652729749464
    close(
        estimate.interval.unwrap().high,
        0.9 + 4.302_652_729_749_464 * 0.02 / 3.0_f64.sqrt(),
    );
    assert_eq!(
        (plain.n_test, plain.diverged, &plain.difference),
        ((450, 450), 0, &None)
    );
    assert_eq!(plain.paper, Some(0.9333));

    let kd = get(1, Column::Rate(0.95));
    close(kd.estimate.unwrap().mean, (0.92 + 0.96 + 0.1) / 3.0);
    assert_eq!((kd.estimate.unwrap().n, kd.diverged, kd.unscored), (3, 1, 0));
    let difference = kd.difference.as_ref().unwrap();
    close(difference.paired.estimate.mean, (0.02 + 0.04 - 0.78) / 3.0);
    assert_eq!((difference.reference, difference.family), (0, 2));
    assert_eq!(
        (difference.paired.wilcoxon.w_plus, difference.paired.wilcoxon.w_minus),
        (3.0, 3.0)
    );

    let mean = get(1, Column::MeanOfRates);
    close(mean.estimate.unwrap().mean, (0.92 + 0.96 + 0.1) / 3.0);
    close(
        mean.difference.as_ref().unwrap().paired.estimate.mean,
        ((0.92 - 0.91) + (0.96 - 0.93) + (0.1 - 0.89)) / 3.0,
    );
    assert_eq!(mean.difference.as_ref().unwrap().family, 1);
    close(mean.paper.unwrap(), f64::midpoint(0.9502, 0.9516));
}

#[test]
fn a_diverged_run_without_a_score_is_counted() {
    let mut records = small();
    records[5].outcome.scores.clear();
    let summary = Summary::new("table4", &records, &table4()).unwrap();
    for column in [Column::Rate(0.95), Column::MeanOfRates] {
        let kd = summary
            .get(&setting("test_missing"), 1, &metric("accuracy"), column)
            .unwrap();
        assert_eq!((kd.estimate.unwrap().n, kd.diverged, kd.unscored), (2, 1, 1));
        // Pairs are those of the seeds that both have.
        assert_eq!(kd.difference.as_ref().unwrap().paired.estimate.n, 2);
    }
    for record in &mut records[3..] {
        record.outcome.scores.clear();
        record.outcome.status = diverged();
    }
    let summary = Summary::new("table4", &records, &table4()).unwrap();
    let kd = summary
        .get(&setting("test_missing"), 1, &metric("accuracy"), Column::Rate(0.95))
        .unwrap();
    assert_eq!((kd.estimate, kd.diverged, kd.unscored), (None, 3, 3));
}

#[test]
fn cells_that_are_missing_are_no_divergence() {
    let mut records = experiment(4);
    let before = records.len();
    records.retain(|r| {
        !(r.setting == setting("train_availability")
            && r.row == "concat"
            && r.seed == 1
            && r.outcome.scores[0].rate > 0.94)
    });
    assert_eq!(records.len(), before - 1);
    let summary = Summary::new("table4", &records, &table4()).unwrap();
    let concat = summary.methods.iter().position(|row| row == "concat").unwrap();
    let n = |column| {
        let group = summary
            .get(&setting("train_availability"), concat, &metric("accuracy"), column)
            .unwrap();
        (group.estimate.unwrap().n, group.unscored)
    };
    assert_eq!(n(Column::Rate(0.95)), (3, 0));
    assert_eq!(n(Column::Rate(0.9)), (4, 0));
    assert_eq!(n(Column::MeanOfRates), (3, 0));
}

#[test]
fn the_reference_is_the_plain_method_of_the_same_fusion() {
    let summary = Summary::new("table4", &experiment(3), &table4()).unwrap();
    for group in &summary.groups {
        let method = &summary.methods[group.method];
        match &group.difference {
            None => assert!(method.is_vanilla(), "{method}"),
            Some(difference) => {
                let reference = &summary.methods[difference.reference];
                assert_eq!(
                    (&reference.fusion.method, reference.is_vanilla()),
                    (&method.fusion.method, true)
                );
                // Five methods with a reference: concat has three, ShaSpec two.
                let rates = match (group.column, group.setting.protocol) {
                    (Column::MeanOfRates, _) => 1,
                    (_, ProtocolKind::TestMissing) if group.metric != "accuracy" => 1,
                    _ => 4,
                };
                let family = 5 * rates;
                assert_eq!(difference.family, family);
                assert!(difference.holm_p >= difference.paired.wilcoxon.p);
            }
        }
    }
}

/// Scores with all modalities or with one alone are left at rate 0, which is no rate of the protocol.
#[test]
fn other_metrics_add_no_rate() {
    let summary = Summary::new("table4", &experiment(3), &table4()).unwrap();
    for protocol in &summary.protocols {
        assert_eq!(protocol.rates, [0.95, 0.9, 0.85, 0.8], "{}", protocol.setting);
    }
    let get = |key, column| summary.get(&setting("test_missing"), 0, &metric(key), column);
    assert!(get("accuracy", Column::Rate(0.0)).is_none());
    assert!(get("accuracy_complete", Column::Rate(0.95)).is_none());
    let complete = get("accuracy_complete", Column::Rate(0.0)).unwrap();
    assert_eq!(
        complete.estimate,
        get("accuracy_complete", Column::MeanOfRates).unwrap().estimate
    );
    assert_eq!((complete.estimate.unwrap().n, complete.paper), (3, None));
    assert_eq!(get("accuracy", Column::MeanOfRates).unwrap().estimate.unwrap().n, 3);
}

#[test]
fn what_cannot_be_summarised_is_named() {
    let mut records = small();
    records[4].seed = 0;
    let error = Summary::new("table4", &records, &table4()).unwrap_err().to_string();
    assert_eq!(error, "shaspec+kd, test_missing, rate 0.95: two runs of seed 0");
    let mut records = small();
    records[0].outcome.scores[0].value = f64::NAN;
    let error = Summary::new("table4", &records, &table4()).unwrap_err().to_string();
    assert_eq!(
        error,
        "shaspec, test_missing, seed 0: accuracy at rate 0.95 is NaN, expected a number"
    );
}

#[test]
fn frames_hold_every_run_and_every_mean() {
    let records = experiment(3);
    let summary = Summary::new("table4", &records, &table4()).unwrap();
    let runs = summary.runs_frame().unwrap();
    // 8 rows x 3 seeds x (4 rates + 2 other metrics at rate 0, then 3 metrics at 4 rates); no validation.
    assert_eq!(runs.height(), 8 * 3 * (4 + 2 + 3 * 4));
    assert_eq!(
        runs.get_column_names(),
        [
            "experiment",
            "protocol",
            "row",
            "fusion",
            "reallocation",
            "variant",
            "rate",
            "seed",
            "metric",
            "value",
            "n_test",
            "status"
        ]
    );
    let groups = summary.groups_frame().unwrap();
    // Each row has the rates and their mean: of accuracy 5 + 5, of the two other metrics 2 + 5 each.
    let lines = 2 * 5 + 2 * 7;
    assert_eq!(groups.height(), 8 * lines);
    assert_eq!(groups.column("rate").unwrap().null_count(), 8 * 2 * 3);
    // Late fusion has no reference, neither have the two plain rows.
    assert_eq!(groups.column("difference").unwrap().null_count(), 3 * lines);
    // The paper has three of the rows, and accuracy only.
    assert_eq!(groups.column("paper").unwrap().null_count(), 8 * lines - 3 * 10);
}

#[test]
fn the_papers_tables_are_complete() {
    for (text, rows) in [(TABLE4, 9), (TABLE3, 8)] {
        let paper = Paper::parse(text, "paper.yaml").unwrap();
        assert_eq!(
            (paper.rows.len(), paper.rates.as_slice()),
            (rows, [0.95, 0.9, 0.85, 0.8].as_slice())
        );
        assert_eq!(paper.value("shaspec", "ebr", 0.8), Some(0.9593));
        assert!(!paper.unclear.is_empty());
    }
}

/// A fusion that is trained otherwise is compared with the fusion that its spec calls its control, in the same family.
#[test]
fn a_balanced_fusion_is_compared_with_its_control() {
    let mut records = Vec::new();
    for seed in 0..10_u64 {
        for (row, right) in [("concat", 400), ("opm", 410 + seed as usize), ("late_fusion", 405)] {
            let mut record = record(
                row,
                ("concat", "none"),
                "test_missing",
                seed,
                &[(0.9, right)],
                Status::Ok,
            );
            if row == "opm" {
                record.row.fusion.twin = Some("concat".to_owned());
            }
            records.push(record);
        }
    }
    let summary = Summary::new("balancing", &records, &table4()).unwrap();
    let with: Vec<_> = summary
        .groups
        .iter()
        .filter(|group| group.difference.is_some())
        .collect();
    assert!(!with.is_empty());
    for group in with {
        let difference = group.difference.as_ref().unwrap();
        assert_eq!(summary.methods[group.method].to_string(), "opm");
        assert_eq!(summary.methods[difference.reference].to_string(), "concat");
        assert_eq!(difference.family, 1);
        assert!((difference.paired.estimate.mean - 14.5 / 450.0).abs() < 1e-12);
    }
}
