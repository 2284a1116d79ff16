//! A training batch as a balancing sees it, and how well each modality alone predicts in it.

use mmcollapse_data::{Batch, Presence};
use mmcollapse_nn::{Mode, Result as TensorResult, Tensor, ops::softmax_cross_entropy};

use crate::{
    encodings::Encodings,
    model::Model,
    predictions::{log_probabilities, probabilities},
    rows::select_rows,
    training::Progress,
};

/// A training batch on its way through the model.
pub struct Seen<'a> {
    /// The model in training.
    pub model: &'a Model,
    /// The batch.
    pub batch: &'a Batch,
    /// Its encodings, with gradient.
    pub encodings: &'a Encodings,
    /// Seed and step.
    pub mode: Mode,
    /// Where training stands.
    pub progress: &'a Progress<'a>,
}

impl Seen<'_> {
    /// Number of modalities.
    pub fn modalities(&self) -> usize {
        self.encodings.z.len()
    }

    /// Logits `[batch, classes]` of the fusion where it sees these modalities alone.
    ///
    /// For a linear fusion of the encodings side by side that is `W_m z_m + b`, which the methods of linear heads write as the
    /// modality's part of the logits (they halve b).
    ///
    /// # Errors
    /// A shape that does not fit.
    pub fn logits_of(&self, modalities: &[usize], mode: Mode) -> TensorResult<Tensor> {
        let keep = Presence::all(self.encodings.present.len(), self.modalities()).only(modalities);
        let output = self.model.fusion.forward(&self.encodings.kept(&keep)?, mode)?;
        Ok(output.logits)
    }

    /// Rows of a batch that have a modality, and their labels.
    pub fn having(&self, modality: usize) -> (Vec<usize>, Vec<u32>) {
        let rows = self.encodings.present.rows(modality);
        let labels = rows.iter().map(|&row| self.batch.labels[row]).collect();
        (rows, labels)
    }

    /// Mean cross-entropy of `logits [batch, classes]` over the samples that have a modality; none where none has it.
    ///
    /// # Errors
    /// A label outside the classes.
    pub fn cross_entropy(&self, modality: usize, logits: &Tensor) -> TensorResult<Option<Tensor>> {
        let (rows, labels) = self.having(modality);
        if rows.is_empty() {
            return Ok(None);
        }
        softmax_cross_entropy(&select_rows(logits, &rows)?, &labels).map(Some)
    }

    /// The mean probability that `logits [batch, classes]` give to the label, over the samples that have a modality; none where
    /// none has it. Without gradient.
    ///
    /// # Errors
    /// A shape that does not fit.
    pub fn score(&self, modality: usize, logits: &Tensor) -> TensorResult<Option<f64>> {
        self.of_labels(modality, &probabilities(&logits.detach())?)
    }

    /// The same of the negative logarithm, which is at most `-ln 1e-8`.
    ///
    /// # Errors
    /// A shape that does not fit.
    pub fn surprise(&self, modality: usize, logits: &Tensor) -> TensorResult<Option<f64>> {
        let logarithms = log_probabilities(&logits.detach())?.maximum(libm::log(1e-8))?;
        Ok(self.of_labels(modality, &logarithms)?.map(|mean| -mean))
    }

    fn of_labels(&self, modality: usize, values: &Tensor) -> TensorResult<Option<f64>> {
        let (rows, labels) = self.having(modality);
        if rows.is_empty() {
            return Ok(None);
        }
        let values: Vec<Vec<f32>> = values.to_vec2()?;
        let of_label = rows
            .iter()
            .zip(&labels)
            .map(|(&row, &label)| f64::from(values[row][label as usize]));
        Ok(Some(of_label.sum::<f64>() / rows.len() as f64))
    }

    /// Of each modality how many times as well it predicts alone as the others do on average: s_m over the mean s of the others,
    /// with s the mean probability of the label. 1 where a batch does not say. With two modalities it is the ratio of OGM-GE.
    ///
    /// # Errors
    /// A shape that does not fit.
    pub fn discrepancies(&self) -> TensorResult<Vec<f64>> {
        let alone = |m: usize| self.score(m, &self.logits_of(&[m], Mode::Eval)?);
        let scores: Vec<Option<f64>> = (0..self.modalities()).map(alone).collect::<TensorResult<_>>()?;
        Ok(over_others(&scores))
    }
}

/// Each value over the mean of the others; 1 where it, or all others, are not known.
pub(super) fn over_others(values: &[Option<f64>]) -> Vec<f64> {
    let of = |m: usize| {
        let others = values.iter().enumerate().filter(|(n, _)| *n != m);
        let others: Vec<f64> = others.filter_map(|(_, value)| *value).collect();
        let mean = others.iter().sum::<f64>() / others.len() as f64;
        // 0 / 0 of scores that have all vanished says nothing either.
        values[m]
            .map(|own| own / mean)
            .filter(|ratio| !ratio.is_nan())
            .unwrap_or(1.0)
    };
    (0..values.len()).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_compared_with_the_mean_of_the_others() {
        assert_eq!(over_others(&[Some(0.6), Some(0.3)]), [2.0, 0.5]);
        let three = over_others(&[Some(0.6), Some(0.3), Some(0.1)]);
        for (ratio, expected) in three.iter().zip([0.6 / 0.2, 0.3 / 0.35, 0.1 / 0.45]) {
            assert!((ratio - expected).abs() < 1e-12, "{three:?}");
        }
        assert_eq!(over_others(&[Some(0.6), None]), [1.0, 1.0]);
        assert_eq!(over_others(&[Some(0.0), Some(0.0)]), [1.0, 1.0]);
    }
}
