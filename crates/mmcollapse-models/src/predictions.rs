//! What is said of samples, and how good it is.

use mmcollapse_nn::{
    Result as TensorResult, Tensor,
    ops::{exp, ln},
};
use mmcollapse_probes::{Outcomes, auprc_trapezoid, auroc, average_precision, brier_score, calibration_error};

/// Equally wide bins of the calibration error.
const CALIBRATION_BINS: usize = 10;

/// Logarithms of odds that differ by less say the same: a probability of a half moves by .0025.
const SAME: f64 = 0.01;

/// What the numbers of a prediction are.
#[derive(Clone, Copy, Debug, Default)]
enum Said {
    /// Logits of the classes.
    #[default]
    Logits,
    /// Their probabilities, as other programs write them. They are taken as they are: to go through logits would change the
    /// last digits of what is measured on them.
    Probabilities,
}

/// What a model says of samples, and what they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Predictions {
    said: Said,
    rows: Vec<Vec<f64>>, // [n, classes]
    labels: Vec<u32>,
}

impl Predictions {
    /// Class probabilities `[n, classes]` of samples with these labels.
    pub fn of_probabilities(rows: Vec<Vec<f64>>, labels: Vec<u32>) -> Self {
        Self {
            said: Said::Probabilities,
            rows,
            labels,
        }
    }

    /// Adds `logits [n, classes]` of samples with these labels.
    pub fn push(&mut self, logits: &Tensor, labels: &[u32]) -> TensorResult<()> {
        let logits: Vec<Vec<f32>> = logits.to_vec2()?;
        self.rows
            .extend(logits.iter().map(|row| row.iter().copied().map(f64::from).collect()));
        self.labels.extend(labels);
        Ok(())
    }

    /// Share of the samples whose first highest logit is the label's. Logits that are not a number count as wrong,
    /// except that a row of nothing else is read as class 0: a dead network scores chance, as it would anywhere. None of
    /// no sample.
    pub fn accuracy(&self) -> Option<f64> {
        let right = self.rows.iter().zip(&self.labels);
        let right = right.filter(|(row, label)| argmax(row) == **label as usize).count();
        self.share(right as f64)
    }

    /// Mean cross-entropy of the labels in nats; of logits that are not finite, not a number. None of no sample.
    pub fn cross_entropy(&self) -> Option<f64> {
        let of = |(row, label): (&Vec<f64>, &u32)| {
            let own = row[*label as usize];
            if let Said::Probabilities = self.said {
                return -libm::log(own);
            }
            let highest = row[argmax(row)];
            let sum: f64 = row.iter().map(|&logit| libm::exp(logit - highest)).sum();
            highest + libm::log(sum) - own
        };
        self.share(self.rows.iter().zip(&self.labels).map(of).sum::<f64>())
    }

    /// The sum over samples as a mean; none of no sample.
    fn share(&self, sum: f64) -> Option<f64> {
        (!self.labels.is_empty()).then(|| sum / self.labels.len() as f64)
    }

    /// What a model is judged by where one number has to do: accuracy, or AUROC where there are two classes, as most
    /// health records are of one class and accuracy is then high for a model that knows nothing. None where it is not
    /// defined: an AUROC of samples of one class, anything of no sample.
    pub fn quality(&self) -> Option<f64> {
        match self.outcomes() {
            Some(outcomes) => auroc(outcomes.tally()).ok(),
            None => self.accuracy(),
        }
    }

    /// Whether every sample is told the same: the shares of the classes, and nothing of the sample. None of no sample.
    pub fn is_constant(&self) -> Option<bool> {
        let first = self.rows.first()?;
        let odds = |row: &Vec<f64>, class: usize| match self.said {
            Said::Logits => row[class] - row[0],
            Said::Probabilities => libm::log(row[class] / row[0]),
        };
        // A dead network, whose logits are no numbers, says nothing either.
        let differs = |row: &Vec<f64>| (0..row.len()).any(|c| (odds(row, c) - odds(first, c)).abs() >= SAME);
        Some(!self.rows.iter().any(differs))
    }

    /// Every measure of two classes by name, none where it is not defined; no measure for more classes.
    pub fn binary_measures(&self) -> Vec<(&'static str, Option<f64>)> {
        let Some(outcomes) = self.outcomes() else {
            return Vec::new();
        };
        let tally = outcomes.tally();
        let measures = [
            ("auroc", auroc(tally)),
            ("auprc", auprc_trapezoid(tally)),
            ("average_precision", average_precision(tally)),
            ("brier", brier_score(tally)),
            ("calibration_error", calibration_error(tally, CALIBRATION_BINS)),
        ];
        measures.into_iter().map(|(name, value)| (name, value.ok())).collect()
    }

    /// Probability of class 1 of each sample and whether it is its class; `None` for more than two classes.
    fn outcomes(&self) -> Option<Outcomes> {
        let of_two = self.rows.first()?.len() == 2;
        let probability = |row: &Vec<f64>| match self.said {
            Said::Probabilities => row[1],
            Said::Logits => of_second(row[1] - row[0]),
        };
        if !of_two {
            return None;
        }
        let scores: Vec<f64> = self.rows.iter().map(probability).collect();
        let labels: Vec<Option<bool>> = self.labels.iter().map(|label| Some(*label == 1)).collect();
        Outcomes::new(&scores, &labels).ok()
    }
}

/// Probability of the second of two classes, whose logit is `odds` above that of the first. A dead network knows nothing.
fn of_second(odds: f64) -> f64 {
    if odds.is_nan() {
        0.5
    } else {
        1.0 / (1.0 + libm::exp(-odds))
    }
}

/// Their logarithms, without a difference of large numbers.
pub(crate) fn log_probabilities(logits: &Tensor) -> TensorResult<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?)?;
    shifted.broadcast_sub(&ln(&exp(&shifted)?.sum_keepdim(1)?)?)
}

/// Class probabilities of `logits [n, classes]`, by softmax.
pub(crate) fn probabilities(logits: &Tensor) -> TensorResult<Tensor> {
    let e = exp(&logits.broadcast_sub(&logits.max_keepdim(1)?)?)?;
    e.broadcast_div(&e.sum_keepdim(1)?)
}

/// The place of the first highest number; what is not a number is below all.
pub(crate) fn argmax<T: PartialOrd>(row: &[T]) -> usize {
    let is_nan = |v: &T| v.partial_cmp(v).is_none();
    let mut best = 0;
    for (i, v) in row.iter().enumerate() {
        if *v > row[best] || (is_nan(&row[best]) && !is_nan(v)) {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::Device;

    use super::*;

    fn said(rows: &[[f32; 2]], labels: &[u32]) -> Predictions {
        let numbers: Vec<f32> = rows.concat();
        let logits = Tensor::from_vec(numbers, (rows.len(), 2), &Device::Cpu).unwrap();
        let mut predictions = Predictions::default();
        predictions.push(&logits, labels).unwrap();
        predictions
    }

    #[test]
    fn a_dead_network_scores_chance() {
        let nan = Tensor::full(f32::NAN, (10, 10), &Device::Cpu).unwrap();
        let labels: Vec<u32> = (0..10).collect();
        let mut predictions = Predictions::default();
        predictions.push(&nan, &labels).unwrap();
        assert_eq!((predictions.accuracy(), predictions.quality()), (Some(0.1), Some(0.1)));
        assert!(predictions.binary_measures().is_empty());
        assert_eq!(argmax(&[f32::NAN, 0.5, 0.7]), 2);
        assert_eq!(argmax(&[0.5, f64::NAN, 0.5]), 0);

        let dead = said(&[[f32::NAN; 2]; 4], &[0, 1, 0, 0]);
        assert_eq!(dead.quality(), Some(0.5));
    }

    #[test]
    fn what_is_said_of_all_alike_is_constant() {
        let labels = [0, 1, 0];
        assert_eq!(
            said(&[[2., -1.], [2.5, -0.5], [0., -3.]], &labels).is_constant(),
            Some(true)
        );
        assert_eq!(
            said(&[[2., -1.], [2., -1.], [2., -0.9]], &labels).is_constant(),
            Some(false)
        );
        assert_eq!(said(&[[f32::NAN; 2]; 3], &labels).is_constant(), Some(true));
        assert_eq!(said(&[], &[]).is_constant(), None);
    }

    #[test]
    fn two_classes_are_judged_by_rank() {
        // All are called class 0, and yet class 1 is ranked above two of three.
        let predictions = said(&[[2., 0.], [5., 0.], [1., 0.], [3., 1.9]], &[0, 0, 0, 1]);
        assert_eq!(predictions.accuracy(), Some(0.75));
        assert_eq!(predictions.quality(), Some(2.0 / 3.0));
        assert_eq!(defined(&predictions), MEASURES);
    }

    const MEASURES: [&str; 5] = ["auroc", "auprc", "average_precision", "brier", "calibration_error"];

    /// The measures of two classes that have a value.
    fn defined(predictions: &Predictions) -> Vec<&'static str> {
        let measures = predictions.binary_measures().into_iter();
        measures
            .filter_map(|(name, value)| value.is_some().then_some(name))
            .collect()
    }

    /// -ln .9, and the Brier score (.1² + .4²) / 2 of the probabilities .9 and .4 of what is so.
    #[test]
    fn probabilities_are_scored_as_they_are() {
        let of = |rows: [[f64; 2]; 2], labels: [u32; 2]| {
            Predictions::of_probabilities(rows.map(Vec::from).into(), labels.into())
        };
        let predictions = of([[0.9, 0.1], [0.4, 0.6]], [0, 1]);
        assert_eq!((predictions.accuracy(), predictions.quality()), (Some(1.0), Some(1.0)));
        let brier = predictions
            .binary_measures()
            .into_iter()
            .find(|(name, _)| *name == "brier");
        let brier = brier.unwrap().1.unwrap();
        assert!((brier - 0.085).abs() < 1e-15, "{brier}");
        let nats = -(libm::log(0.9) + libm::log(0.6)) / 2.0;
        assert!((predictions.cross_entropy().unwrap() - nats).abs() < 1e-15);
        assert_eq!(predictions.is_constant(), Some(false));
        assert_eq!(of([[0.7, 0.3]; 2], [0, 1]).is_constant(), Some(true));
        // Of equal ones the first counts.
        assert_eq!(of([[0.5, 0.5]; 2], [0, 1]).accuracy(), Some(0.5));
    }

    #[test]
    fn what_is_not_defined_has_no_value() {
        for class in [0, 1] {
            let one_class = said(&[[2., 0.], [0., 2.]], &[class, class]);
            assert_eq!(one_class.quality(), None);
            assert_eq!(defined(&one_class), ["brier", "calibration_error"]);
            assert!(one_class.accuracy().is_some() && one_class.cross_entropy().is_some());
        }
        let nobody = Predictions::default();
        assert_eq!(
            (nobody.quality(), nobody.accuracy(), nobody.cross_entropy()),
            (None, None, None)
        );
        assert!(defined(&nobody).is_empty());
    }
}
