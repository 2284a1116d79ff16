//! What each protocol does to training, validation and test.
//!
//! A new protocol is an entry in `mmcollapse_record`'s `protocol.rs`, which has its words and levels, and what it does here.

use mmcollapse_data::{Dataset, Presence, Samples, masks};
use mmcollapse_nn::random::derive_seed;
use mmcollapse_record::Protocol;

use crate::{
    config::CellConfig,
    error::{ModelError, Result},
    noise,
    upweight::UpweightConfig,
};

/// Checks its parameters.
///
/// # Errors
/// The parameter, with what was expected and got.
pub(crate) fn check(protocol: &Protocol) -> std::result::Result<(), String> {
    let (rates, number) = match protocol {
        Protocol::TestMissing { rates, .. } => (&rates[..], None),
        Protocol::TrainAvailability { rate, .. } | Protocol::Missing { rate } => (std::slice::from_ref(rate), None),
        Protocol::TrainNoise { rate, amplitude, .. } => (std::slice::from_ref(rate), Some(("amplitude", *amplitude))),
        Protocol::Upweighted { beta, .. } => (&[][..], Some(("beta", *beta))),
        Protocol::Planted { level, .. } => (&[][..], Some(("level", *level))),
        Protocol::Modalities {} | Protocol::Patterns {} => (&[][..], None),
    };
    if let Some((name, value)) = number.filter(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
        return Err(format!("{name} must be a number of at least 0, got {value}"));
    }
    match rates.iter().find(|rate| !(0.0..=1.0).contains(*rate)) {
        Some(bad) => Err(format!("rate {bad} is not in [0, 1]")),
        None => Ok(()),
    }
}

/// Checks that it can be applied to `weak`, the modality that it names.
///
/// # Errors
/// Noise on codes.
pub(crate) fn admitted(config: &CellConfig, dataset: &Dataset, weak: Option<usize>) -> Result<(), ModelError> {
    match (&config.protocol, weak) {
        (Protocol::TrainNoise { .. }, Some(weak)) => noise::admitted(dataset, weak),
        _ => Ok(()),
    }
}

/// The data set with what it does to inputs; none where it leaves them.
///
/// # Errors
/// See [`admitted`].
pub(crate) fn corrupted(config: &CellConfig, dataset: &Dataset, weak: Option<usize>) -> Result<Option<Dataset>> {
    match (&config.protocol, weak) {
        (&Protocol::TrainNoise { rate, amplitude, .. }, Some(weak)) => {
            noise::corrupted(dataset, weak, rate, amplitude, config.seed).map(Some)
        }
        _ => Ok(None),
    }
}

/// Which sample has which modality in training and validation; `purpose` is the split's name.
pub(crate) fn available(config: &CellConfig, weak: Option<usize>, samples: &Samples, purpose: &str) -> Presence {
    let own = &samples.present;
    match (&config.protocol, weak) {
        (Protocol::Missing { rate }, _) => {
            let seed = derive_seed(config.seed, &format!("missing/{purpose}"));
            masks::any_missing(own, *rate, seed, purpose)
        }
        (Protocol::TrainAvailability { rate, .. }, Some(weak)) => {
            // 1 - .8 is not .2 in binary, and a share just below a whole number would lose a sample.
            let share = ((1.0 - rate) * 1e9).round() / 1e9;
            let seed = derive_seed(config.seed, &format!("availability/{purpose}"));
            own.and(&masks::availability(
                &samples.labels,
                own.modalities(),
                weak,
                share,
                seed,
            ))
        }
        _ => own.clone(),
    }
}

/// Which sample has which modality at test, at each level that it is scored at; `split` names the samples.
pub(crate) fn asked(config: &CellConfig, weak: Option<usize>, samples: &Samples, split: &str) -> Vec<(f64, Presence)> {
    let (own, seed) = (&samples.present, config.seed);
    let m = own.modalities();
    let level = config.protocol.trained_level(m).unwrap_or_default();
    let present = match (&config.protocol, weak) {
        (Protocol::TestMissing { rates, .. }, Some(weak)) => {
            let lost = |rate: f64| masks::missing(samples.len(), m, weak, rate, seed, split);
            return rates.iter().map(|&rate| (rate, own.and(&lost(rate)))).collect();
        }
        (Protocol::TrainAvailability { .. }, Some(weak)) => {
            let others: Vec<usize> = (0..m).filter(|&modality| modality != weak).collect();
            own.only(&others)
        }
        (Protocol::Missing { rate }, _) => {
            let seed = derive_seed(seed, &format!("missing/{split}"));
            masks::any_missing(own, *rate, seed, split)
        }
        _ => own.clone(),
    };
    vec![(level, present)]
}

/// The modality that weighs more in training, if one does.
pub(crate) fn upweight(protocol: &Protocol, dataset: &Dataset) -> Option<UpweightConfig> {
    match protocol {
        Protocol::Upweighted { modality, beta, mode } if *beta > 0.0 => Some(UpweightConfig {
            modality: dataset.modality(modality)?,
            beta: *beta,
            mode: *mode,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mmcollapse_nn::Device;
    use mmcollapse_record::{Levels, ProtocolKind, Split};

    use super::*;
    use crate::{
        Conditions, Silent, run_cell,
        tests::{cell, tiny},
    };

    #[test]
    fn every_protocol_trains_and_is_scored_at_its_levels() {
        let dataset = tiny();
        for kind in ProtocolKind::ALL {
            let config = CellConfig {
                protocol: kind.on("sound", &[0.5]),
                ..cell("concat", "none", serde_json::Value::Null)
            };
            let outcome = run_cell(&config, &dataset, &Device::Cpu, &mut Silent, Conditions::default()).unwrap();
            let scored: BTreeSet<String> = outcome
                .scores
                .iter()
                .filter(|score| score.split == Split::Test && score.metric == "accuracy")
                .map(|score| score.rate.to_string())
                .collect();
            let levels = config.protocol.levels(2).iter().map(ToString::to_string).collect();
            assert_eq!(scored, levels, "{kind}");
        }
    }

    #[test]
    fn a_level_that_cannot_be_is_refused() {
        for kind in ProtocolKind::ALL {
            let refused = check(&kind.on("sound", &[-0.5]));
            let takes_a_level = kind.levels() != Levels::Counts && !kind.scores_patterns();
            assert_eq!(refused.is_err(), takes_a_level, "{kind}: {refused:?}");
        }
    }
}
