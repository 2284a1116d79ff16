//! Linear probes of frozen encoders, by which a model is diagnosed.

use mmcollapse_data::Samples;
use mmcollapse_nn::{Result as TensorResult, Tensor, candle::Error};
use mmcollapse_probes::Matrix;

use crate::{evaluate::matrix, predictions::Predictions};

/// Raised when linear probes say otherwise of the same encoders: what KD diagnoses and what is measured by them is then
/// made anew.
pub(crate) const REVISION: u32 = 2;

/// Features of some samples of one modality.
pub(crate) struct Features {
    /// `[n, width]`.
    pub x: Tensor,
    pub labels: Vec<u32>,
}

impl Features {
    pub fn new(x: Tensor, samples: &Samples, rows: &[usize]) -> Self {
        Self {
            x,
            labels: rows.iter().map(|&i| samples.labels[i]).collect(),
        }
    }
}

/// A linear probe of frozen training features.
pub(crate) struct LinearProbe {
    /// None where the features of a run that blew up are not finite: nothing can be said then.
    fitted: Option<mmcollapse_probes::LinearProbe>,
    classes: usize,
}

impl LinearProbe {
    /// Fits it.
    pub fn fit(train: &Features, classes: usize) -> TensorResult<Self> {
        let fitted = matrix(&train.x)?.map(|x| mmcollapse_probes::LinearProbe::fit(&x, &train.labels, classes));
        Ok(Self {
            fitted: fitted.transpose().map_err(Error::wrap)?,
            classes,
        })
    }

    /// Logits `[n, classes]` of features `[n, width]`; NaN for a row that is not finite, and for all where those of training were not.
    pub fn logits(&self, x: &Tensor) -> TensorResult<Tensor> {
        let (n, width) = x.dims2()?;
        let mut logits = Vec::with_capacity(n * self.classes);
        for row in x.flatten_all()?.to_vec1::<f32>()?.chunks(width) {
            // Row by row, or one that is not finite would silence its batch.
            match (&self.fitted, Matrix::new(row, 1, width)) {
                (Some(probe), Ok(row)) => {
                    logits.extend(
                        probe
                            .logits(&row)
                            .map_err(Error::wrap)?
                            .iter()
                            .map(|logit| *logit as f32),
                    );
                }
                _ => logits.extend(std::iter::repeat_n(f32::NAN, self.classes)),
            }
        }
        Tensor::from_vec(logits, (n, self.classes), x.device())
    }

    /// What it says of other samples.
    pub fn predictions(&self, features: &Features) -> TensorResult<Predictions> {
        let mut predictions = Predictions::default();
        predictions.push(&self.logits(&features.x)?, &features.labels)?;
        Ok(predictions)
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::Device;

    use super::*;

    #[test]
    fn a_probe_finds_a_linear_class_and_not_a_random_one() {
        let device = Device::Cpu;
        let n = 60;
        let labels: Vec<u32> = (0..n).map(|i| (i % 3) as u32).collect();
        let clear: Vec<f32> = labels
            .iter()
            .flat_map(|&l| (0..4).map(move |j| if j == l { 1.0 } else { 0.0 }))
            .collect();
        let features = |values: Vec<f32>| Features {
            x: Tensor::from_vec(values, (n, 4), &device).unwrap(),
            labels: labels.clone(),
        };
        let probed = |values: Vec<f32>| {
            let probe = LinearProbe::fit(&features(values.clone()), 3).unwrap();
            probe.predictions(&features(values)).unwrap()
        };
        assert_eq!(probed(clear.clone()).accuracy(), Some(1.0));
        assert!(probed(clear).cross_entropy().unwrap() < 0.1);
        let blind = probed(vec![1.0; n * 4]);
        assert!(blind.accuracy().unwrap() <= 0.4, "{blind:?}");
        assert!(
            (blind.cross_entropy().unwrap() - libm::log(3.0)).abs() < 1e-3,
            "{blind:?}"
        );
        let clear = features(
            (0..n * 4)
                .map(|i| if i % 4 == (i / 4) % 3 { 1.0 } else { 0.0 })
                .collect(),
        );
        let probe = LinearProbe::fit(&clear, 3).unwrap();
        let asked = Tensor::new(&[[1f32, 0., 0., 0.], [f32::INFINITY, 0., 0., 0.]], &device).unwrap();
        let said: Vec<Vec<f32>> = probe.logits(&asked).unwrap().to_vec2().unwrap();
        assert!(
            said[0][0] > said[0][1] && said[1].iter().all(|logit| logit.is_nan()),
            "{said:?}"
        );
        // Of a run that blew up nothing is said, and nothing fails.
        assert!(probed(vec![f32::NAN; n * 4]).cross_entropy().unwrap().is_nan());
    }
}
