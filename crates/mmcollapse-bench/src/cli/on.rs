//! An experiment on the data set that is asked for: `--dataset`.

use miette::{Result, miette};
use mmcollapse_data::Kind;

use crate::experiment::ExperimentInfo;
use crate::models::ModelResolver;
use crate::plan::Plan;
use crate::spec::Spec;

/// The spec of an experiment on the data set that is asked for, or on its own.
pub(super) fn spec_on(experiment: &ExperimentInfo, dataset: Option<&str>, resolver: &ModelResolver) -> Result<Spec> {
    let mut spec = Spec::of(experiment).map_err(|error| *error)?;
    if let Some(dataset) = dataset {
        spec.on(dataset);
        // Not every source knows every label.
        let known = |task: &String| mmcollapse_data::find(&format!("{dataset}-{task}")).is_ok();
        spec.tasks.retain(known);
        let mut modalities = Vec::new();
        for (name, _) in spec.datasets() {
            let found = mmcollapse_data::find(&name)?.load(resolver.options())?;
            modalities.extend(found.modalities.into_iter().map(|modality| modality.name));
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

/// The data set that is trained on, if the paper's numbers are of another one.
pub(super) fn other_dataset(spec: &Spec, synthetic: bool) -> Option<&str> {
    // The paper's data set by name, but planted tables in its place.
    let planted = synthetic && spec.paper_dataset.is_some();
    spec.other_dataset().or(planted.then_some(&spec.dataset))
}

/// What is to be said of the data of a plan, if they are synthetic.
pub(super) fn synthetic(plan: &Plan) -> Result<Option<String>> {
    for name in plan.data.keys() {
        if let Some(what) = mmcollapse_data::find(name)?.synthetic() {
            return Ok(Some(what.to_owned()));
        }
    }
    Ok(None)
}
