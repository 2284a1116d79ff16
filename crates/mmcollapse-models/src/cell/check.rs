//! What can be known of a cell before it is trained: whether its configuration fits the data set.

use mmcollapse_data::{Dataset, Ids, Rows, Samples};
use mmcollapse_nn::Device;

use super::run::fitted;
use crate::config::CellConfig;
use crate::error::{ModelError, Result};
use crate::model::ModelSpec;
use crate::protocol;

/// A data set without its samples' numbers: labels, and who has which modality.
///
/// It is small whatever the data set's size, and enough for [`check_cell`].
pub fn outline(dataset: &Dataset) -> Dataset {
    let without = |samples: &Samples| Samples {
        ids: Ids::Numbered(samples.len()),
        inputs: vec![Rows::default(); samples.inputs.len()],
        labels: samples.labels.clone(),
        present: samples.present.clone(),
    };
    Dataset::new(
        dataset.name.clone(),
        dataset.modalities.clone(),
        dataset.class_names.clone(),
        without(&dataset.train),
        without(&dataset.validation),
        without(dataset.test.for_final_evaluation()),
    )
}

/// Checks that a cell can be trained on a data set, of which an [`outline`] is enough.
///
/// # Errors
/// What [`super::run_cell`] would refuse: a modality that the data set does not have or that no encoder reads, a method that
/// does not go with it, noise on codes, a distillation without samples, labels of one class.
pub fn check_cell(config: &CellConfig, dataset: &Dataset) -> Result<()> {
    let config = config.resolve()?;
    let (chosen, weak) = fitted(&config, dataset)?;
    let dataset = chosen.as_ref().unwrap_or(dataset);
    let unfit = |reason: String| ModelError::Unfit {
        dataset: dataset.name.clone(),
        reason,
    };
    let counts = dataset.train.class_counts(dataset.classes);
    if counts.iter().filter(|count| **count > 0).count() < 2 {
        return Err(unfit(format!(
            "nothing can be learnt from labels of one class: the {} training samples have {counts:?} of the {} classes",
            dataset.train.len(),
            dataset.classes
        )));
    }
    protocol::admitted(&config, dataset, weak)?;
    let spec = ModelSpec::new(&config, dataset)?;
    let model = spec.build(&Device::Cpu)?;
    let present = protocol::available(&config, weak, &dataset.train, "train");
    model.reallocation.check(&spec.modalities, &present).map_err(unfit)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::Presence;
    use serde_json::json;

    use super::*;
    use crate::cell::records::records;
    use crate::tests::{cell, tiny};

    fn refusal(config: &CellConfig, dataset: &Dataset) -> String {
        check_cell(config, &outline(dataset)).unwrap_err().to_string()
    }

    /// An outline says of every method what the data set itself would.
    #[test]
    fn what_can_be_trained_passes() {
        for fusion in crate::FUSIONS {
            for reallocation in crate::REALLOCATIONS {
                let config = cell(fusion.name, reallocation.name, serde_json::Value::Null);
                check_cell(&config, &outline(&tiny())).unwrap();
            }
        }
    }

    #[test]
    fn what_cannot_be_trained_is_refused_before_it_is() {
        let plain = cell("concat", "none", serde_json::Value::Null);
        let with = |change: &dyn Fn(&mut serde_json::Value)| -> CellConfig {
            let mut config = serde_json::to_value(&plain).unwrap();
            change(&mut config);
            serde_json::from_value(config).unwrap()
        };
        let dataset = tiny();
        for (change, expected) in [
            (
                &(|c: &mut serde_json::Value| c["protocol"]["modality"] = json!("smell"))
                    as &dyn Fn(&mut serde_json::Value),
                "the protocol is about modality `smell`",
            ),
            (&|c| c["modalities"] = json!(["smell"]), "`modalities` names `smell`"),
            (
                &|c| c["modalities"] = json!(["image"]),
                "the protocol is about modality `sound`",
            ),
            (
                &|c| c["encoders"] = json!({"smell": {"method": "mlp"}}),
                "`encoders` names modality `smell`",
            ),
            (
                &|c| c["protocol"] = json!({"kind": "upweighted", "modality": "smell", "beta": 1.0, "mode": "loss"}),
                "the protocol is about modality `smell`",
            ),
            (
                &|c| c["training"]["clip_norm"] = json!(-1.0),
                "`clip_norm` must be a number above 0, got -1",
            ),
            (
                &|c| c["training"]["optimizer"]["lr"] = json!(-0.001),
                "`lr` must be finite and not negative, got -0.001",
            ),
            (
                &|c| c["reallocation"] = json!({"method": "kd", "student": "smell"}),
                "no modality `smell` to be the student",
            ),
        ] {
            let config = with(change);
            let text = refusal(&config, &dataset);
            assert!(text.contains(expected), "{expected}: {text}");
        }
        let mut apart = dataset.clone();
        let own = apart.train.present.clone();
        apart.train.present = Presence::from_fn(own.len(), own.modalities(), |i, m| {
            own.get(i, m) && m == i % own.modalities()
        });
        let distilled = with(&|c| c["reallocation"] = json!({"method": "kd"}));
        let expected = "distillation needs at least 2 training samples with both student and teacher, got 0";
        let text = refusal(&distilled, &apart);
        assert!(text.contains(expected), "{text}");
        let mut of_one_class = dataset.clone();
        of_one_class.train.labels.fill(1);
        assert!(refusal(&plain, &of_one_class).contains("labels of one class"));
    }

    #[test]
    fn noise_on_codes_is_refused_before_training() {
        let noise = json!({"kind": "train_noise", "modality": "diagnoses", "rate": 0.5, "amplitude": 1.0});
        let config = json!({"dataset": "records", "protocol": noise, "fusion": {"method": "concat"}, "seed": 2});
        let config = serde_json::from_value(config).unwrap();
        assert!(refusal(&config, &records()).contains("is codes, to which no noise can be added"));
    }
}
