//! Imputation by a generator with an adversarial critic: what stands in for a missing modality should pass for real.
//!
//! The autoencoder baseline's maps are the generators. For each modality a critic tells its encodings from generated ones;
//! the generators descend the reconstruction error and ascend the critic's loss, through a reversed gradient, so that one
//! backward pass serves both sides (the minimax game of Goodfellow et al. 2014, equation 1). Stands on the encodings, as
//! every fusion does.

use mmcollapse_nn::{Mode, Result as TensorResult, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    Builder, Fusion, FusionContext, FusionOutput,
    critic::Critic,
    head::Head,
    imputation::{Mapped, Maps, fill_in, reconstruction},
};
use crate::{
    encodings::Encodings,
    error::Result,
    registry::{Entry, Sampler, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "gan",
    summary: "a missing modality's encoding is generated against a critic, then concat",
    reference: "Goodfellow et al., GAN, NeurIPS 2014; the row GAN of SMIL (Ma et al., AAAI 2021)",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[
        ("bottleneck", Sampler::Whole(&[32, 64, 128])),
        ("reconstruction", Sampler::LogUniform(0.1, 10.0)),
        ("adversarial", Sampler::LogUniform(0.01, 1.0)),
        ("hidden", Sampler::Whole(&[32, 64, 128])),
        ("dropout", Sampler::Uniform(0.0, 0.8)),
    ],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "gan", options)?;
        Ok(Box::new(Gan::new(&config, context)?))
    }),
};

/// Options of [`Gan`]; all defaults are ours, SMIL prints none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of the generators' bottleneck.
    bottleneck: usize,
    /// Weight of the reconstruction error.
    reconstruction: f64,
    /// Weight of the critic's loss in what the generators ascend.
    adversarial: f64,
    /// Width of the critics' hidden layer.
    critic_hidden: usize,
    /// Width of the fused network's hidden layer.
    hidden: usize,
    /// Dropout before the classifier.
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bottleneck: 64,
            reconstruction: 1.0,
            adversarial: 0.1,
            critic_hidden: 64,
            hidden: 64,
            dropout: 0.6,
        }
    }
}

struct Gan {
    reconstruction: f64,
    adversarial: f64,
    maps: Maps,
    /// One per modality.
    critics: Vec<Critic>,
    head: Head,
}

impl Gan {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let scope = context.scope.pp("critic");
        let named = context.modalities.iter().zip(context.widths);
        let critics = named.map(|(name, &width)| Critic::new(&scope.pp(name), width, config.critic_hidden));
        let inputs = context.widths.iter().sum();
        Ok(Self {
            reconstruction: config.reconstruction,
            adversarial: config.adversarial,
            maps: Maps::new(context, config.bottleneck)?,
            critics: critics.collect::<TensorResult<_>>()?,
            head: Head::new(&context.scope, inputs, config.hidden, config.dropout, context.classes)?,
        })
    }

    /// The mean of the critics' losses; nothing where no sample has two modalities.
    fn critic(&self, mapped: &[Mapped]) -> TensorResult<Option<Tensor>> {
        if mapped.is_empty() {
            return Ok(None);
        }
        let losses: Vec<Tensor> = mapped
            .iter()
            .map(|m| self.critics[m.to].loss(&m.given, &m.target, self.adversarial))
            .collect::<TensorResult<_>>()?;
        Tensor::stack(&losses, 0)?.mean(0).map(Some)
    }
}

impl Fusion for Gan {
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let filled = fill_in(encodings, |from, to| self.maps.map(encodings, from, to))?;
        let (fused, logits) = self.head.forward(&Tensor::cat(&filled, 1)?, mode)?;
        let mut output = FusionOutput::new(fused, logits);
        if mode.is_train() {
            let mapped = self.maps.on_pairs(encodings)?;
            if let Some(error) = reconstruction(&mapped)? {
                output.aux.push(("reconstruction", (error * self.reconstruction)?));
            }
            if let Some(loss) = self.critic(&mapped)? {
                output.aux.push(("critic", loss));
            }
        }
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::Presence;
    use mmcollapse_nn::{DType, Device, Params, random::Stream};

    use super::*;

    /// Signs of the mean gradient along the true one: of the critics' loss with respect to generators and critics.
    #[test]
    fn critics_descend_their_loss_and_generators_ascend_it() {
        let names = ["a", "b"].map(str::to_owned);
        let build = |adversarial| {
            let params = Params::new(3, &Device::Cpu);
            let context = FusionContext::made(&names, &[4, 4], 3, &params);
            let config = Config {
                adversarial,
                ..Config::default()
            };
            (Gan::new(&config, &context).unwrap(), params)
        };
        let mut stream = Stream::new(1, "gan");
        let z = |stream: &mut Stream| Tensor::from_vec(stream.normal_vec(32), (8, 4), &Device::Cpu).unwrap();
        let encodings = Encodings::made(vec![z(&mut stream), z(&mut stream)], Presence::all(8, 2));
        let gradients = |adversarial: f64| {
            let (gan, params) = build(adversarial);
            let loss = gan.critic(&gan.maps.on_pairs(&encodings).unwrap()).unwrap().unwrap();
            let gradients = loss.backward().unwrap();
            let of = |path: &str| -> Vec<f64> {
                let parts = params.vars_under(path).into_iter().flat_map(|(_, var)| {
                    let gradient = gradients.get(&var).unwrap().to_dtype(DType::F64).unwrap();
                    gradient.flatten_all().unwrap().to_vec1::<f64>().unwrap()
                });
                parts.collect()
            };
            (of("critic"), of("maps"))
        };
        // Weight -1 is the plain gradient, what both sides would descend without the reversal.
        let (critic, plain) = gradients(-1.0);
        let (same, reversed) = gradients(0.5);
        assert_eq!(critic, same);
        assert!(plain.iter().any(|g| g.abs() > 1e-4));
        for (plain, reversed) in plain.iter().zip(&reversed) {
            assert!((reversed + 0.5 * plain).abs() < 1e-6, "{plain} {reversed}");
        }
    }
}
