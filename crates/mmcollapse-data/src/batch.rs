//! Batches: the rows of an order, as tensors, each modality only for the samples that have it.

use mmcollapse_nn::{Device, Result, Tensor};

use crate::{ModalitySpec, Presence, Samples};

/// One modality of a batch.
#[derive(Clone, Debug)]
pub struct ModalityInput {
    /// Positions in the batch of the samples that have the modality, ascending.
    pub rows: Vec<usize>,
    /// Their inputs, `[rows.len(), shape..]`; `None` when no sample of the batch has the modality.
    pub x: Option<Tensor>,
}

/// What a model is given at once.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Index of each sample in its [`Samples`].
    pub index: Vec<usize>,
    /// One entry a modality, in the data set's order.
    pub inputs: Vec<ModalityInput>,
    /// Which of the batch's samples has which modality.
    pub present: Presence,
    /// Class of each sample.
    pub labels: Vec<u32>,
}

impl Batch {
    /// The batch of the samples at `index`, on `device`.
    ///
    /// # Errors
    /// When a tensor cannot be made on the device.
    pub fn new(
        samples: &Samples,
        modalities: &[ModalitySpec],
        presence: &Presence,
        index: &[usize],
        device: &Device,
    ) -> Result<Self> {
        let present = presence.select(index);
        let inputs = modalities.iter().enumerate().map(|(m, modality)| {
            let rows = present.rows(m);
            if rows.is_empty() {
                return Ok(ModalityInput { rows, x: None });
            }
            let mut values = Vec::with_capacity(rows.len() * modality.width());
            for &row in &rows {
                samples.inputs[m].append(index[row], &mut values);
            }
            let mut shape = vec![rows.len()];
            shape.extend(&modality.shape);
            let x = Tensor::from_vec(values, shape, device)?; // [rows, shape..]
            Ok(ModalityInput { rows, x: Some(x) })
        });
        Ok(Self {
            index: index.to_vec(),
            inputs: inputs.collect::<Result<_>>()?,
            labels: index.iter().map(|&i| samples.labels[i]).collect(),
            present,
        })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }
}

/// Walks through `order` in batches of `batch_size`; the last may be smaller. A batch size of 0 counts as 1.
///
/// `order` holds indices into `samples`, `presence` one row a sample of `samples`.
pub fn batches<'a>(
    samples: &'a Samples,
    modalities: &'a [ModalitySpec],
    presence: &'a Presence,
    order: &'a [usize],
    batch_size: usize,
    device: &'a Device,
) -> impl Iterator<Item = Result<Batch>> + 'a {
    order
        .chunks(batch_size.max(1))
        .map(move |index| Batch::new(samples, modalities, presence, index, device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_holds_only_the_rows_that_are_there() -> Result<()> {
        let samples = Samples::complete(
            (0..5).map(|i| i.to_string()).collect(),
            vec![(0..20u8).map(f32::from).collect(), vec![0., 1., 2., 3., 4.]],
            vec![0, 1, 2, 3, 4],
        );
        let modalities = [ModalitySpec::new("a", &[1, 2, 2]), ModalitySpec::new("b", &[1])];
        // Sample 4 and 3 lack b, sample 1 lacks a.
        let presence = Presence::from_fn(5, 2, |i, m| if m == 0 { i != 1 } else { i < 3 });
        let order = [4, 1, 3, 0, 2];
        let got: Vec<Batch> =
            batches(&samples, &modalities, &presence, &order, 2, &Device::Cpu).collect::<Result<_>>()?;
        assert_eq!(got.iter().map(Batch::len).collect::<Vec<_>>(), [2, 2, 1]);

        assert_eq!((&got[0].index, &got[0].labels), (&vec![4, 1], &vec![4, 1]));
        assert_eq!(got[0].inputs[0].rows, [0]);
        let x = got[0].inputs[0].x.as_ref().unwrap();
        assert_eq!(x.dims(), [1, 1, 2, 2]);
        assert_eq!(x.flatten_all()?.to_vec1::<f32>()?, [16., 17., 18., 19.]);
        assert_eq!(got[0].inputs[1].rows, [1]);
        assert_eq!(got[1].inputs[0].rows, [0, 1]);
        assert_eq!(got[1].present.rows(1), [1]);
        assert_eq!(got[2].inputs[1].x.as_ref().unwrap().to_vec2::<f32>()?, [[2.]]);

        let nothing = Presence::from_fn(5, 2, |_, m| m == 0);
        let batch = Batch::new(&samples, &modalities, &nothing, &[0, 1], &Device::Cpu)?;
        assert!(batch.inputs[1].x.is_none() && batch.inputs[1].rows.is_empty());
        Ok(())
    }
}
