//! Linear probes against scikit-learn's logistic regression.
#![expect(
    clippy::disallowed_methods,
    reason = "elementary functions make inputs and expectations here"
)]

mod expected_classification;

use expected_classification as e;
use mmcollapse_probes::{LinearProbe, Matrix};

#[test]
fn probes_are_those_of_scikit_learn() {
    for (name, features, classes, samples, labels, asked, expected) in e::PROBES {
        let matrix = |values: &[f64]| Matrix::new(values, values.len() / features, *features).unwrap();
        let probe = LinearProbe::fit(&matrix(samples), labels, *classes).unwrap();
        let logits = probe.logits(&matrix(asked)).unwrap();
        assert_eq!(logits.len(), expected.len(), "{name}");
        for (logits, expected) in logits.chunks(*classes).zip(expected.chunks(*classes)) {
            let sum = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
            for (logit, expected) in logits.iter().zip(expected) {
                let got = logit - sum;
                assert!(
                    (got - expected).abs() < 1e-4 * (1.0 + expected.abs()),
                    "{name}: {got}, expected {expected}"
                );
            }
        }
    }
}
