//! Full2miss (Shen and Gao, IPMI 2019): what is learnt on complete samples is handed to a network for incomplete ones.
//!
//! Two fused networks on the encodings: the full one reads complete samples, the other incomplete ones, zeros standing for
//! what is missing. In training each complete sample is also read by the other network with one modality taken away in
//! turn, where it learns the label, the full network's predictions (distillation), and features that a critic cannot tell
//! from the full network's (adversarial alignment through a reversed gradient; the full network is not moved by it).

use mmcollapse_nn::{Mode, Result as TensorResult, Tensor, losses::distillation};
use serde::{Deserialize, Serialize};

use super::{Builder, Fusion, FusionContext, FusionOutput, Views, critic::Critic, head::Head, imputation::LeftOut};
use crate::{
    encodings::Encodings,
    error::Result,
    registry::{Entry, Sampler, parse_for, resolve_as},
    rows::{choose, gather_rows, presence_weights},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "full2miss",
    summary: "a network for incomplete samples, distilled from and aligned with one for complete samples",
    reference: "Shen and Gao, Brain Tumor Segmentation on MRI with Missing Modalities, IPMI 2019; the row Full2miss of SMIL",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[
        ("distillation", Sampler::LogUniform(0.1, 10.0)),
        ("temperature", Sampler::Uniform(1.0, 5.0)),
        ("adversarial", Sampler::LogUniform(0.01, 1.0)),
        ("hidden", Sampler::Whole(&[32, 64, 128])),
        ("dropout", Sampler::Uniform(0.0, 0.8)),
    ],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "full2miss", options)?;
        Ok(Box::new(Full2miss::new(&config, context)?))
    }),
};

/// Options of [`Full2miss`]; all defaults are ours, the paper is about segmentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Weight of the distillation.
    distillation: f64,
    /// Temperature of the distillation.
    temperature: f64,
    /// Weight of the critic's loss in what the features of incomplete samples ascend.
    adversarial: f64,
    /// Width of the critic's hidden layer.
    critic_hidden: usize,
    /// Width of the fused networks' hidden layers.
    hidden: usize,
    /// Dropout before the classifiers.
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            distillation: 1.0,
            temperature: 2.0,
            adversarial: 0.1,
            critic_hidden: 64,
            hidden: 64,
            dropout: 0.6,
        }
    }
}

struct Full2miss {
    config: Config,
    full: Head,
    missing: Head,
    /// Tells features of incomplete samples from those of the same samples complete.
    critic: Critic,
}

impl Full2miss {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let (scope, inputs) = (&context.scope, context.widths.iter().sum());
        let head = |name: &str| Head::new(&scope.pp(name), inputs, config.hidden, config.dropout, context.classes);
        Ok(Self {
            config: config.clone(),
            full: head("full")?,
            missing: head("missing")?,
            critic: Critic::new(&scope.pp("critic"), config.hidden, config.critic_hidden)?,
        })
    }
}

impl Fusion for Full2miss {
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let mut complete: Option<Tensor> = None; // [b, 1]
        for present in presence_weights(encodings)? {
            complete = Some(match complete {
                Some(complete) => (complete * present)?,
                None => present,
            });
        }
        let joined = Tensor::cat(&encodings.z, 1)?; // [b, sum of widths], zero where a modality is missing
        let left_out = if mode.is_train() { LeftOut::of(encodings)? } else { None };
        let (full, full_logits) = self.full.forward(&joined, mode)?;
        // One pass, so that each row has its own dropout.
        let all = match &left_out {
            Some(left_out) => Tensor::cat(&[&joined, &Tensor::cat(&left_out.encodings.z, 1)?], 0)?,
            None => joined,
        };
        let (missing, missing_logits) = self.missing.forward(&all, mode)?;
        let b = full.dim(0)?;
        let (own, own_logits) = (missing.narrow(0, 0, b)?, missing_logits.narrow(0, 0, b)?);
        let Some(complete) = complete else {
            return Ok(FusionOutput::new(own, own_logits));
        };
        let mut output = FusionOutput::new(
            choose(&complete, &full, &own)?,
            choose(&complete, &full_logits, &own_logits)?,
        );
        if let Some(LeftOut { rows, share, .. }) = left_out {
            let (features, logits) = (
                missing.narrow(0, b, rows.len())?,
                missing_logits.narrow(0, b, rows.len())?,
            );
            let taught = distillation(&logits, &gather_rows(&full_logits, &rows)?, self.config.temperature)?;
            let alignment = self
                .critic
                .loss(&features, &gather_rows(&full, &rows)?, self.config.adversarial)?;
            output
                .aux
                .push(("distillation", (taught * (self.config.distillation * share))?));
            output.aux.push(("alignment", (alignment * share)?));
            output.views = Some(Views {
                rows,
                logits,
                weight: share,
            });
        }
        Ok(output)
    }

    fn labelled_losses(&self, output: &FusionOutput, labels: &[u32]) -> TensorResult<Vec<(&'static str, Tensor)>> {
        let views = output
            .views
            .as_ref()
            .map(|views| Ok(("incomplete", views.loss(labels)?)));
        views.into_iter().collect()
    }
}
