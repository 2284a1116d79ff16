//! A contrast fitted afresh between the frozen encodings of two modalities.

use mmcollapse_nn::{
    Init, Params, Result as TensorResult, Tensor, layers::Linear, losses::info_nce_scaled, ops::exp, random::Stream,
};

use super::{BATCH, Frozen, Reader, held_out};

/// Width of the embeddings that are compared.
const EMBEDDING: usize = 64;

/// Where the temperature starts. It is learnt: at CRD's .07, and held there, a partner that is mistaken costs so much that the
/// reading says more of overconfidence than of what is shared.
const TEMPERATURE: f64 = 0.3;

/// Samples among which a partner is looked for at validation and at last.
pub(crate) const CANDIDATES: usize = 256;

/// Held-out cross-entropy of finding each sample's other encoding among those of at most [`CANDIDATES`] samples, by linear
/// embeddings and a temperature that are fitted afresh (InfoNCE), as a share of that of a guess. The first modality of `encodings` is the
/// student, the second the teacher, and equal rows are of one sample. None where there are fewer than two samples in a split,
/// or an encoding is not finite.
///
/// # Errors
/// A tensor operation failed.
pub(crate) fn contrast(encodings: &Frozen, seed: u64) -> TensorResult<Option<f64>> {
    let Some(encodings) = encodings.standardised(false)? else {
        return Ok(None);
    };
    let few = |x: &[Tensor]| -> TensorResult<Vec<Tensor>> {
        x.iter().map(|x| x.narrow(0, 0, x.dim(0)?.min(CANDIDATES))).collect()
    };
    let encodings = Frozen {
        validation: few(&encodings.validation)?,
        held_out: few(&encodings.held_out)?,
        train: encodings.train,
    };
    let candidates = encodings.held_out[0].dim(0)?;
    let rows = encodings.train[0].dim(0)?;
    if candidates < 2 || encodings.validation[0].dim(0)? < 2 || rows < 2 {
        return Ok(None);
    }
    let widths = [encodings.train[0].dim(1)?, encodings.train[1].dim(1)?];
    let guess = |candidates: usize| libm::log(candidates as f64);
    let guesses = (guess(encodings.validation[0].dim(0)?), guess(candidates));
    let nats = held_out(&encodings, guesses, seed, |params| {
        Embeddings::new(params, widths, rows)
    })?;
    Ok(Some(nats / guess(candidates)))
}

struct Embeddings {
    embed: [Linear; 2],
    /// `[1, 1]`, logarithm of [`TEMPERATURE`] over the temperature.
    sharpness: Tensor,
    seed: u64,
    rows: usize,
}

impl Embeddings {
    fn new(params: &Params, widths: [usize; 2], rows: usize) -> TensorResult<Self> {
        let scope = params.root().pp("contrast");
        Ok(Self {
            embed: [
                Linear::new(&scope.pp("student"), widths[0], EMBEDDING)?,
                Linear::new(&scope.pp("teacher"), widths[1], EMBEDDING)?,
            ],
            sharpness: scope.var("sharpness", (1, 1), Init::Zeros)?,
            seed: params.seed(),
            rows,
        })
    }
}

impl Reader for Embeddings {
    fn steps(&self, epoch: u64) -> Vec<Vec<Vec<usize>>> {
        let order = Stream::at(self.seed, "contrast", epoch).permutation(self.rows);
        // A last batch of one has nobody to be told from.
        let batches = order.chunks(BATCH).filter(|rows| rows.len() > 1);
        batches.map(|rows| vec![rows.to_vec(); 2]).collect()
    }

    fn loss(&self, x: &[Tensor]) -> TensorResult<Tensor> {
        info_nce_scaled(
            &self.embed[0].forward(&x[0])?,
            &self.embed[1].forward(&x[1])?,
            &(exp(&self.sharpness)? / TEMPERATURE)?,
        )
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::Device;

    use super::*;

    /// Encodings of two modalities that share the first `shared` of ten features.
    fn encodings(shared: usize) -> Frozen {
        let of = |name: &str, rows: usize| -> Vec<Tensor> {
            let common = Stream::new(1, &format!("{name}/common")).normal_vec(rows * 10);
            (0..2)
                .map(|m| {
                    let mut x = Stream::new(1, &format!("{name}/{m}")).normal_vec(rows * 10);
                    for (x, common) in x.chunks_mut(10).zip(common.chunks(10)) {
                        x[..shared].copy_from_slice(&common[..shared]);
                        x.rotate_left(m);
                    }
                    Tensor::from_vec(x, (rows, 10), &Device::Cpu).unwrap()
                })
                .collect()
        };
        Frozen {
            train: of("train", 700),
            validation: of("validation", 150),
            held_out: of("test", 300),
        }
    }

    #[test]
    fn the_more_is_shared_the_surer_a_partner_is_found() {
        let found = [0, 3, 8].map(|shared| contrast(&encodings(shared), 2).unwrap().unwrap());
        assert!((0.97..1.1).contains(&found[0]), "{found:?}");
        assert!(found[1] < 0.9 * found[0] && found[2] < 0.5 * found[1], "{found:?}");
    }

    /// Modalities that share the class and nothing else: a partner is found among the samples of its class, no better.
    #[test]
    fn what_the_class_tells_is_found_and_no_more() {
        const CLASSES: usize = 8;
        let of = |name: &str, rows: usize| -> Vec<Tensor> {
            (0..2)
                .map(|m| {
                    let mut x = Stream::new(3, &format!("{name}/{m}")).normal_vec(rows * 20);
                    for (row, x) in x.chunks_mut(20).enumerate() {
                        x[m + row % CLASSES] += 6.0;
                    }
                    Tensor::from_vec(x, (rows, 20), &Device::Cpu).unwrap()
                })
                .collect()
        };
        let encodings = Frozen {
            train: of("train", 800),
            validation: of("validation", 160),
            held_out: of("test", 256),
        };
        let readings = [1, 2, 3].map(|seed| contrast(&encodings, seed).unwrap().unwrap());
        let by_class = libm::log(256.0 / CLASSES as f64) / libm::log(256.0);
        for reading in readings {
            assert!((0.0..0.06).contains(&(reading - by_class)), "{readings:?}, {by_class}");
            // Another fit of the same encodings reads nearly the same.
            assert!((reading - readings[0]).abs() < 0.01, "{readings:?}");
        }
    }

    #[test]
    fn one_sample_has_no_contrast() {
        let all = encodings(3);
        let one = Frozen {
            held_out: all.held_out.iter().map(|x| x.narrow(0, 0, 1).unwrap()).collect(),
            ..encodings(3)
        };
        assert_eq!(contrast(&one, 2).unwrap(), None);
    }
}
