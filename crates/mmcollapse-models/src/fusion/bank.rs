//! The encodings of the last training samples, kept as buffers: whom a sample is compared with in evaluation.

use mmcollapse_nn::{Result as TensorResult, Tensor, Var};

use super::FusionContext;
use crate::{encodings::Encodings, rows::presence_weights};

/// Encodings of some samples, and which of them are there.
#[derive(Clone)]
pub(super) struct Known {
    /// Per modality `[samples, width]`, zero where it is missing.
    pub z: Vec<Tensor>,
    /// Per modality `[samples, 1]`: 1 where it is there, else 0.
    pub present: Vec<Tensor>,
}

impl Known {
    /// The samples of a batch.
    pub fn batch(encodings: &Encodings) -> TensorResult<Self> {
        Ok(Self {
            z: encodings.z.clone(),
            present: presence_weights(encodings)?,
        })
    }
}

/// Buffers `bank.z.MODALITY` `[size, width]` and `bank.present` `[size, modalities]`, newest samples first. A row that no
/// sample has taken yet has no modality.
pub(super) struct Bank {
    z: Vec<Var>,
    present: Var,
}

impl Bank {
    /// Room for `size` samples.
    pub fn new(context: &FusionContext, size: usize) -> TensorResult<Self> {
        let scope = context.scope.pp("bank");
        let zeros = |width| Tensor::zeros((size, width), scope.dtype(), &scope.device());
        let named = context.modalities.iter().zip(context.widths);
        Ok(Self {
            z: named
                .map(|(name, &width)| scope.pp("z").buffer(name, zeros(width)?))
                .collect::<TensorResult<_>>()?,
            present: scope.buffer("present", zeros(context.widths.len())?)?,
        })
    }

    /// What it holds, without gradient.
    pub fn known(&self) -> TensorResult<Known> {
        let present = self.present.as_detached_tensor();
        Ok(Known {
            z: self.z.iter().map(Var::as_detached_tensor).collect(),
            present: (0..self.z.len())
                .map(|m| present.narrow(1, m, 1)?.contiguous())
                .collect::<TensorResult<_>>()?,
        })
    }

    /// Takes the samples of a batch in; as many of the oldest leave.
    pub fn follow(&self, batch: &Known) -> TensorResult<()> {
        let take = |held: &Var, rows: &Tensor| {
            let all = Tensor::cat(&[&rows.detach(), held.as_tensor()], 0)?.detach();
            held.set(&all.narrow(0, 0, held.dim(0)?)?)
        };
        for (held, rows) in self.z.iter().zip(&batch.z) {
            take(held, rows)?;
        }
        take(&self.present, &Tensor::cat(&batch.present, 1)?)
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::{Device, Params};

    use super::*;

    #[test]
    fn the_newest_samples_stay() {
        let params = Params::new(0, &Device::Cpu);
        let names = ["a".to_owned(), "b".to_owned()];
        let context = FusionContext::made(&names, &[1, 1], 2, &params);
        let bank = Bank::new(&context, 3).unwrap();
        let columns = |columns: [&[f32]; 2]| {
            columns
                .map(|c| Tensor::from_slice(c, (c.len(), 1), &Device::Cpu).unwrap())
                .to_vec()
        };
        let follow = |a: &[f32], b: &[f32], has_b: &[f32]| {
            let batch = Known {
                z: columns([a, b]),
                present: columns([&vec![1.0; a.len()], has_b]),
            };
            bank.follow(&batch).unwrap();
        };
        let held = || -> Vec<Vec<f32>> {
            let known = bank.known().unwrap();
            let columns = known.z.iter().chain(&known.present);
            columns.map(|c| c.flatten_all().unwrap().to_vec1().unwrap()).collect()
        };
        follow(&[1.0, 2.0], &[5.0, 0.0], &[1.0, 0.0]);
        assert_eq!(held(), [[1., 2., 0.], [5., 0., 0.], [1., 1., 0.], [1., 0., 0.]]);
        follow(&[3.0, 4.0], &[0.0, 6.0], &[0.0, 1.0]);
        assert_eq!(held(), [[3., 4., 1.], [0., 6., 5.], [1., 1., 1.], [0., 1., 1.]]);
        follow(&[7.0, 8.0, 9.0, 10.0], &[0.0; 4], &[0.0; 4]);
        assert_eq!(held(), [[7., 8., 9.], [0., 0., 0.], [1., 1., 1.], [0., 0., 0.]]);
    }
}
