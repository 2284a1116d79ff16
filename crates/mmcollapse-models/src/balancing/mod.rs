//! Balancing: how training weighs the modalities, so that none is neglected.

mod modality_dropout;
mod none;
mod random_subsets;

use mmcollapse_data::Presence;
use mmcollapse_record::Protocol;

use crate::{
    error::{ModelError, Result},
    fusion::FUSIONS,
    method::MethodConfig,
    registry::{Entry, Options, find},
    training::Progress,
};

pub(crate) use none::NAME as NONE;
pub(crate) use random_subsets::NAME as RANDOM_SUBSETS;

/// A way to weigh the modalities in the training of the whole model.
pub trait Balancing {
    /// Which training sample has which modality in an epoch, of those that `own` says it has.
    fn presence(&self, own: &Presence, seed: u64, progress: &Progress) -> Presence;
}

/// Constructor of a balancing.
pub type Builder = fn(&Options) -> Result<Box<dyn Balancing>>;

/// Every balancing, in the order of `mmcollapse list methods`.
pub static BALANCINGS: &[Entry<Builder>] = &[none::ENTRY, modality_dropout::ENTRY, random_subsets::ENTRY];

/// Makes the balancing that `config` names.
///
/// # Errors
/// Unknown name, refused options.
pub fn build(config: &MethodConfig) -> Result<Box<dyn Balancing>> {
    (find("balancing", BALANCINGS, &config.method)?.build)(&config.options)
}

/// The balancing of a cell that names none: its fusion's own, where the protocol takes modalities away at test alone.
pub(crate) fn of_fusion(fusion: &str, protocol: &Protocol) -> Result<Option<MethodConfig>> {
    let own = find("fusion", FUSIONS, fusion)?.build.balancing;
    Ok(own
        .filter(|_| protocol.kind().missing_at_test_alone())
        .map(MethodConfig::named))
}

/// Checks that an option lies in 0..=1.
fn share(method: &str, option: &str, value: f64) -> Result<f64> {
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    Err(ModelError::Options {
        axis: "balancing",
        method: method.to_owned(),
        reason: format!("`{option}` must lie in 0..=1, got {value}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        CellConfig, Conditions, Silent, run_cell,
        tests::{cell, tiny},
    };

    fn with(fusion: &str, balancing: serde_json::Value, protocol: &Protocol) -> CellConfig {
        let mut config = cell("concat", "none", serde_json::Value::Null);
        config.fusion = MethodConfig::named(fusion);
        config.balancing = serde_json::from_value(balancing).unwrap();
        config.protocol = protocol.clone();
        config.resolve().unwrap()
    }

    fn test_missing() -> Protocol {
        Protocol::TestMissing {
            modality: "sound".to_owned(),
            rates: vec![0.5],
        }
    }

    /// Shares of the samples that keep both modalities, the first alone and the second alone; what no sample had it does
    /// not get.
    pub(super) fn kept(balancing: &dyn Balancing, epoch: usize, epochs: usize) -> [f64; 3] {
        let n = 4000;
        let own = Presence::from_fn(n + 100, 2, |i, m| i < n || m == 1);
        let progress = Progress {
            epoch,
            epochs,
            semantic: &[],
            phases: &[],
        };
        let left = balancing.presence(&own, 3, &progress);
        assert_eq!(left, balancing.presence(&own, 3, &progress));
        assert!(
            (n..n + 100).all(|i| left.get(i, 1) && !left.get(i, 0)),
            "the last stays"
        );
        assert!((0..n).all(|i| left.get(i, 0) || left.get(i, 1)));
        [[true, true], [true, false], [false, true]].map(|pattern| {
            let count = (0..n).filter(|&i| [left.get(i, 0), left.get(i, 1)] == pattern).count();
            count as f64 / n as f64
        })
    }

    pub(super) fn near(shares: [f64; 3], expected: [f64; 3]) {
        // Four standard deviations of a share of 4000 are at most .032.
        assert!(
            shares.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.032),
            "{shares:?} {expected:?}"
        );
    }

    #[test]
    fn a_cell_without_balancing_has_no_word_of_it() {
        let config = with("concat", json!(null), &test_missing());
        assert_eq!(config, with("concat", json!({"method": "none"}), &test_missing()));
        assert!(!serde_json::to_string(&config).unwrap().contains("balancing"));
    }

    #[test]
    fn shaspec_has_its_own_where_modalities_are_missing_at_test_alone() {
        let own = with("shaspec", json!(null), &test_missing());
        assert_eq!(own.balancing.as_ref().unwrap().method, "random_subsets");
        assert_eq!(own.resolve().unwrap(), own);
        let none = with("shaspec", json!({"method": "none"}), &test_missing());
        assert_eq!(none.balancing.as_ref().unwrap().method, "none");
        assert_eq!(none.resolve().unwrap(), none);
        assert!(
            with("shaspec", json!(null), &Protocol::Missing { rate: 0.3 })
                .balancing
                .is_none()
        );
        let run = |config: &CellConfig| {
            let outcome = run_cell(
                config,
                &tiny(),
                &mmcollapse_nn::Device::Cpu,
                &mut Silent,
                Conditions::default(),
            );
            outcome.unwrap().history
        };
        let (balanced, plain) = (run(&own), run(&none));
        // The first two of three epochs are its warm-up.
        assert_eq!(balanced[..2], plain[..2]);
        assert_ne!(balanced[2], plain[2]);
    }

    #[test]
    fn a_share_that_is_none_is_refused() {
        for options in [
            json!({"method": "modality_dropout", "rate": 1.5}),
            json!({"method": "random_subsets", "warm_up": -0.1}),
        ] {
            let error = build(&serde_json::from_value(options).unwrap())
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains("must lie in 0..=1"), "{error}");
        }
    }
}
