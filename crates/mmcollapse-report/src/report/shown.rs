//! How a comparison, its numbers and its verdict are written, in the text as on the page.

use std::fmt::Write as _;

use mmcollapse_probes::{Interval, Verdict};
use mmcollapse_record::Unit;

use super::claims::{Comparison, Line, Over};
use super::verdict::{Compared, reason};
use crate::table::{DASH, probability};

/// The numbers of a comparison, for readers.
pub(super) struct Numbers {
    /// Mean difference with its interval, in the unit of the metric, or as a factor.
    pub effect: String,
    /// Seeds.
    pub n: String,
    /// The effect to detect or to exclude, and where the paper prints it.
    pub margin: String,
    /// p of the exact signed-rank test.
    pub p: String,
}

impl Numbers {
    pub(super) fn of(compared: &Compared) -> Self {
        let comparison = compared.comparison;
        let none = || DASH.to_owned();
        let estimate = compared.estimate;
        let mut effect = estimate.map_or_else(none, |(spread, interval)| {
            with_interval(comparison, spread.mean, interval)
        });
        if let Some(median) = compared.median() {
            let (median, share) = (comparison.shown(median), 100.0 * compared.diverged);
            let _ = write!(effect, "; median {median}, {share:.0} % of a row's runs diverged");
        }
        Self {
            effect,
            n: estimate.map_or_else(none, |(spread, _)| spread.n.to_string()),
            margin: comparison.margin.map_or_else(none, |margin| {
                let margin = comparison.shown_margin(margin);
                match &comparison.printed {
                    Some(place) => format!("{margin} ({place})"),
                    None => margin,
                }
            }),
            p: estimate
                .and_then(|_| compared.wilcoxon())
                .map_or_else(none, probability),
        }
    }
}

fn with_interval(comparison: &Comparison, mean: f64, interval: Interval) -> String {
    format!(
        "{} [{}, {}]",
        comparison.shown(mean),
        comparison.shown(interval.low),
        comparison.shown(interval.high)
    )
}

impl Comparison {
    /// A difference in the metric's unit, or a factor.
    fn shown(&self, difference: f64) -> String {
        if self.along.is_some() {
            let name = if matches!(self.over, Over::Line(_)) { "" } else { "r = " };
            return format!("{name}{difference:.2}").replace('-', "−");
        }
        if self.is_of_ratios() {
            let factor = libm::exp(difference);
            let digits = if factor < 10.0 { 3 } else { 0 };
            return format!("× {factor:.digits$}");
        }
        let digits = if self.metric.is_share() { 2 } else { 3 };
        format!("{:+.digits$}", self.metric.scale() * difference).replace('-', "−")
    }

    fn shown_margin(&self, margin: f64) -> String {
        if matches!(self.over, Over::Line(_)) {
            format!("{margin}")
        } else if self.along.is_some() {
            format!("r = {margin}")
        } else if self.is_of_ratios() {
            format!("× {margin}")
        } else {
            format!("{:.2}", self.metric.scale() * margin)
        }
    }

    /// What is measured: the metric with its unit, and at which levels.
    pub(super) fn quantity(&self) -> String {
        let metric = self.metric.title();
        if let (Some(other), Over::Line(line)) = (&self.along, self.over) {
            let what = match line {
                Line::Intercept => "where it meets the axis, as a share of the mean",
                Line::Unexplained => "the share of the variance that it leaves (1 − R²)",
            };
            return format!("line over the levels: {metric} by {}; {what}", other.title());
        }
        if !self.doses.is_empty() {
            return format!("{metric}, slope over the doses, times their range");
        }
        if let Some(other) = &self.along {
            return format!("correlation over seeds: {metric}, {}", other.title());
        }
        match self.over {
            // A line is said above, with the metric that it is over.
            Over::Mean | Over::Line(_) => metric,
            Over::Level(level) => format!("{metric} at {level}"),
            Over::Change(from, to) => format!("{metric}, from {from} to {to}"),
            Over::Trend => format!("{metric}, slope over the levels"),
            Over::Kink(at) => format!("{metric}, change of the slope at {at}"),
        }
    }

    /// What its margin is, in words: the paper's effect, or one of a size that we name.
    fn effect(&self) -> String {
        if self.printed.is_some() {
            return "the paper's effect".to_owned();
        }
        let margin = self.margin.unwrap_or_default();
        if self.metric.is_share() {
            return format!("an effect of {} point", self.metric.scale() * margin);
        }
        let unit = if matches!(self.metric.unit(), Unit::Loss | Unit::Nats) {
            " nats"
        } else {
            ""
        };
        format!("an effect of {margin}{unit}")
    }
}

/// A verdict in full; `comparison` says whose effect it is about.
pub(super) fn verdict(verdict: Verdict, comparison: &Comparison) -> String {
    on_effect(verdict, &comparison.effect())
}

/// A verdict in full; `effect` names the one to detect or to exclude.
pub(crate) fn on_effect(verdict: Verdict, effect: &str) -> String {
    match verdict {
        Verdict::Supported { smaller: false } => "supported".to_owned(),
        Verdict::Supported { smaller: true } => format!("supported; {effect} is excluded"),
        Verdict::Contradicted => "contradicted".to_owned(),
        Verdict::Excluded => format!("excluded: {effect}"),
        Verdict::Inconclusive { n_needed: Some(n) } => format!("inconclusive; {n} seeds would tell"),
        Verdict::Inconclusive { n_needed: None } => "inconclusive; no number of seeds would tell".to_owned(),
        Verdict::CannotDecide => "these data cannot decide".to_owned(),
        Verdict::NotTested(why) => format!("not tested: {}", reason(why)),
    }
}

/// What a part of a conjunction says by itself.
pub(super) fn part(compared: &Compared) -> String {
    compared
        .verdict
        .map_or_else(String::new, |of_part| verdict(of_part, compared.comparison))
}
