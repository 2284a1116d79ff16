//! `compare`: predictions of another program beside every row of an experiment, and two rows beside each other.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use miette::{Result, miette};
use mmcollapse_files::{say, tell};
use mmcollapse_record::{ExperimentInfo, External, Provenance, Record, RowName, Rule};
use mmcollapse_report::compare::{external_row, takes_external, two_rows};
use mmcollapse_report::publish::publish;
use mmcollapse_report::report::claims::Claims;
use mmcollapse_run::exchange;
use mmcollapse_run::gather::{Conditions, Gathered};
use mmcollapse_run::models::ModelResolver;
use mmcollapse_run::on::spec_on;
use mmcollapse_run::plan::{Filter, Plan, Selection};
use mmcollapse_run::store::Store;

use super::options::{dataset_flag, documented_overlap};
use super::{Ending, From, Place, What};

/// Points that a comparison is to detect if nothing else is said.
const MARGIN: f64 = 1.0;

/// What is compared.
#[derive(Args, Clone)]
pub struct Asked {
    /// File with the predictions: Parquet with seed, sample, condition, data, p0, p1, ...
    #[arg(requires = "name", conflicts_with = "rows", required_unless_present = "rows")]
    predictions: Option<PathBuf>,
    /// Name of the method in tables and of its folder.
    #[arg(long, requires = "predictions", conflicts_with = "rows")]
    name: Option<String>,
    /// Compare two rows of the experiment: whether the first is better than the second.
    #[arg(long, num_args = 2, value_names = ["ROW", "AGAINST"])]
    rows: Option<Vec<String>>,
    /// The difference, in points, that a comparison is to detect or to exclude.
    #[arg(long, value_name = "POINTS", default_value_t = MARGIN, value_parser = points)]
    margin: f64,
    /// Show predictions that look as if test labels were used, with this reason beside them.
    #[arg(long, value_name = "REASON", requires = "predictions", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    despite: Option<String>,
}

/// Reads a margin: points above 0.
fn points(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    let number = number.filter(|points| *points > 0.0 && *points <= 100.0);
    number.ok_or_else(|| format!("expected points above 0 and at most 100, such as 1; got `{text}`"))
}

/// What there is to compare with.
struct Rows {
    records: Vec<Record>,
    provenance: Provenance,
}

/// Compares and says what came of it.
pub(super) fn compare(
    experiment: &'static ExperimentInfo,
    asked: &Asked,
    what: &What,
    place: &Place,
    from: &From,
    claims: &Claims,
) -> Result<Ending> {
    if asked.predictions.is_some() {
        takes_external(experiment)?;
    }
    let mut resolver = ModelResolver::new(place.offline);
    let selection = Selection {
        seeds: what.seeds,
        first_seed: None,
        only: Filter::default(),
    };
    let spec = spec_on(
        experiment,
        what.dataset.as_deref(),
        what.preset,
        &selection,
        &mut resolver,
    )?;
    let plan = Plan::of(experiment, &spec, what.preset, &selection, &mut resolver)?;
    let conditions = Conditions::of(&spec, &plan, None)?;
    let cells = conditions.cells(&plan, &from.results)?;
    let published = (!from.no_published).then_some(&cells);
    let gathered = Gathered::beside(&plan, &Store::new(&place.store), published)?;
    if gathered.records.is_empty() {
        let dataset = dataset_flag(what.dataset.as_deref());
        return Err(miette!(
            help = format!(
                "`mmcollapse reproduce {} --preset {}{dataset}` with the same --store and --results trains them. A table without its cells, or of older code, is no row \
                 to compare with: `mmcollapse results` tells",
                experiment.name, what.preset
            ),
            "{} ({}): none of its {} cells is in the store {} or among the published ones, {}: there is nothing to compare with",
            experiment.name,
            what.preset,
            plan.cells.len(),
            place.store.display(),
            cells.path().display()
        ));
    }
    let margin = asked.margin / 100.0;
    let names: Vec<&str> = plan.data.keys().map(String::as_str).collect();
    let overlap = documented_overlap(claims, what.dataset.as_deref(), &names);
    let rule = overlap.map(|overlap| Rule { margin, overlap });
    if rule.is_none() {
        tell!(
            "no verdicts: it is not known how the seeds of {} draw their samples (`overlap` in experiments/claims.yaml)",
            names.join(", ")
        );
    }
    let flags = flags(&conditions, what, asked);
    let rows = |command: &str| Rows {
        provenance: Provenance {
            overlap: overlap.filter(|overlap| *overlap > 0.0),
            ..gathered.provenance(
                &plan,
                &conditions,
                &format!("mmcollapse compare {} {command}{flags}", experiment.name),
            )
        },
        records: gathered.records.clone(),
    };
    match (&asked.rows, &asked.predictions, &asked.name) {
        (Some(pair), ..) => {
            let [Ok(row), Ok(against)] = [&pair[0], &pair[1]].map(|name| name.parse::<RowName>()) else {
                return Err(miette!(
                    help = format!("`mmcollapse list {}` prints its rows", experiment.name),
                    "--rows {} {}: expected names of rows such as `shaspec+kd`",
                    pair[0],
                    pair[1]
                ));
            };
            if row == against {
                return Err(miette!(
                    help = format!("`mmcollapse list {}` prints its rows", experiment.name),
                    "--rows {row} {against}: expected two rows, got the same twice"
                ));
            }
            let rows = rows(&format!("--rows {row} {against}"));
            let rule = rule.ok_or_else(|| {
                miette!(
                    help = "add the data set to `overlap` in experiments/claims.yaml",
                    "{}: without it there is no interval, hence no comparison",
                    experiment.name
                )
            })?;
            let text = two_rows(experiment, &rows.records, &rows.provenance, [&row, &against], rule)?;
            say!("{}", text.trim_end());
            Ok(Ending::Well)
        }
        (None, Some(file), Some(name)) => {
            let row = external_row(name, &gathered.records)?;
            let scored = exchange::scored(&plan, file, &row, resolver.options(), &gathered.records)?;
            let of_file = file.file_name().unwrap_or_default().display();
            let rows = rows(&format!("{of_file} --name {name}"));
            let external = External {
                row: name.clone(),
                predictions: scored.sha256.clone(),
                seeds: scored.seeds(),
                lacking: lacking(&gathered.records, &scored.records),
                rule,
                suspicion: scored.suspicion.clone(),
                despite: asked.despite.clone(),
            };
            if let Some(doubt) = &scored.doubt {
                tell!("{name}: {doubt}");
            }
            beside(experiment, rows, scored.records, external, &from.results)
        }
        // clap asks for one of them.
        (None, ..) => Err(miette!(
            "name a file of predictions with --name, or two rows with --rows"
        )),
    }
}

/// Writes table, figure and tests with the row of another program.
fn beside(
    experiment: &'static ExperimentInfo,
    mut rows: Rows,
    own: Vec<Record>,
    external: External,
    results: &Path,
) -> Result<Ending> {
    if let (Some(suspicion), None) = (&external.suspicion, &external.despite) {
        return Err(miette!(
            help = "look for a way in which labels of the test reach the method. If there is none, --despite REASON shows the row with your \
                    reason beside it",
            "{}: test labels may have been used, as far as numbers tell: {suspicion}",
            external.row
        ));
    }
    let is_paired = |record: &&Record| own.iter().any(|o| o.seed == record.seed && o.setting == record.setting);
    let paired = rows.records.iter().filter(is_paired).count();
    if paired == 0 {
        return Err(miette!(
            help = "rows are compared seed by seed: predict seeds that the rows have, or train the rows on yours",
            "{}: none of the {} cells to compare with has a seed of the predictions",
            external.row,
            rows.records.len()
        ));
    }
    let name = external.row.clone();
    if let Some(lacking) = external.lacks() {
        tell!("{lacking}");
    }
    rows.records.extend(own);
    let provenance = Provenance {
        external: Some(external),
        ..rows.provenance
    };
    let shown = publish(experiment, &rows.records, provenance, results, false)?;
    tell!("{name} stands beside {paired} cells of the same seeds");
    if let Some(kept) = &shown.kept {
        tell!("{kept}");
    }
    for file in &shown.files {
        say!("{}", file.display());
    }
    Ok(Ending::Well)
}

/// The seeds of rows that others lack.
fn lacking(rows: &[Record], others: &[Record]) -> Vec<u64> {
    let seeds = |records: &[Record]| -> BTreeSet<u64> { records.iter().map(|record| record.seed).collect() };
    seeds(rows).difference(&seeds(others)).copied().collect()
}

/// The flags that choose the result.
fn flags(conditions: &Conditions, what: &What, asked: &Asked) -> String {
    let mut flags = format!(
        " --preset {}{}",
        what.preset,
        dataset_flag(conditions.dataset.as_deref())
    );
    if let Some(seeds) = what.seeds {
        let _ = write!(flags, " --seeds {seeds}");
    }
    if asked.margin != MARGIN {
        let _ = write!(flags, " --margin {}", asked.margin);
    }
    if let Some(reason) = &asked.despite {
        let _ = write!(flags, " --despite '{}'", reason.replace('\'', "'\\''"));
    }
    flags
}

#[cfg(test)]
mod tests;
