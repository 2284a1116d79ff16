//! An experiment on the data set that is asked for, `--dataset`, or on what takes its own data set's place.

use miette::{Diagnostic, Result, miette};
use mmcollapse_data::sets::PLANTED_FEATURES;
use mmcollapse_data::{DataError, DatasetSource, Kind};

use mmcollapse_record::{ExperimentInfo, Preset, ProtocolKind};

use crate::models::ModelResolver;
use crate::plan::Selection;
use crate::spec::Spec;

/// The spec of an experiment on the data set that is asked for, on its own if none is, or on what takes that one's place
/// where it cannot be had. `selection` has the seeds that are to be trained.
///
/// # Errors
/// A spec that cannot be read, a data set that is unknown, cannot be had or lacks a modality of the spec.
pub fn spec_on(
    experiment: &ExperimentInfo,
    asked: Option<&str>,
    preset: Preset,
    selection: &Selection,
    resolver: &mut ModelResolver,
) -> Result<Spec> {
    if asked.is_some() {
        return spec_of(experiment, asked, |set| loaded(set, resolver));
    }
    let spec = Spec::of(experiment).map_err(|error| *error)?;
    let seeds = spec.presets.get(&preset).map_or(0..1, |preset| selection.range(preset));
    let stand_in = resolver.stand_in(&spec.dataset, seeds)?;
    let stand_in = stand_in.map(|stand_in| stand_in.name);
    spec_of(experiment, stand_in, |set| loaded(set, resolver))
}

/// The spec of an experiment on a data set that need not be at hand, on its own if none is given.
///
/// # Errors
/// As [`spec_on`], but for data that are not there.
pub fn spec_without_data(experiment: &ExperimentInfo, dataset: Option<&str>) -> Result<Spec> {
    spec_of(experiment, dataset, |set| Ok(set.modalities()))
}

/// The spec of an experiment on the excerpt of its data set that is built into the program, if there is one: what the
/// regression gate trains, on every machine.
///
/// # Errors
/// As [`spec_on`].
pub fn spec_on_excerpt(experiment: &ExperimentInfo, resolver: &ModelResolver) -> Result<Spec> {
    let spec = Spec::of(experiment).map_err(|error| *error)?;
    let own = mmcollapse_data::find(&spec.dataset).ok();
    let stand_in = own.and_then(DatasetSource::stand_in);
    spec_of(experiment, stand_in, |set| loaded(set, resolver))
}

/// The modalities of a data set that is loaded.
fn loaded(set: &dyn DatasetSource, resolver: &ModelResolver) -> Result<Vec<String>> {
    let found = set.load(resolver.options()).map_err(|error| insisted(set, error))?;
    Ok(found.modalities.into_iter().map(|modality| modality.name).collect())
}

/// The spec of an experiment on a data set, on its own if none is given; `modalities_of` names those of a data set.
fn spec_of(
    experiment: &ExperimentInfo,
    dataset: Option<&str>,
    modalities_of: impl Fn(&dyn DatasetSource) -> Result<Vec<String>>,
) -> Result<Spec> {
    let mut spec = Spec::of(experiment).map_err(|error| *error)?;
    if let Some(dataset) = dataset {
        let planted = spec
            .protocols
            .iter()
            .find(|protocol| matches!(protocol, ProtocolKind::Planted(_)));
        if let Some(protocol) = planted.filter(|_| !dataset.starts_with(PLANTED_FEATURES)) {
            return Err(miette!(
                help = "run it without --dataset; `mmcollapse list experiments` names the experiments that take other data",
                "{} varies what is planted ({protocol}), so it needs {}: data set {dataset} has no features that are known",
                experiment.name,
                PLANTED_FEATURES
            ));
        }
        spec.on(dataset);
        if let Some(own) = mmcollapse_data::find(dataset).ok().and_then(DatasetSource::own) {
            spec.adapt(&own);
        }
        // Not every source knows every label.
        let known = |task: &String| mmcollapse_data::find(&format!("{dataset}-{task}")).is_ok();
        spec.tasks.retain(known);
        let mut modalities = Vec::new();
        for (name, _) in spec.datasets() {
            modalities.extend(modalities_of(mmcollapse_data::find(&name)?)?);
        }
        // Encoders of modalities that only the spec's own data set has.
        let presets = spec.presets.values_mut().map(|preset| &mut preset.encoders);
        for encoders in presets.chain([&mut spec.encoders]) {
            encoders.retain(|name, _| modalities.contains(name) || Kind::is_name(name));
        }
        if let Some(unknown) = spec.modalities.iter().find(|name| !modalities.contains(name)) {
            return Err(miette!(
                help = format!(
                    "say in {}, under `datasets: {dataset}:`, which of its modalities take their place",
                    experiment.spec_path()
                ),
                "{} is about modality `{unknown}`, which data set {dataset} does not have; it has {}",
                experiment.name,
                modalities.join(", ")
            ));
        }
    }
    Ok(spec)
}

/// What a data set that was asked for failed with, with the one that could have taken its place.
fn insisted(set: &dyn DatasetSource, error: DataError) -> miette::Report {
    let Some(stand_in) = set.stand_in() else {
        return error.into();
    };
    let help = error.help().map(|help| format!("{help}; ")).unwrap_or_default();
    miette!(
        help = format!("{help}`--dataset {stand_in}` is built into the program"),
        "{error}"
    )
}
