//! The numbers of a summary as Polars frames: what goes into Parquet and CSV.

use mmcollapse_record::RowId;
use std::iter::repeat_n;

use mmcollapse_probes::{Estimate, Interval};
use polars::prelude::{Column as Series, DataFrame, NamedFrom, PolarsResult, Series as Values};

use super::{Column, Difference, Group, Summary, Versus};

impl Summary {
    /// Every run, one number a row.
    ///
    /// Columns: experiment, protocol, row, fusion, reallocation, variant, rate, seed, metric, value, n_test,
    /// status (`ok`, `diverged`).
    ///
    /// # Errors
    /// Those of Polars; none is known.
    pub fn runs_frame(&self) -> PolarsResult<DataFrame> {
        let mut columns = vec![
            text("experiment", repeat_n(&self.experiment, self.runs.len())),
            text("protocol", self.runs.iter().map(|run| &run.setting)),
        ];
        columns.extend(self.method_columns(self.runs.iter().map(|run| run.method)));
        columns.extend([
            numbers("rate", self.runs.iter().map(|run| Some(run.rate))),
            counts("seed", self.runs.iter().map(|run| run.seed)),
            text("metric", self.runs.iter().map(|run| &run.metric)),
            numbers("value", self.runs.iter().map(|run| Some(run.value))),
            counts("n_test", self.runs.iter().map(|run| run.n_test as u64)),
            text(
                "status",
                self.runs.iter().map(|run| if run.diverged { "diverged" } else { "ok" }),
            ),
        ]);
        DataFrame::new_infer_height(columns)
    }

    /// Every mean, one a row; `rate` is empty where the mean is over each run's mean of rates.
    ///
    /// Shares in [0, 1]. `low`, `high`: 95 % t interval; `bootstrap_*`: 95 % percentile bootstrap;
    /// `difference*`: paired with `reference`; `p`: exact two-sided Wilcoxon, `p_holm` corrected over `family`
    /// tests, `p_smallest` the least that so many pairs can give.
    ///
    /// # Errors
    /// Those of Polars; none is known.
    pub fn groups_frame(&self) -> PolarsResult<DataFrame> {
        let groups = &self.groups;
        let mut columns = vec![
            text("experiment", repeat_n(&self.experiment, groups.len())),
            text("protocol", groups.iter().map(|g| &g.setting)),
        ];
        columns.extend(self.method_columns(groups.iter().map(|group| group.method)));
        let number = |name: &str, of: fn(&Group) -> Option<f64>| numbers(name, groups.iter().map(of));
        let count = |name: &str, of: fn(&Group) -> usize| counts(name, groups.iter().map(|group| of(group) as u64));
        columns.extend([
            text("metric", groups.iter().map(|g| &g.metric)),
            number("rate", |g| match g.column {
                Column::Rate(rate) => Some(rate),
                Column::MeanOfRates => None,
            }),
            count("n_seeds", |g| g.estimate.map_or(0, |e| e.n)),
            count("diverged", |g| g.diverged),
            count("unscored", |g| g.unscored),
            count("n_test", |g| g.n_test.0),
            number("mean", |g| g.estimate.map(|e| e.mean)),
            number("sd", |g| g.estimate.and_then(|e| e.sd)),
            number("low", |g| g.estimate.and_then(|e| low(e.interval))),
            number("high", |g| g.estimate.and_then(|e| high(e.interval))),
            number("bootstrap_low", |g| low(g.bootstrap)),
            number("bootstrap_high", |g| high(g.bootstrap)),
            self.references(),
            count("pairs", |g| g.difference.as_ref().map_or(0, |d| pair(d).n)),
            number("difference", |g| g.difference.as_ref().map(|d| pair(d).mean)),
            number("difference_low", |g| {
                g.difference.as_ref().and_then(|d| low(pair(d).interval))
            }),
            number("difference_high", |g| {
                g.difference.as_ref().and_then(|d| high(pair(d).interval))
            }),
            number("difference_bootstrap_low", |g| {
                g.difference.as_ref().and_then(|d| low(d.paired.bootstrap))
            }),
            number("difference_bootstrap_high", |g| {
                g.difference.as_ref().and_then(|d| high(d.paired.bootstrap))
            }),
            number("p", |g| g.difference.as_ref().map(|d| d.paired.wilcoxon.p)),
            number("p_holm", |g| g.difference.as_ref().map(|d| d.holm_p)),
            number("p_smallest", |g| {
                g.difference.as_ref().map(|d| d.paired.wilcoxon.smallest_p)
            }),
            count("family", |g| g.difference.as_ref().map_or(0, |d| d.family)),
            number("paper", |g| g.paper),
        ]);
        DataFrame::new_infer_height(columns)
    }

    /// Every test of a row against another, one a row; `pairing` says what is paired.
    ///
    /// # Errors
    /// Those of Polars; none is known.
    pub fn versus_frame(&self, row: &str, versus: &[Versus]) -> PolarsResult<DataFrame> {
        let all: Vec<(&Versus, &Difference)> = versus
            .iter()
            .flat_map(|v| v.differences.iter().map(move |d| (v, d)))
            .collect();
        let number = |name: &str, of: fn(&Difference) -> Option<f64>| numbers(name, all.iter().map(|(_, d)| of(d)));
        let count = |name: &str, of: fn(&Difference) -> usize| counts(name, all.iter().map(|(_, d)| of(d) as u64));
        let against = all.iter().map(|(_, d)| &self.methods[d.reference]);
        DataFrame::new_infer_height(vec![
            text("experiment", repeat_n(&self.experiment, all.len())),
            text("protocol", all.iter().map(|(v, _)| &v.setting)),
            text("metric", all.iter().map(|(v, _)| &v.metric)),
            text("row", repeat_n(row, all.len())),
            text("against", against),
            text("pairing", all.iter().map(|(v, _)| v.pairing.text())),
            count("pairs", |d| pair(d).n),
            number("difference", |d| Some(pair(d).mean)),
            number("difference_low", |d| low(pair(d).interval)),
            number("difference_high", |d| high(pair(d).interval)),
            number("p", |d| Some(d.paired.wilcoxon.p)),
            number("p_holm", |d| Some(d.holm_p)),
            number("p_smallest", |d| Some(d.paired.wilcoxon.smallest_p)),
            count("family", |d| d.family),
        ])
    }

    /// Row that each difference is to; empty where there is none.
    fn references(&self) -> Series {
        let row = |group: &Group| {
            let reference = group.difference.as_ref()?.reference;
            Some(self.methods[reference].to_string())
        };
        let rows: Vec<Option<String>> = self.groups.iter().map(row).collect();
        Values::new("reference".into(), rows).into()
    }

    fn method_columns(&self, positions: impl Iterator<Item = usize> + Clone) -> [Series; 4] {
        let of = |name: &str, of: fn(&RowId) -> String| text(name, positions.clone().map(|p| of(&self.methods[p])));
        [
            of("row", RowId::to_string),
            of("fusion", |row| row.fusion.method.clone()),
            of("reallocation", |row| row.reallocation.method.clone()),
            of("variant", RowId::variant),
        ]
    }
}

fn pair(difference: &Difference) -> &Estimate {
    &difference.paired.estimate
}

fn low(interval: Option<Interval>) -> Option<f64> {
    interval.map(|interval| interval.low)
}

fn high(interval: Option<Interval>) -> Option<f64> {
    interval.map(|interval| interval.high)
}

pub(crate) fn text(name: &str, values: impl Iterator<Item = impl ToString>) -> Series {
    let values: Vec<String> = values.map(|value| value.to_string()).collect();
    Values::new(name.into(), values).into()
}

fn numbers(name: &str, values: impl Iterator<Item = Option<f64>>) -> Series {
    Values::new(name.into(), values.collect::<Vec<_>>()).into()
}

pub(crate) fn counts(name: &str, values: impl Iterator<Item = u64>) -> Series {
    Values::new(name.into(), values.collect::<Vec<_>>()).into()
}
