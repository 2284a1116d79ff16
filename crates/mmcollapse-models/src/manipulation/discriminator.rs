//! A modality discriminator fitted afresh to frozen latents.

use mmcollapse_nn::{
    Params, Result as TensorResult, Tensor, layers::Linear, ops::softmax_cross_entropy, random::Stream,
};

use super::{BATCH, Frozen, Reader, held_out};
use crate::rows::gather_rows;

/// Hidden width, as that of psi in the paper.
const HIDDEN: usize = 256;

/// Held-out cross-entropy of a fresh discriminator (two layers, all modalities weighing the same) of `latents`, as a share of
/// that of a guess, `ln m`. None where there is no second modality, a split has no latent of one, or a latent is not finite.
///
/// # Errors
/// A tensor operation failed.
pub(crate) fn confusion(latents: &Frozen, seed: u64) -> TensorResult<Option<f64>> {
    let m = latents.train.len();
    let Some(latents) = latents.standardised(true)?.filter(|_| m > 1) else {
        return Ok(None);
    };
    let width = latents.train[0].dim(1)?;
    let rows: Vec<usize> = latents.train.iter().map(|x| x.dim(0)).collect::<TensorResult<_>>()?;
    let guess = libm::log(m as f64);
    let nats = held_out(&latents, (guess, guess), seed, |params| {
        Discriminator::new(params, width, &rows)
    })?;
    Ok(Some(nats / guess))
}

/// The same latents with their modalities shuffled: whatever reads them must be confused.
///
/// # Errors
/// A tensor operation failed.
pub(crate) fn shuffled(latents: &Frozen, seed: u64) -> TensorResult<Frozen> {
    let of = |name: &str, split: &[Tensor]| -> TensorResult<Vec<Tensor>> {
        let all = Tensor::cat(split, 0)?;
        let order = Stream::new(seed, &format!("manipulation/{name}")).permutation(all.dim(0)?);
        let mut first = 0;
        let parts = split.iter().map(|x| {
            let rows = x.dim(0)?;
            first += rows;
            gather_rows(&all, &order[first - rows..first])
        });
        parts.collect()
    };
    Ok(Frozen {
        train: of("train", &latents.train)?,
        validation: of("validation", &latents.validation)?,
        held_out: of("held out", &latents.held_out)?,
    })
}

struct Discriminator {
    layers: [Linear; 2],
    seed: u64,
    /// Training rows of each modality.
    rows: Vec<usize>,
}

impl Discriminator {
    fn new(params: &Params, width: usize, rows: &[usize]) -> TensorResult<Self> {
        let scope = params.root().pp("discriminator");
        Ok(Self {
            layers: [
                Linear::new(&scope.pp("0"), width, HIDDEN)?,
                Linear::new(&scope.pp("1"), HIDDEN, rows.len())?,
            ],
            seed: params.seed(),
            rows: rows.to_vec(),
        })
    }
}

impl Reader for Discriminator {
    /// As many rows of each modality; one that has fewer is gone through more often.
    fn steps(&self, epoch: u64) -> Vec<Vec<Vec<usize>>> {
        let share = (BATCH / self.rows.len()).max(1);
        let most = self.rows.iter().max().copied().unwrap_or_default();
        let orders: Vec<Vec<usize>> = self
            .rows
            .iter()
            .enumerate()
            .map(|(m, &rows)| Stream::at(self.seed, &format!("discriminator/{m}"), epoch).permutation(rows))
            .collect();
        (0..most.div_ceil(share))
            .map(|step| {
                let places = step * share..(step + 1) * share;
                let of = |order: &Vec<usize>| places.clone().map(|place| order[place % order.len()]).collect();
                orders.iter().map(of).collect()
            })
            .collect()
    }

    fn loss(&self, x: &[Tensor]) -> TensorResult<Tensor> {
        let losses = x.iter().enumerate().map(|(modality, x)| {
            let logits = self.layers[1].forward(&self.layers[0].forward_relu(x)?)?;
            softmax_cross_entropy(&logits, &vec![modality as u32; x.dim(0)?])
        });
        Tensor::stack(&losses.collect::<TensorResult<Vec<_>>>()?, 0)?.mean(0)
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::Device;

    use super::*;

    /// Normal latents, eight wide, of three modalities, of which the last is rarer; `apart` is how far their means lie from each other.
    fn latents(apart: f32, twisted: bool) -> Frozen {
        let of = |name: &str, rows: [usize; 3]| -> Vec<Tensor> {
            (0..3)
                .map(|m| {
                    let mut x = Stream::new(4, &format!("{name}/{m}")).normal_vec(rows[m] * 8);
                    for row in x.chunks_mut(8) {
                        row[m] += apart;
                        if twisted {
                            // Told apart by how two features go together, which no linear reader sees.
                            row[5] = row[4] * [1.0, -1.0, 0.0][m];
                        }
                    }
                    Tensor::from_vec(x, (rows[m], 8), &Device::Cpu).unwrap()
                })
                .collect()
        };
        Frozen {
            train: of("train", [300, 300, 60]),
            validation: of("validation", [100, 100, 30]),
            held_out: of("test", [200, 200, 60]),
        }
    }

    fn confused(latents: &Frozen) -> Option<f64> {
        confusion(latents, 3).unwrap()
    }

    #[test]
    fn what_is_apart_is_told_apart_and_what_is_shuffled_is_not() {
        for told in [latents(3.0, false), latents(0.0, true)] {
            assert!(confused(&told).unwrap() < 0.6, "{:?}", confused(&told));
            let shuffled = confused(&shuffled(&told, 3).unwrap()).unwrap();
            assert!((0.95..1.1).contains(&shuffled), "{shuffled}");
        }
        let alike = confused(&latents(0.0, false)).unwrap();
        assert!((0.95..1.1).contains(&alike), "{alike}");
        assert_eq!(confused(&latents(1.0, false)), confused(&latents(1.0, false)));
    }

    /// A shift and a scale of a feature, however large, change nothing that can be read.
    #[test]
    fn latents_are_standardised() {
        let told = latents(3.0, false);
        let moved = |split: &[Tensor]| split.iter().map(|x| ((x * 1e4).unwrap() + 1e4).unwrap()).collect();
        let moved = Frozen {
            train: moved(&told.train),
            validation: moved(&told.validation),
            held_out: moved(&told.held_out),
        };
        let (a, b) = (confused(&told).unwrap(), confused(&moved).unwrap());
        assert!((a - b).abs() < 0.05, "{a} {b}");
    }

    #[test]
    fn what_cannot_be_read_is_not_defined() {
        let told = latents(1.0, false);
        let empty = |x: &[Tensor]| x.iter().map(|x| x.narrow(0, 0, 0).unwrap()).collect();
        let nobody = Frozen {
            validation: empty(&told.validation),
            ..latents(1.0, false)
        };
        assert_eq!(confused(&nobody), None);
        let endless = Frozen {
            held_out: told.held_out.iter().map(|x| (x * f64::INFINITY).unwrap()).collect(),
            ..latents(1.0, false)
        };
        assert_eq!(confused(&endless), None);
        let alone = Frozen {
            train: told.train[..1].to_vec(),
            validation: told.validation[..1].to_vec(),
            held_out: told.held_out[..1].to_vec(),
        };
        assert_eq!(confused(&alone), None);
        let constant = |x: &[Tensor]| x.iter().map(|x| (x * 0.0).unwrap()).collect();
        let constant = Frozen {
            train: constant(&told.train),
            validation: constant(&told.validation),
            held_out: constant(&told.held_out),
        };
        assert!(
            (confused(&constant).unwrap() - 1.0).abs() < 0.05,
            "{:?}",
            confused(&constant)
        );
    }
}
