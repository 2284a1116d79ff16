//! Writes what an experiment found: tables, figure and every run, each with its origin.
//!
//! | file | what |
//! |---|---|
//! | `table.md`, `table.tex` | the table for readers, the paper's numbers beside ours |
//! | `table.parquet`, `table.csv` | every mean with intervals, difference, p values and the paper's number |
//! | `runs.parquet`, `runs.csv` | every run |
//! | `runs.keys` | the keys of the cells that it rests on, one a line |
//! | `tests.parquet`, `tests.csv` | every test of one row against another, where the experiment shows them |
//! | `curves.parquet`, `curves.csv` | the semantic loss at every epoch of every run, where the experiment shows it |
//! | `probes.parquet`, `probes.csv` | every probe of every encoder along training, where the experiment shows them |
//! | `figure.svg`, `figure.png` | what the experiment shows, against its levels or along training |
//! | `table.provenance.json`, `runs.provenance.json`, `figure.provenance.json` | command, commit, data, machine, time |

use mmcollapse_record::{
    Commit, ExperimentInfo, External, Metric, OriginCount, Preset, Provenance, Record, Shows, Unit,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use mmcollapse_files::{duration_text, write_atomic};
use polars::prelude::{CsvWriter, DataFrame, ParquetWriter, SerWriter};
use serde::Deserialize;

use crate::compare;
use crate::curves;
use crate::figure::{Figure, FigureText, Forest};
use crate::lacking::lacking;
use crate::paper::Paper;
use crate::summary::Summary;
use crate::table::{Table, Tests, latex, markdown};

/// Digits of a data digest that are told in text; the JSON has all of them.
const DIGEST_DIGITS: usize = 12;

/// Data sets of one kind that are named one by one at most.
const NAMED: usize = 3;

/// The keys of the cells that a result rests on, one a line.
pub const KEYS: &str = "runs.keys";

/// The measures that the spec asks for beyond what the experiment shows anyway, as far as anything has them.
fn asked(experiment: &ExperimentInfo, summary: &Summary) -> Result<Vec<Metric>> {
    /// Of the spec what concerns the report.
    #[derive(Deserialize)]
    struct Asking {
        #[serde(default)]
        measures: Vec<String>,
    }
    let asking: Asking = serde_yaml::from_str(experiment.spec)
        .into_diagnostic()
        .wrap_err_with(|| experiment.spec_path())?;
    let is_asked = |metric: &&Metric| asking.measures.iter().any(|key| key == metric.definition().key);
    let measured: BTreeSet<&Metric> = summary.groups.iter().map(|group| &group.metric).collect();
    Ok(measured.into_iter().filter(is_asked).cloned().collect())
}

/// The paper's numbers, with the metric that the records have where they are of other data.
pub(crate) fn paper_of(experiment: &ExperimentInfo, records: &[Record], provenance: &Provenance) -> Result<Paper> {
    let mut paper = Paper::of(experiment)?;
    if provenance.dataset.is_some() || experiment.paper.is_none() {
        let measured = |metric: &Metric| {
            let scores = || records.iter().flat_map(|record| &record.outcome.scores);
            scores().any(|score| score.metric == *metric)
        };
        let accuracy: Metric = "accuracy".parse().into_diagnostic()?;
        if !measured(&paper.metric) && measured(&accuracy) {
            paper.metric = accuracy;
        }
    }
    Ok(paper)
}

/// Writes tables and figure of `records` into the folder `out` and returns the paths, in order.
///
/// # Errors
/// No record at all, a `paper.yaml` that cannot be read, a score that is not a number, a file that cannot be
/// written.
pub fn render(
    experiment: &ExperimentInfo,
    records: &[Record],
    provenance: &Provenance,
    out: &Path,
) -> Result<Vec<PathBuf>> {
    if records.is_empty() {
        return Err(miette!(
            help = format!("run it first: {}", provenance.command),
            "{}: no cell of preset {} has finished, so there is nothing to show",
            experiment.name,
            provenance.preset
        ));
    }
    let mut paper = paper_of(experiment, records, provenance)?;
    let mut title = experiment.title.to_owned();
    if let Some(dataset) = &provenance.dataset {
        // The paper's numbers are of its own data.
        paper.rows.clear();
        let mut kind = "";
        if provenance.synthetic.is_some() {
            kind = "synthetic ";
            paper.means.clear();
        }
        title = format!("{title}: {kind}data set {dataset} instead");
    }
    let keys: BTreeSet<&str> = records.iter().map(|record| record.key.as_str()).collect();
    let keys: Vec<&str> = keys.into_iter().collect();
    let records = &match experiment.shows {
        Shows::Curves => curves::measured(records),
        _ => records.to_vec(),
    };
    let summary = Summary::new(experiment.name, records, &paper)?;
    let facts = facts(provenance);
    let mut warnings = warnings(provenance);
    // Of what another program trained nothing but predictions is known.
    let external = provenance.external.as_ref().map(|external| external.row.as_str());
    let ours = records
        .iter()
        .filter(|record| external != Some(record.row.to_string().as_str()));
    warnings.extend(lacking(&ours.collect::<Vec<_>>()));
    warnings.extend(provenance.overlap.map(|documented| {
        let q = summary.test_to_train().unwrap_or(documented);
        overlapping(provenance.seeds, q)
    }));
    let preset = provenance.preset.as_str();
    let drawn = experiment.shows.metrics(&paper.metric).into_diagnostic()?;
    // What else the spec asks for has sheets alone.
    let mut metrics = drawn.clone();
    for metric in asked(experiment, &summary)? {
        if !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    let mut table = Table::new(
        &summary,
        &paper,
        &metrics,
        &title,
        preset,
        warnings.clone(),
        facts.clone(),
    );
    let mut versus = Vec::new();
    if let Shows::Tests { row, .. } = experiment.shows {
        versus = summary.versus(row, &metrics, &paper)?;
        table = table.of_tests(&Tests {
            summary: &summary,
            beside: provenance.dataset.is_none().then_some(&paper),
            row,
            versus: &versus,
            preset,
        });
    }
    if let Some(external) = &provenance.external {
        versus = summary.versus(&external.row, &metrics, &paper)?;
        table
            .sheets
            .extend(compare::sheets(&summary, &paper, &metrics, external, &versus, preset)?);
    }
    let origin = facts.join(" · ");
    let json = serde_json::to_string_pretty(provenance).into_diagnostic()?;
    let frame = FigureText {
        title: &title,
        preset,
        warnings,
        provenance: origin,
        levels: experiment.levels,
        references: experiment.references,
    };

    let picture = match experiment.shows {
        Shows::Scores => Figure::of_scores(&summary, &paper, frame).draw(&json),
        Shows::Measures(_) => {
            let level = frame.level();
            Figure::of_measures(&summary, &drawn, frame)
                .with_curves(records, &summary, experiment.along, level)
                .draw(&json)
        }
        Shows::Dose { of, .. } => Figure::of_doses(&summary, of, &drawn, frame).draw(&json),
        Shows::Probes(_) => {
            let gaps: Vec<Metric> = metrics.iter().filter(|m| m.unit() == Unit::Points).cloned().collect();
            Figure::of_probes(records, &summary, &gaps, frame).draw(&json)
        }
        Shows::Curves => Figure::of_curves(records, &summary, frame).draw(&json),
        Shows::Neurons { rows, .. } => Figure::of_neurons(records, &summary, rows, frame).draw(&json),
        Shows::Rows(_) => Forest::new(&summary, &paper, frame).draw(&json),
        Shows::Tests { row, .. } => Forest::of_tests(&summary, row, &versus, frame).draw(&json),
    }?;

    let json = format!("{json}\n").into_bytes();
    let mut files: Vec<(String, Vec<u8>)> = vec![
        ("table.md".to_owned(), markdown(&table).into_bytes()),
        ("table.tex".to_owned(), latex(&table).into_bytes()),
    ];
    let mut frames = vec![("table", summary.groups_frame()), ("runs", summary.runs_frame())];
    match experiment.shows {
        Shows::Curves => frames.push(("curves", curves::frame(records))),
        Shows::Probes(_) => frames.push(("probes", curves::probes_frame(records))),
        Shows::Tests { row, .. } => frames.push(("tests", summary.versus_frame(row, &versus))),
        Shows::Scores | Shows::Rows(_) | Shows::Measures(_) | Shows::Dose { .. } | Shows::Neurons { .. } => {}
    }
    if let Some(external) = &provenance.external {
        frames.push(("tests", summary.versus_frame(&external.row, &versus)));
    }
    for (name, frame) in frames {
        let mut frame = frame.into_diagnostic()?;
        files.extend([
            (format!("{name}.parquet"), parquet(&mut frame)?),
            (format!("{name}.csv"), csv(&mut frame)?),
            (format!("{name}.provenance.json"), json.clone()),
        ]);
    }
    files.extend([
        (KEYS.to_owned(), format!("{}\n", keys.join("\n")).into_bytes()),
        ("figure.svg".to_owned(), picture.svg.into_bytes()),
        ("figure.png".to_owned(), picture.png),
        ("figure.provenance.json".to_owned(), json),
    ]);
    files
        .into_iter()
        .map(|(name, bytes)| {
            let path = out.join(name);
            write_atomic(&path, &bytes)
                .into_diagnostic()
                .wrap_err("cannot write a result")?;
            Ok(path)
        })
        .collect()
}

/// Whether a file in a result's folder is one that [`render`] writes.
pub(crate) fn is_ours(name: &str) -> bool {
    const STEMS: [&str; 6] = ["table", "runs", "tests", "curves", "probes", "figure"];
    const ENDS: [&str; 8] = ["md", "tex", "parquet", "csv", "provenance.json", "keys", "svg", "png"];
    let parts = name.split_once('.');
    parts.is_some_and(|(stem, end)| STEMS.contains(&stem) && ENDS.contains(&end))
}

fn parquet(frame: &mut DataFrame) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(frame).into_diagnostic()?;
    Ok(bytes)
}

fn csv(frame: &mut DataFrame) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes).finish(frame).into_diagnostic()?;
    Ok(bytes)
}

/// What must be read before any number.
pub(crate) fn warnings(provenance: &Provenance) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(provenance.external.iter().flat_map(External::text));
    warnings.extend(provenance.synthetic.clone());
    if provenance.missing > 0 {
        let seeds = provenance
            .preset_seeds
            .map_or_else(String::new, |of| format!("n = {} of {of} seeds, ", provenance.seeds));
        warnings.push(format!(
            "Incomplete: {seeds}{} of {} cells are missing; the numbers will change.",
            provenance.missing,
            provenance.missing + provenance.cells
        ));
    }
    if let Some(kept) = &provenance.more_complete {
        warnings.push(format!(
            "Partial: the more complete result of the same experiment is in the folder {kept} beside this one."
        ));
    }
    if provenance.preset == Preset::Smoke {
        warnings.push(
            "Preset smoke: trained for seconds, to show that everything works. Its numbers mean nothing else."
                .to_owned(),
        );
    }
    if let Some(dataset) = &provenance.dataset {
        warnings.push(format!(
            "Data set {dataset}, which is not the paper's: no numbers of the paper are shown, and these never count for the paper's data."
        ));
        warnings.extend(provenance.excerpt.clone());
    }
    warnings.extend(
        provenance
            .tuned
            .as_ref()
            .map(|tuned| tuned.text(provenance.overlap.is_some())),
    );
    warnings
}

/// What intervals leave out where the seeds cut the same records anew.
fn overlapping(seeds: usize, q: f64) -> String {
    format!(
        "All seeds cut the same records anew, so their runs are not independent. Intervals and p here do not count that: at n = {seeds} \
         the intervals of the verdicts, which do, are {:.1} times as wide.",
        (1.0 + seeds as f64 * q).sqrt()
    )
}

/// Where a result comes from, one fact a line; the first one gives it again.
pub(crate) fn facts(provenance: &Provenance) -> Vec<String> {
    let commit = match (&provenance.commit, &provenance.commit_not_known) {
        (Some(commit), _) => format!("commit {}", commit.short()),
        (None, Some(reason)) => format!("commit not known ({reason})"),
        (None, None) => "commit not known".to_owned(),
    };
    let mut facts = vec![
        format!("Made by: {}", provenance.command),
        format!("version {}, {commit}", provenance.version),
        format!(
            "preset {}: {} cells, {} seeds",
            provenance.preset, provenance.cells, provenance.seeds
        ),
    ];
    facts.extend(
        provenance
            .tuned
            .iter()
            .map(|tuned| format!("settings from {}", tuned.file)),
    );
    let family = |name: &str| name.split(':').next().unwrap_or_default().to_owned();
    let mut families: BTreeMap<String, usize> = BTreeMap::new();
    for name in provenance.data.keys() {
        *families.entry(family(name)).or_default() += 1;
    }
    for (name, digest) in &provenance.data {
        let digits = digest.get(..DIGEST_DIGITS).unwrap_or(digest);
        // Planted data have a set a level, and names that are long.
        if families.get(&family(name)).is_none_or(|sets| *sets <= NAMED) {
            facts.push(format!("data {name} {digits}"));
        }
    }
    let many = families.into_iter().filter(|(_, sets)| *sets > NAMED);
    facts.extend(many.map(|(family, sets)| format!("{sets} data sets {family}, each named in provenance.json")));
    facts.extend(provenance.origins.iter().map(|count| origin(count, provenance)));
    facts.push(format!(
        "{} of wall time, {} of training",
        duration_text(provenance.wall_seconds),
        duration_text(provenance.cell_seconds)
    ));
    facts
}

/// On what cells were trained; their commit only where it is not that of the result.
fn origin(count: &OriginCount, provenance: &Provenance) -> String {
    let origin = &count.origin;
    let machine = &origin.machine;
    let commit = if origin.commit == provenance.commit {
        String::new()
    } else {
        let short = origin.commit.as_ref().map(Commit::short);
        format!(", commit {}", short.as_deref().unwrap_or("unknown"))
    };
    format!(
        "{} cells on {} ({} cores, {}), device {}{commit}",
        count.cells, machine.cpu, machine.cores, machine.os, origin.device
    )
}

#[cfg(test)]
mod tests;
