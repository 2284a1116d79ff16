//! One row against every other, method under method: every seed's difference as a square, the mean with its interval.

use mmcollapse_record::Setting;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::forest::{Forest, Row, names};
use super::style::assign_rows;
use super::{Axis, BAND_SEEDS, FigureText, Point};
use crate::summary::{Difference, Pairing, Run, Summary, Versus};
use crate::table::probability;

impl Forest {
    /// The differences of `row` to every other row by seed, a part for each protocol and metric.
    pub fn of_tests<'a>(summary: &Summary, row: &str, versus: &'a [Versus], text: FigureText) -> Self {
        let ours = summary.methods.iter().position(|method| method == row);
        let by_seed = || versus.iter().filter(|v| v.pairing == Pairing::Seeds);
        let mut told: Option<&Setting> = None;
        let part = |versus: &'a Versus| {
            let mut heading = format!("{}, test {}", versus.setting, versus.metric.words());
            // What a protocol does is told once.
            let protocol = summary.protocols.iter().find(|p| p.setting == versus.setting);
            if let Some(protocol) = protocol.filter(|p| told != Some(&p.setting)) {
                let _ = write!(heading, " ({})", protocol.in_words());
                told = Some(&versus.setting);
            }
            let rows = versus.differences.iter().map(|d| line(summary, versus, ours, d));
            (heading, rows.collect())
        };
        let label = ours.map_or_else(|| row.to_owned(), |ours| summary.methods[ours].label());
        let pairs = by_seed().flat_map(|v| &v.differences).map(|d| d.paired.estimate.n);
        let pairs: Vec<usize> = pairs.collect();
        let few = pairs.iter().any(|n| *n < BAND_SEEDS);
        let n = crate::table::range(&pairs);
        Self {
            title: text.title.to_owned(),
            note: format!(
                "Mark and bar: mean difference of {label} to each other row and its 95 % t interval over n = {n} seeds, each \
                 with its mean over the levels, preset {}. Squares: single seeds. p: exact two-sided Wilcoxon signed-rank test \
                 with Holm's correction over the rows of a part.{}",
                text.preset,
                if few { " No bar where n ≤ 2." } else { "" }
            ),
            warnings: text.warnings,
            x_label: format!("{label} minus the other row (points)"),
            axis: Axis::differences(),
            differences: true,
            parts: by_seed().map(part).collect(),
            guide: None,
            provenance: text.provenance,
        }
    }
}

fn line(summary: &Summary, versus: &Versus, ours: Option<usize>, difference: &Difference) -> Row {
    let other = difference.reference;
    let of = |method: Option<usize>| {
        let mut seeds: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        let chosen =
            |run: &&Run| Some(run.method) == method && run.setting == versus.setting && run.metric == versus.metric;
        for run in summary.runs.iter().filter(chosen) {
            seeds.entry(run.seed).or_default().push(100.0 * run.value);
        }
        seeds
    };
    let (ours, theirs) = (of(ours), of(Some(other)));
    // Seeds that lack a level are no pair, as in the mean.
    let levels = ours.values().map(Vec::len).max().unwrap_or(0);
    let mean = |values: &Vec<f64>| (values.len() == levels).then(|| values.iter().sum::<f64>() / levels as f64);
    let pairs = ours
        .iter()
        .filter_map(|(seed, values)| Some(mean(values)? - mean(theirs.get(seed)?)?));
    let estimate = &difference.paired.estimate;
    let mark = Point::of(estimate, 100.0, 0);
    Row {
        name: names(summary)[other].clone(),
        style: assign_rows(&summary.methods)[other],
        runs: pairs.collect(),
        mean: mark,
        null: None,
        paper: None,
        told: (
            {
                let sign = if mark.mean < 0.0 { "" } else { "+" };
                format!("{sign}{}, p {}", mark.written(1), probability(difference.holm_p)).replace('-', "−")
            },
            String::new(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::synthetic::{experiment, table4};

    #[test]
    fn every_other_row_has_a_line_with_its_differences() {
        let paper = table4();
        let summary = Summary::new("table4", &experiment(10), &paper).unwrap();
        let row = "shaspec+kd";
        let versus = summary.versus(row, &["accuracy".parse().unwrap()], &paper).unwrap();
        let text = FigureText {
            title: "Table 8: made up",
            preset: "quick",
            warnings: vec![],
            provenance: "origin".to_owned(),
            ..FigureText::default()
        };
        let forest = Forest::of_tests(&summary, row, &versus, text);
        assert_eq!(forest.parts.len(), 2);
        let (heading, rows) = &forest.parts[0];
        assert!(heading.starts_with("test_missing, test accuracy"), "{heading}");
        assert_eq!(rows.len(), summary.methods.len() - 1);
        for row in rows.iter().filter(|row| row.runs.len() == 10) {
            let of_runs = row.runs.iter().sum::<f64>() / 10.0;
            let mean = row.mean;
            assert!((mean.mean - of_runs).abs() < 1e-9, "{}", row.name);
            let scale = forest.scale();
            assert!(
                row.runs
                    .iter()
                    .chain([&0.0])
                    .all(|v| (scale.low..=scale.high).contains(v))
            );
        }
        assert!(
            rows.iter().any(|row| row.runs.iter().any(|value| *value < 0.0)),
            "no value is cut off at 0"
        );
        let picture = forest.draw("").unwrap();
        if let Some(folder) = std::env::var_os("MMCOLLAPSE_LOOK") {
            let path = std::path::Path::new(&folder).join("differences.png");
            mmcollapse_files::write_atomic(&path, &picture.png).unwrap();
        }
    }
}
