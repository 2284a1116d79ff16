//! What tuning found: `results/tuned/<experiment>/[<data set>-]<preset>.yaml`.

use mmcollapse_record::{ExperimentInfo, Preset, ProtocolKind, Provenance, TunedBy};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use mmcollapse_files::write_atomic;
use serde::{Deserialize, Serialize};

use super::setting::Setting;
use super::trials::{Stage, spec_digest};
use crate::plan::{Plan, Resolver, Selection};
use crate::spec::{Row, Spec};

/// What the reader of the file is told first.
const HEAD: &str = "\
# Random search over experiments/tune.yaml, the same number of trials for every row, by validation score alone:
# AUROC of health records, accuracy of digits. Trial 0 is what the spec says; a trial lists the options it changes.
# `validation` has one score a label and seed, of samples that lack what the protocol takes from a test sample; `diverged`
# counts trainings.
";

/// The trials of every row and the best of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuned {
    /// Name of the experiment.
    pub experiment: String,
    /// Its preset.
    pub preset: Preset,
    /// The data set that was tuned on.
    pub dataset: String,
    /// Digest of each data set as the first of the seeds cuts it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
    /// Digest of what its spec says.
    pub spec: String,
    /// Digest of what `tune.yaml` says.
    pub space: String,
    /// The protocol that settings were chosen for.
    pub protocol: ProtocolKind,
    /// Its level.
    pub rate: f64,
    /// Trials of each row.
    pub trials: u64,
    /// How many of them went on, by successive halving.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub halving: Vec<Stage>,
    /// Seeds of each trial, with halving of those that came furthest.
    pub seeds: Vec<u64>,
    /// Trainings of each row and label.
    pub trainings: u64,
    /// Where it comes from.
    pub provenance: Provenance,
    /// The rows, in the order of the spec.
    pub rows: Vec<TunedRow>,
}

/// The trials of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunedRow {
    /// Name of the row.
    pub row: String,
    /// The trial with the highest mean among those that came furthest and do not fail their check; of equal ones the lowest.
    pub best: u64,
    /// Every trial.
    pub trials: Vec<Tried>,
}

/// A trial and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// Its number.
    pub trial: u64,
    /// What it changes.
    pub setting: Setting,
    /// Validation score of each label and seed: the accuracy or the AUROC.
    pub validation: Vec<f64>,
    /// Their mean: what the best is chosen by.
    pub mean: f64,
    /// Trainings that diverged; their score counts as it stood.
    pub diverged: usize,
    /// Whether its manipulation check passes, in rows that count only where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes: Option<bool>,
    /// Seconds of all its cells.
    pub seconds: f64,
}

impl TunedRow {
    /// The best trial.
    ///
    /// # Errors
    /// If the row has no trial of that number.
    pub fn best(&self) -> Result<&Tried> {
        let found = self.trials.iter().find(|tried| tried.trial == self.best);
        found.ok_or_else(|| miette!("row `{}` has no trial {}, which it calls its best", self.row, self.best))
    }
}

impl Tuned {
    /// Where the file of an experiment lies.
    pub fn path(results: &Path, experiment: &str, dataset: Option<&str>, preset: Preset) -> PathBuf {
        let name = format!("{}.yaml", preset.on(dataset));
        results.join("tuned").join(experiment).join(name)
    }

    /// Reads what was found for a preset of an experiment, on another data set than that of the paper's numbers if one is
    /// given; nothing if it was never tuned.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(results: &Path, experiment: &str, dataset: Option<&str>, preset: Preset) -> Result<Option<Self>> {
        let path = Self::path(results, experiment, dataset, preset);
        let broken = || {
            format!(
                "{} cannot be read; `{}` makes it again",
                path.display(),
                command(experiment, dataset, preset)
            )
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).into_diagnostic().wrap_err_with(broken),
        };
        serde_yaml::from_str(&text)
            .map(Some)
            .into_diagnostic()
            .wrap_err_with(broken)
    }

    /// What was found for an experiment as its spec is now, on the data set that `spec` is on.
    ///
    /// # Errors
    /// It was never tuned, the spec has changed since, or a file that cannot be read.
    pub fn of(results: &Path, experiment: &ExperimentInfo, spec: &Spec, preset: Preset) -> Result<Self> {
        let dataset = spec.other_dataset();
        let path = Self::path(results, experiment.name, dataset, preset);
        let help = format!(
            "`{}` makes it; trials that the store has are not trained again",
            command(experiment.name, dataset, preset)
        );
        let Some(tuned) = Self::read(results, experiment.name, dataset, preset)? else {
            return Err(miette!(
                help = help,
                "{} ({preset}) was not tuned: there is no {}",
                experiment.name,
                path.display()
            ));
        };
        let digest = spec_digest(experiment)?;
        let of = |experiment: &str, preset: Preset, dataset: &str, digest: &str| {
            format!("{experiment} ({preset}) on {dataset} with digest {digest}")
        };
        let found = of(&tuned.experiment, tuned.preset, &tuned.dataset, &tuned.spec);
        let expected = of(experiment.name, preset, &spec.dataset, &digest);
        if found != expected {
            return Err(miette!(
                help = help,
                "{} was made from another spec: {found}, expected {expected}",
                path.display(),
            ));
        }
        Ok(tuned)
    }

    /// Checks that the data are those that were tuned on, which a name alone does not say of a user's own.
    ///
    /// # Errors
    /// Other data, or data that cannot be read.
    pub fn check_data(&self, resolver: &mut dyn Resolver) -> Result<()> {
        let Some(&first) = self.seeds.first() else {
            return Ok(());
        };
        for (name, digest) in &self.data {
            let found = resolver.data_digest(name, first)?;
            if found != *digest {
                let short = |digest: &str| digest.chars().take(12).collect::<String>();
                return Err(miette!(
                    help = "settings are those of the data that they were chosen on: tune anew on these data, or train without --tuned",
                    "{} ({}) was tuned on other data of the name {name}: digest {}, expected {}",
                    self.experiment,
                    self.preset,
                    short(&found),
                    short(digest)
                ));
            }
        }
        Ok(())
    }

    /// The cells of the experiment's tuned rows, each with its best setting; `spec` is on the data set that was tuned on.
    ///
    /// # Errors
    /// None of its rows was tuned, and those of [`Plan::new`].
    pub fn plan(
        &self,
        experiment: &ExperimentInfo,
        spec: &Spec,
        selection: &Selection,
        resolver: &mut dyn Resolver,
    ) -> Result<Plan> {
        let mut plan = Plan::of(experiment, spec, self.preset, selection, resolver)?;
        plan.cells.clear();
        plan.whole.cells = 0;
        let rows = self.rows_of(spec);
        for row in &rows {
            let Some(tuned) = self.tuned(spec, &rows, row) else {
                continue;
            };
            let mut setting = tuned.best()?.setting.clone();
            setting.keep_stated(spec, self.preset, row); // what makes a control one
            let spec = setting.applied(spec, self.preset, row);
            let of_row = Plan::of(experiment, &spec, self.preset, selection, resolver)?;
            plan.cells.extend(of_row.cells);
            plan.whole.cells += of_row.whole.cells;
        }
        if plan.cells.is_empty() {
            let names = |rows: Vec<&str>| rows.join(", ");
            return Err(miette!(
                help = format!(
                    "`{}` tunes what is missing",
                    command(experiment.name, spec.other_dataset(), self.preset)
                ),
                "no row of {} ({}) was tuned: it has {}; tuned are {}",
                experiment.name,
                self.preset,
                names(rows.iter().map(|row| row.name.as_str()).collect()),
                names(self.rows.iter().map(|tuned| tuned.row.as_str()).collect())
            ));
        }
        Ok(plan)
    }

    /// The trials of a row, or of the row that it is the control of; nothing if neither was tuned.
    fn tuned(&self, spec: &Spec, rows: &[Row], row: &Row) -> Option<&TunedRow> {
        let of = |row: &Row| self.rows.iter().find(|tuned| tuned.row == row.name);
        of(row).or_else(|| spec.controlled(rows, row).and_then(of))
    }

    /// The rows of the preset.
    fn rows_of(&self, spec: &Spec) -> Vec<Row> {
        let rows = spec.presets.get(&self.preset).map(|preset| spec.rows(preset));
        rows.unwrap_or_default()
    }

    /// What a result with these settings says of them.
    pub fn by(&self, spec: &Spec) -> TunedBy {
        let rows = self.rows_of(spec);
        TunedBy {
            // As a reader of the repository finds it, wherever the results were written.
            file: self.path_on(spec, Path::new("results")).display().to_string(),
            protocol: self.protocol,
            rate: self.rate,
            trials: self.trials,
            seeds: self.seeds.clone(),
            left_out: rows
                .iter()
                .filter(|row| self.tuned(spec, &rows, row).is_none())
                .map(|row| row.name.clone())
                .collect(),
        }
    }

    fn path_on(&self, spec: &Spec, results: &Path) -> PathBuf {
        Self::path(results, &self.experiment, spec.other_dataset(), self.preset)
    }

    /// Writes it; `spec` is on the data set that was tuned on.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, spec: &Spec, results: &Path) -> Result<PathBuf> {
        let path = self.path_on(spec, results);
        let text = format!("{HEAD}{}", serde_yaml::to_string(self).into_diagnostic()?);
        write_atomic(&path, text.as_bytes())
            .into_diagnostic()
            .wrap_err("cannot write what tuning found")?;
        Ok(path)
    }
}

/// The command that tunes a preset of an experiment with the default budget.
fn command(experiment: &str, dataset: Option<&str>, preset: Preset) -> String {
    let dataset = dataset.map_or_else(String::new, |dataset| format!(" --dataset {dataset}"));
    format!("mmcollapse tune {experiment} --preset {preset}{dataset}")
}
