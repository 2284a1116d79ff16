//! REPRODUCTION.md: claim by claim the paper's statement, our figure with interval and n, and the verdict.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use miette::{IntoDiagnostic, Result};
use mmcollapse_probes::smallest_attainable_p;

use super::claims::{Claim, Claims};
use super::results::{Measured, Printed, Results};
use super::verdict::{Family, LEVEL, Tested, families, in_words, on_own_data, whole, with_tuned_settings};
use crate::summary::Column;
use crate::table::{DASH, escape, percent_bare, probability};

/// Heading of the table that says what the text rests on.
pub(super) const ORIGINS: &str = "## Where this comes from";

/// The whole text.
pub fn markdown(claims: &Claims, results: &Results) -> Result<String> {
    let mut text = head(results);
    let all = claims
        .claims
        .iter()
        .map(|claim| Ok((claim, families(claim, results).into_diagnostic()?)))
        .collect::<Result<Vec<_>>>()?;
    summary(&all, &mut text);
    for (claim, families) in all.iter().filter(|(claim, _)| !claim.tests.is_empty()) {
        let _ = write!(
            text,
            "\n## Claim {}: {}\n\n{} ({})\n",
            claim.id,
            in_words(families),
            escape(&claim.states),
            escape(&claim.place)
        );
        for family in families.iter().filter(|family| !family.tests.is_empty()) {
            made(family, &mut text);
        }
    }
    text.push_str("\n## Beside the paper's printed numbers\n");
    for measured in results.experiments.iter().filter(|m| !m.printed.is_empty()) {
        printed(measured, &mut text);
    }
    text.push_str("\n## Where the paper does not add up\n\n");
    for item in &claims.inconsistent {
        let _ = writeln!(text, "- {}", escape(item.trim()));
    }
    if !results.others.is_empty() {
        text.push_str(
            "\n## On other data sets\n\nThe same experiments on data that are not the paper's. No verdict on the paper's data rests on \
             them.\n\n",
        );
        linked(&results.others, &mut text);
    }
    if !results.tuned.is_empty() {
        text.push_str(
            "\n## With tuned settings\n\nThe same experiments, each row with the setting that was best on validation, of the same number of \
             trials for every row. No verdict with the specs' settings rests on them.\n\n",
        );
        linked(&results.tuned, &mut text);
    }
    text.push('\n');
    text.push_str(ORIGINS);
    text.push_str("\n\n| experiment | preset | cells | seeds | commit | data | command |\n| --- | --- | --: | --: | --- | --- | --- |\n");
    for measured in results.all() {
        let p = &measured.provenance;
        let digests: Vec<String> = p
            .data
            .iter()
            .map(|(name, digest)| format!("{name} {}", digest.get(..12).unwrap_or(digest)))
            .collect();
        let _ = writeln!(
            text,
            "| {} | {}{}{}{} | {} | {} | {} | {} | `{}` |",
            measured.name,
            p.preset,
            p.tuned.as_ref().map_or("", |_| ", tuned"),
            if p.missing > 0 {
                format!(", {} cells missing", p.missing)
            } else {
                String::new()
            },
            if measured.stale { ", stale" } else { "" },
            p.cells,
            p.seeds,
            p.commits(),
            digests.join(", "),
            p.command
        );
    }
    Ok(text)
}

/// On which data set, if it is another than the paper's.
fn on(dataset: Option<&str>) -> String {
    dataset.map_or_else(String::new, |dataset| format!(" on {dataset}"))
}

/// A line a table, with its address.
fn linked(all: &[Measured], text: &mut String) {
    for measured in all {
        let p = &measured.provenance;
        let kind = p.synthetic.as_ref().map_or("", |_| " (synthetic data)");
        let _ = writeln!(
            text,
            "- [{name}{}]({name}/{}/table.md){kind}, {} seeds",
            on(p.dataset.as_deref()),
            measured.folder,
            p.seeds,
            name = measured.name
        );
    }
}

/// One line a claim; data sets that stand in for the paper's have a column each, and tuned settings have one.
fn summary(all: &[(&Claim, Vec<Family>)], text: &mut String) {
    let datasets = all
        .iter()
        .flat_map(|(_, families)| families.iter().filter_map(|f| f.dataset));
    let datasets: BTreeSet<&str> = datasets.collect();
    let tuned = all.iter().any(|(_, families)| families.iter().any(|f| f.tuned));
    let mut header: Vec<String> = datasets
        .iter()
        .map(|name| format!(" open stand-in: {name} |"))
        .collect();
    header.extend(tuned.then(|| " with tuned settings |".to_owned()));
    let _ = write!(
        text,
        "\n## Verdicts\n\n| claim | where | what the paper says | verdict on the paper's data |{}\n| --- | --- | --- | --- |{}\n",
        header.concat(),
        " --- |".repeat(header.len())
    );
    for (claim, families) in all {
        let _ = write!(
            text,
            "| {} | {} | {} | {} |",
            claim.id,
            escape(&claim.place),
            escape(&claim.states),
            on_own_data(families)
        );
        for dataset in &datasets {
            let family = families.iter().find(|f| f.dataset == Some(dataset) && !f.tuned);
            let _ = write!(
                text,
                " {} |",
                family.map_or_else(|| DASH.to_owned(), |f| whole(&f.tests))
            );
        }
        if tuned {
            let _ = write!(text, " {} |", with_tuned_settings(families).as_deref().unwrap_or(DASH));
        }
        text.push('\n');
    }
}

/// The tests on one data set with their numbers.
fn made(family: &Family, text: &mut String) {
    let verdict = match (family.dataset, family.tuned) {
        (None, false) => "\nVerdict".to_owned(),
        (dataset, true) => {
            let on = on(dataset);
            format!(
                "\n### With tuned settings{on}\n\nThose of the tests for whose rows a search was made, each row with its best setting on \
                 validation; corrected apart, no part of the verdict above. Verdict with tuned settings{on}"
            )
        }
        (Some(dataset), false) => format!(
            "\n### Open stand-in: {dataset}\n\nNot the paper's data, corrected apart, no part of the verdict on the paper's data. \
             Verdict on {dataset}"
        ),
    };
    let _ = write!(
        text,
        "{verdict}: **{}**.{}\n\n\
         | test | measured in | difference | n | p | p (Holm) | margin | verdict |\n\
         | --- | --- | --: | --: | --: | --: | --: | --- |\n",
        whole(&family.tests),
        attainable(&family.tests)
    );
    for one in &family.tests {
        line(one, text);
    }
}

fn head(results: &Results) -> String {
    let names = |measured: &[Measured]| {
        let names = measured.iter().map(|m| {
            let on = on(m.provenance.dataset.as_deref());
            format!("{}{on} ({})", m.name, m.provenance.preset)
        });
        names.collect::<Vec<_>>().join(", ")
    };
    let (own, others, tuned) = (
        names(&results.experiments),
        names(&results.others),
        names(&results.tuned),
    );
    format!(
        "# What held and what did not\n\n\
         Generated by `mmcollapse report` from the files beside it; do not edit. It covers {}{}{}.\n\n\
         **The rule**, the same for every test: the quantity is compared seed by seed. A test *holds* if p, by the exact \
         two-sided Wilcoxon signed-rank test and Holm's correction over the tests of its claim on those data, is below {LEVEL} and the 95 % t \
         interval of the mean difference lies wholly on the claimed side of 0; *the opposite holds* if the same is true of \
         the other side; it *does not hold* if the interval excludes a difference as large as the margin, which is part of \
         the test; otherwise it *cannot be decided at this n*. Where fewer than two seeds have both numbers, it has *no number* if runs diverged, \
         and else is *not measured*. Differences of accuracy are in points. A claim holds if all its \
         measured tests hold. Where open data stand in for the paper's, their tests are corrected among themselves and have a \
         verdict of their own, which is none on the paper's data; so have tests with tuned settings. The data, the methods' settings and the presets are ours where the paper is silent: a verdict is \
         about what was run here.\n",
        if own.is_empty() { "nothing yet" } else { &own },
        if others.is_empty() {
            String::new()
        } else {
            format!("; on other data than the paper's: {others}")
        },
        if tuned.is_empty() {
            String::new()
        } else {
            format!("; with tuned settings: {tuned}")
        }
    )
}

/// The least p that the tests could give.
fn attainable(tested: &[Tested]) -> String {
    let made = tested.iter().filter_map(|t| Some(t.numbers.as_ref()?.0.estimate.n));
    let Some(n) = made.clone().max() else {
        return String::new();
    };
    let family = made.count();
    let smallest = smallest_attainable_p(n);
    format!(
        " With {n} pairs p cannot be less than {}, the smallest of {family} corrected ones not less than {}.",
        probability(smallest),
        probability((smallest * family as f64).min(1.0))
    )
}

fn line(one: &Tested, text: &mut String) {
    let test = one.test;
    let digits = if test.metric.is_share() { 2 } else { 3 };
    let scaled = |value: f64| format!("{:.digits$}", test.metric.scale() * value);
    let numbers = one.numbers.as_ref().map_or_else(
        || ["–", "–", "–", "–"].map(str::to_owned),
        |(difference, p)| {
            let estimate = &difference.estimate;
            let interval = estimate
                .interval
                .map_or_else(String::new, |i| format!(" [{}, {}]", scaled(i.low), scaled(i.high)));
            [
                format!("{}{interval}", scaled(estimate.mean)),
                estimate.n.to_string(),
                probability(difference.wilcoxon.p),
                probability(*p),
            ]
        },
    );
    let _ = writeln!(
        text,
        "| {} | {}{}, {}: {} | {} | {} | {} |",
        escape(&test.says),
        test.experiment,
        on(test.dataset.as_deref()),
        escape(&test.protocol.to_string()),
        escape(&test.metric.title()),
        numbers.join(" | "),
        scaled(test.margin),
        one.verdict.text()
    );
}

/// Our means over the levels beside the paper's, and how many of its numbers lie in our intervals.
fn printed(measured: &Measured, text: &mut String) {
    let inside = |p: &&Printed| p.low.is_some_and(|low| low <= p.paper) && p.high.is_some_and(|high| p.paper <= high);
    let single = || measured.printed.iter().filter(|p| p.column != Column::MeanOfRates);
    let _ = write!(
        text,
        "\n### {}: {}\n\n{} of {} printed numbers lie in our 95 % interval for the same row and level. Means over the levels, in \
         %; neither comparison settles which protocol the paper used.\n\n\
         | row | protocol | here | n | paper | paper − here |\n| --- | --- | --: | --: | --: | --: |\n",
        measured.name,
        escape(measured.title),
        single().filter(inside).count(),
        single().count()
    );
    for p in measured.printed.iter().filter(|p| p.column == Column::MeanOfRates) {
        let half = p
            .low
            .zip(p.high)
            .map(|(low, high)| format!(" ± {:.2}", 50.0 * (high - low)));
        let _ = writeln!(
            text,
            "| {} | {} | {}{} | {} | {} | {:+.2} |",
            escape(&p.row.to_string()),
            escape(&p.protocol.to_string()),
            percent_bare(p.mean),
            half.unwrap_or_default(),
            p.n,
            percent_bare(p.paper),
            100.0 * (p.paper - p.mean)
        );
    }
}
