//! ShaSpec (Wang et al., CVPR 2023): features shared between modalities beside features specific to each.
//!
//! A shared encoder r reads every modality (through a projection to a common width), a specific encoder s_i its
//! own: f_i = r_i + proj([r_i; s_i]). A missing modality's f is the mean of the available r. The loss adds
//! .1 x the L1 distance between the shared features of two modalities and .02 x the cross-entropy of telling
//! the modality from its specific features. ShaSpec's encoders read the raw input; here, as in the paper's
//! Table 4, they stand on the encodings, so that every fusion meets the same encoders.

use mmcollapse_nn::{Mode, Result as TensorResult, Tensor, layers::Linear, ops::softmax_cross_entropy};
use serde::{Deserialize, Serialize};

use super::{Builder, Fusion, FusionContext, FusionOutput, head::Head};
use crate::{
    balancing::RANDOM_SUBSETS,
    encodings::Encodings,
    error::Result,
    registry::{Entry, Sampler, parse_for, resolve_as},
    rows::{choose, mean_of, presence_weights, rows_with, select_rows},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "shaspec",
    summary: "shared and specific features; a missing modality is the mean of the shared ones",
    reference: "Wang et al., ShaSpec, CVPR 2023",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[
        ("width", Sampler::Whole(&[64, 128, 256])),
        ("hidden", Sampler::Whole(&[32, 64, 128])),
        ("dropout", Sampler::Uniform(0.0, 0.8)),
        ("shared_weight", Sampler::LogUniform(0.01, 1.0)),
        ("specific_weight", Sampler::LogUniform(0.002, 0.2)),
    ],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "shaspec", options)?;
        Ok(Box::new(ShaSpec::new(&config, context)?))
    })
    .balanced_by(RANDOM_SUBSETS),
};

/// Options of [`ShaSpec`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of shared and specific features (ours: the paper gives none for avMNIST).
    width: usize,
    /// Width of the hidden layer of the head, as in SMIL's fused network.
    hidden: usize,
    /// Dropout before the classifier, as in SMIL's fused network.
    dropout: f64,
    /// Weight of the L1 distance between shared features (ShaSpec: .1).
    shared_weight: f64,
    /// Weight of the modality classification of specific features (ShaSpec: .02).
    specific_weight: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            width: 128,
            hidden: 64,
            dropout: 0.6,
            shared_weight: 0.1,
            specific_weight: 0.02,
        }
    }
}

struct ShaSpec {
    config: Config,
    to_common: Vec<Linear>,
    shared: Linear,
    specific: Vec<Linear>,
    proj: Linear,
    modality: Linear,
    head: Head,
}

impl ShaSpec {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let (scope, width) = (&context.scope, config.width);
        let per_modality = |name: &str| {
            context
                .modalities
                .iter()
                .zip(context.widths)
                .map(|(m, &w)| Ok(Linear::new(&scope.pp(name).pp(m), w, width)?))
                .collect::<Result<Vec<_>>>()
        };
        let m = context.modalities.len();
        Ok(Self {
            config: config.clone(),
            to_common: per_modality("to_common")?,
            shared: Linear::new(&scope.pp("shared"), width, width)?,
            specific: per_modality("specific")?,
            proj: Linear::new(&scope.pp("proj"), 2 * width, width)?,
            modality: Linear::new(&scope.pp("modality"), width, m)?,
            head: Head::new(scope, m * width, config.hidden, config.dropout, context.classes)?,
        })
    }

    /// Mean over samples (and over pairs of modalities) of |r_i - r_j|, where both are there.
    fn shared_distance(encodings: &Encodings, r: &[Tensor]) -> TensorResult<Option<Tensor>> {
        let mut total: Option<Tensor> = None;
        let mut pairs = 0;
        for i in 0..r.len() {
            for j in i + 1..r.len() {
                let both = rows_with(&encodings.present, &[i, j]);
                if both.is_empty() {
                    continue;
                }
                let d = (select_rows(&r[i], &both)? - select_rows(&r[j], &both)?)?
                    .abs()?
                    .mean_all()?;
                total = Some(match total {
                    Some(t) => (t + d)?,
                    None => d,
                });
                pairs += 1;
            }
        }
        total.map(|t| t / f64::from(pairs)).transpose()
    }

    /// Cross-entropy of the modality given its specific features, over all modalities that are there.
    fn specific_loss(&self, encodings: &Encodings, s: &[Tensor]) -> TensorResult<Option<Tensor>> {
        let mut features = Vec::new();
        let mut targets = Vec::new();
        for (m, s) in s.iter().enumerate() {
            let rows = encodings.present.rows(m);
            if !rows.is_empty() {
                features.push(select_rows(s, &rows)?);
                targets.extend(std::iter::repeat_n(m as u32, rows.len()));
            }
        }
        if features.is_empty() {
            return Ok(None);
        }
        let logits = self.modality.forward(&Tensor::cat(&features, 0)?)?;
        softmax_cross_entropy(&logits, &targets).map(Some)
    }
}

impl Fusion for ShaSpec {
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let z = &encodings.z;
        let mut r = Vec::with_capacity(z.len()); // shared, each [b, width]
        let mut s = Vec::with_capacity(z.len()); // specific, each [b, width]
        for (m, z) in z.iter().enumerate() {
            let common = self.to_common[m].forward(z)?;
            r.push(self.shared.forward_relu(&common)?);
            s.push(self.specific[m].forward_relu(z)?);
        }
        let present = presence_weights(encodings)?; // each [b, 1]
        let mut sum = present[0].zeros_like()?.broadcast_mul(&r[0])?;
        let mut count = present[0].zeros_like()?;
        for (r, p) in r.iter().zip(&present) {
            sum = (sum + r.broadcast_mul(p)?)?;
            count = (count + p)?;
        }
        // [b, width]; zero for a sample without any modality
        let mean = mean_of(&sum, &count)?;
        let mut f = Vec::with_capacity(z.len());
        for m in 0..z.len() {
            let own = (&r[m] + self.proj.forward(&Tensor::cat(&[&r[m], &s[m]], 1)?)?)?;
            f.push(choose(&present[m], &own, &mean)?);
        }
        let (fused, logits) = self.head.forward(&Tensor::cat(&f, 1)?, mode)?;
        let mut aux = Vec::new();
        if mode.is_train() {
            if let Some(d) = Self::shared_distance(encodings, &r)? {
                aux.push(("shared", (d * self.config.shared_weight)?));
            }
            if let Some(d) = self.specific_loss(encodings, &s)? {
                aux.push(("specific", (d * self.config.specific_weight)?));
            }
        }
        Ok(FusionOutput {
            aux,
            ..FusionOutput::new(fused, logits)
        })
    }
}
