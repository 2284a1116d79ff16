//! LMF (Liu et al., ACL 2018): the outer product of all encodings, through a weight tensor of low rank.
//!
//! The tensor of every product of features, one of each modality (and a 1, so that fewer take part too), is
//! mapped by weights that are a sum of `rank` outer products, so it is never formed:
//! fused = b + sum over r of v_r (W_1r [z_1; 1]) * ... * (W_mr [z_m; 1]), with * element by element (its equation 4).
//! The 1 leaves a missing modality, whose z is zero, its constant part. LMF reads its prediction off the fused vector, so that
//! `rank` bounds the bilinear form of a class. Here the fused vector goes through the same dropout and classifier as in every other
//! fusion: each of its `hidden` numbers has `rank` products of its own, and `rank` bounds neither a class nor the layer.

use mmcollapse_nn::{
    Init, Mode, Result as TensorResult, Tensor,
    layers::{Dropout, Linear},
};
use serde::{Deserialize, Serialize};

use super::{Builder, Fusion, FusionContext, FusionOutput};
use crate::{
    encodings::Encodings,
    error::{ModelError, Result},
    registry::{Entry, Sampler, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "lmf",
    summary: "products of features of all modalities, through a weight tensor of low rank",
    reference: "Liu et al., Low-rank Multimodal Fusion, ACL 2018",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[
        ("rank", Sampler::Whole(&[1, 4, 8, 16])),
        ("hidden", Sampler::Whole(&[32, 64, 128])),
        ("dropout", Sampler::Uniform(0.0, 0.8)),
    ],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "lmf", options)?;
        Ok(Box::new(Lmf::new(&config, context)?))
    }),
};

/// Options of [`Lmf`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Outer products that the weight tensor is the sum of (LMF's code searches 1, 4, 8, 16).
    rank: usize,
    /// Width of the fused vector, as in SMIL's fused network.
    hidden: usize,
    /// Dropout before the classifier, as in SMIL's fused network.
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rank: 4,
            hidden: 64,
            dropout: 0.6,
        }
    }
}

struct Lmf {
    rank: usize,
    /// Per modality `[rank * hidden, width]`, and the constant parts as its bias.
    factors: Vec<Linear>,
    /// v, `[rank]`.
    weights: Tensor,
    /// b, `[hidden]`.
    bias: Tensor,
    dropout: Dropout,
    classifier: Linear,
}

impl Lmf {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let Config { rank, hidden, dropout } = *config;
        if rank == 0 {
            return Err(ModelError::Options {
                axis: "fusion",
                method: "lmf".to_owned(),
                reason: "`rank` must be at least 1, got 0".to_owned(),
            });
        }
        let scope = &context.scope;
        let factors = context.modalities.iter().zip(context.widths);
        Ok(Self {
            rank,
            factors: factors
                .map(|(m, &width)| Linear::new(&scope.pp("factor").pp(m), width, rank * hidden))
                .collect::<TensorResult<_>>()?,
            weights: scope.var(
                "weights",
                rank,
                Init::Glorot {
                    fan_in: rank,
                    fan_out: 1,
                },
            )?,
            bias: scope.var("bias", hidden, Init::Zeros)?,
            dropout: Dropout::new(&scope.pp("dropout"), dropout)?,
            classifier: Linear::new(&scope.pp("classifier"), hidden, context.classes)?,
        })
    }
}

impl Fusion for Lmf {
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let mut product: Option<Tensor> = None; // [b, rank * hidden]
        for (factor, z) in self.factors.iter().zip(&encodings.z) {
            let part = factor.forward(z)?;
            product = Some(match product {
                Some(product) => (product * part)?,
                None => part,
            });
        }
        let Some(product) = product else {
            mmcollapse_nn::candle::bail!("lmf: there is no modality to fuse")
        };
        let (n, hidden) = (encodings.present.len(), self.bias.dim(0)?);
        let products = product.reshape((n, self.rank, hidden))?;
        let weighted = products.broadcast_mul(&self.weights.reshape((1, self.rank, 1))?)?;
        let fused = weighted.sum(1)?.broadcast_add(&self.bias)?; // [b, hidden]
        let logits = self.classifier.forward(&self.dropout.forward(&fused, mode)?)?; // [b, classes]
        Ok(FusionOutput::new(fused, logits))
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::Presence;
    use mmcollapse_nn::{Device, Params};

    use super::*;

    /// The fused vector equals the contraction of the whole outer product with the whole weight tensor.
    #[test]
    fn it_is_the_outer_product_through_a_tensor_of_that_rank() {
        let (widths, rank, hidden) = ([2usize, 3], 2usize, 4usize);
        let params = Params::new(3, &Device::Cpu);
        let modalities = ["a".to_owned(), "b".to_owned()];
        let context = FusionContext::made(&modalities, &widths, 2, &params);
        let config = Config {
            rank,
            hidden,
            dropout: 0.0,
        };
        let lmf = Lmf::new(&config, &context).unwrap();
        let z = [vec![0.5f32, -1.0], vec![2.0f32, 0.25, -0.75]];
        let encodings = Encodings::made(
            z.iter()
                .map(|z| Tensor::from_vec(z.clone(), (1, z.len()), &Device::Cpu).unwrap())
                .collect(),
            Presence::all(1, 2),
        );
        let fused = lmf
            .forward(&encodings, Mode::Eval)
            .unwrap()
            .fused
            .to_vec2::<f32>()
            .unwrap();

        let with_one = z.map(|z| [z, vec![1.0]].concat());
        // Factor m of rank r and output h, for input i; the last input is the constant.
        let factor = |m: usize, r: usize, h: usize, i: usize| {
            let row = r * hidden + h;
            let linear = &lmf.factors[m];
            if i < widths[m] {
                linear.weight().to_vec2::<f32>().unwrap()[row][i]
            } else {
                linear.bias().unwrap().to_vec1::<f32>().unwrap()[row]
            }
        };
        let v = lmf.weights.to_vec1::<f32>().unwrap();
        for (h, fused) in fused[0].iter().enumerate() {
            let mut expected = 0.0;
            for (i, a) in with_one[0].iter().enumerate() {
                for (j, b) in with_one[1].iter().enumerate() {
                    let weight: f32 = (0..rank).map(|r| v[r] * factor(0, r, h, i) * factor(1, r, h, j)).sum();
                    expected += weight * a * b;
                }
            }
            assert!((fused - expected).abs() < 1e-5, "{fused} {expected}");
        }
    }
}
