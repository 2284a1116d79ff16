//! Explicit basis reallocation (the paper's section 4.3).
//!
//! Each encoder takes a head h_i and a decoder hinv_i: `g_i = h_i(fbar_i(x_i))`, and the fusion sees
//! `f_i = hinv_i(g_i)` of the encoder's width. A discriminator psi predicts the modality from g_i:
//!
//! ```text
//! L_md   = sum_i CE(psi(g_i), i)
//! psi    <- psi    - grad L_md
//! g_i    <- g_i    - grad L_sem + grad L_md
//! hinv_i <- hinv_i - grad L_sem
//! ```
//!
//! The ascent of g_i is a gradient reversal between g_i and psi, so that one backward pass serves both sides.
//! As written the ascent is unbounded and most optimizers diverge under it. Two regimes are named: `literal`, the
//! paper's own update (plain SGD .01, x.9 every 100 of 1200 epochs, alternating every 10), and `stable`, which
//! adds what keeps it from diverging. Each addition is an option of its own.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Tensor,
    layers::{LayerNorm, Linear},
    ops::{gradient_reversal, softmax_cross_entropy},
    optim::{OptimizerConfig, OptimizerKind},
    schedule::Schedule,
};
use serde::{Deserialize, Serialize};

use super::{Builder, Reallocated, Reallocation, ReallocationContext};
use crate::{
    encodings::Encodings,
    error::Result,
    registry::{Entry, Options, Sampler, parse, parse_for, resolve_as},
    training::{JOINT, Phase, Progress, Training},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "ebr",
    summary: "heads, decoders and a modality discriminator pull the encodings into one basis",
    reference: "Chaudhuri et al., ICML 2025, section 4.3; reversal: Ganin et al., JMLR 2016",
    revision: 1,
    resolve,
    tuned: &[
        ("lambda_md", Sampler::LogUniform(0.001, 1.0)),
        ("psi_rate", Sampler::LogUniform(0.1, 10.0)),
        ("latent", Sampler::Whole(&[128, 256, 512])),
        ("warm_up", Sampler::EITHER),
    ],
    build: Builder {
        substitution: "latent",
        make: |options, context| {
            let config: Config = parse_for("reallocation", "ebr", options)?;
            Ok(Box::new(Ebr::new(&config, context)?))
        },
    },
};

/// Named sets of defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Regime {
    /// The update as the paper writes it.
    Literal,
    /// With normalised latents, a weaker and slowly growing reversal, clipping and a guard.
    Stable,
}

/// How L_sem and L_md take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Turns {
    /// Some epochs of L_sem alone, then as many of L_md alone.
    Alternate,
    /// Both in every step.
    Joint,
}

/// Options of [`Ebr`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Which defaults hold for what is not given.
    regime: Regime,
    /// How L_sem and L_md take turns.
    turns: Turns,
    /// Epochs of each turn (paper: 10).
    turn_epochs: usize,
    /// Weight of the reversed gradient (paper: none, so 1).
    lambda_md: f64,
    /// Whether the weight grows from 0 as 2/(1+exp(-10 p)) - 1, p the share of the epochs done (DANN).
    warm_up: bool,
    /// Layer norm on g.
    latent_norm: bool,
    /// Whether the ascent pauses while the smoothed L_sem is not falling (the paper's stopping rule).
    guard: bool,
    /// Learning-rate factor of psi.
    psi_rate: f64,
    /// Hidden width of h and hinv (paper: 1024).
    hidden: usize,
    /// Width of g (paper: 512).
    latent: usize,
    /// Hidden width of psi (paper: 256).
    psi_hidden: usize,
    /// Epochs instead of the cell's.
    epochs: Option<usize>,
    /// Optimizer instead of the cell's.
    optimizer: Option<OptimizerConfig>,
    /// Learning-rate schedule instead of the cell's.
    schedule: Option<Schedule>,
    /// Gradient clipping instead of the cell's.
    clip_norm: Option<f64>,
}

impl Config {
    fn of(regime: Regime) -> Self {
        let literal = Self {
            regime,
            turns: Turns::Alternate,
            turn_epochs: 10,
            lambda_md: 1.0,
            warm_up: false,
            latent_norm: false,
            guard: false,
            psi_rate: 1.0,
            hidden: 1024,
            latent: 512,
            psi_hidden: 256,
            epochs: Some(1200),
            optimizer: Some(OptimizerConfig::new(OptimizerKind::Sgd, 0.01)),
            schedule: Some(Schedule::Step {
                every: 100,
                factor: 0.9,
            }),
            clip_norm: None,
        };
        match regime {
            Regime::Literal => literal,
            Regime::Stable => Self {
                turns: Turns::Joint,
                lambda_md: 0.1,
                warm_up: true,
                latent_norm: true,
                guard: true,
                epochs: None,
                optimizer: None,
                schedule: None,
                clip_norm: Some(5.0),
                ..literal
            },
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::of(Regime::Stable)
    }
}

/// The regime's defaults under what is given.
fn resolve(options: &Options) -> std::result::Result<Options, String> {
    let regime = match options.get("regime") {
        Some(name) => serde_json::from_value(name.clone()).map_err(|e| format!("regime: {e}"))?,
        None => Regime::Stable,
    };
    let defaults = serde_json::to_value(Config::of(regime)).map_err(|e| e.to_string())?;
    let mut merged: Options = parse(&defaults.as_object().cloned().unwrap_or_default())?;
    merged.extend(options.clone());
    resolve_as::<Config>(&merged)
}

/// Two layers with a ReLU between them.
struct TwoLayers(Linear, Linear);

impl TwoLayers {
    fn new(scope: &mmcollapse_nn::Scope, from: usize, hidden: usize, to: usize) -> Result<Self> {
        Ok(Self(
            Linear::new(&scope.pp("0"), from, hidden)?,
            Linear::new(&scope.pp("1"), hidden, to)?,
        ))
    }

    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        self.1.forward(&self.0.forward_relu(x)?)
    }
}

struct Ebr {
    config: Config,
    heads: Vec<TwoLayers>,
    norms: Option<Vec<LayerNorm>>,
    decoders: Vec<TwoLayers>,
    psi: TwoLayers,
}

impl Ebr {
    fn new(config: &Config, context: &ReallocationContext) -> Result<Self> {
        let scope = &context.scope;
        let named = || context.modalities.iter().zip(context.widths);
        let heads = named()
            .map(|(m, &w)| TwoLayers::new(&scope.pp("head").pp(m), w, config.hidden, config.latent))
            .collect::<Result<_>>()?;
        let decoders = named()
            .map(|(m, &w)| TwoLayers::new(&scope.pp("decoder").pp(m), config.latent, config.hidden, w))
            .collect::<Result<_>>()?;
        let norms = config
            .latent_norm
            .then(|| {
                named()
                    .map(|(m, _)| Ok(LayerNorm::new(&scope.pp("norm").pp(m), config.latent)?))
                    .collect::<Result<_>>()
            })
            .transpose()?;
        let psi = TwoLayers::new(
            &scope.pp("psi"),
            config.latent,
            config.psi_hidden,
            context.modalities.len(),
        )?;
        Ok(Self {
            config: config.clone(),
            heads,
            norms,
            decoders,
            psi,
        })
    }

    /// Weight of the reversed gradient at this epoch.
    fn reversal_weight(&self, progress: &Progress) -> f64 {
        if self.config.guard && !still_falling(progress.semantic) {
            return 0.0;
        }
        let share = progress.epoch as f64 / progress.epochs.max(1) as f64;
        let warm = if self.config.warm_up {
            2.0 / (1.0 + libm::exp(-10.0 * share)) - 1.0
        } else {
            1.0
        };
        self.config.lambda_md * warm
    }
}

/// Whether the exponentially smoothed L_sem (weight .3 on the newest epoch) fell in the last epoch.
fn still_falling(semantic: &[f64]) -> bool {
    let Some((first, rest)) = semantic.split_first() else {
        return true;
    };
    let (mut before, mut now) = (f64::INFINITY, *first);
    for loss in rest {
        before = now;
        now = 0.7 * now + 0.3 * loss;
    }
    now < before
}

impl Reallocation for Ebr {
    fn transform(&self, modality: usize, z: &Tensor, _mode: Mode) -> TensorResult<Reallocated> {
        let mut g = self.heads[modality].forward(z)?; // [rows, latent]
        if let Some(norms) = &self.norms {
            g = norms[modality].forward(&g)?;
        }
        Ok(Reallocated {
            encoding: self.decoders[modality].forward(&g)?,
            latent: Some(g),
        })
    }

    fn losses(&self, encodings: &Encodings, progress: &Progress) -> TensorResult<Vec<(&'static str, Tensor)>> {
        let weight = self.reversal_weight(progress);
        let mut total: Option<Tensor> = None;
        for (modality, latent) in encodings.latents.iter().enumerate() {
            let Some(latent) = latent else { continue };
            let g = gradient_reversal(&latent.g, weight)?;
            let targets = vec![modality as u32; latent.rows.len()];
            let ce = softmax_cross_entropy(&self.psi.forward(&g)?, &targets)?;
            total = Some(match total {
                Some(t) => (t + ce)?,
                None => ce,
            });
        }
        Ok(total.map(|t| ("modality", t)).into_iter().collect())
    }

    fn decode(&self, modality: usize, latent: &Tensor) -> TensorResult<Option<Tensor>> {
        self.decoders[modality].forward(latent).map(Some)
    }

    fn phases(&self) -> Vec<Phase> {
        let turn = |name, semantic| Phase {
            name,
            epochs: self.config.turn_epochs.max(1),
            semantic,
            reallocation: !semantic,
        };
        match self.config.turns {
            Turns::Joint => vec![JOINT],
            Turns::Alternate => vec![turn("semantic", true), turn("adversarial", false)],
        }
    }

    fn training(&self, cell: &Training) -> Training {
        let Config {
            epochs,
            optimizer,
            schedule,
            clip_norm,
            ..
        } = self.config.clone();
        Training {
            epochs: epochs.unwrap_or(cell.epochs),
            optimizer: optimizer.unwrap_or_else(|| cell.optimizer.clone()),
            schedule: schedule.unwrap_or(cell.schedule),
            clip_norm: clip_norm.or(cell.clip_norm),
            ..cell.clone()
        }
    }

    fn rate_factor(&self) -> Option<(&'static str, f64)> {
        Some(("reallocation.psi", self.config.psi_rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(yaml: serde_json::Value) -> Options {
        yaml.as_object().cloned().unwrap()
    }

    #[test]
    fn a_regime_sets_what_is_not_given() {
        let literal = resolve(&options(serde_json::json!({"regime": "literal"}))).unwrap();
        assert_eq!(literal["turns"], "alternate");
        assert_eq!(literal["epochs"], 1200);
        assert_eq!(literal["latent_norm"], false);
        let short = resolve(&options(serde_json::json!({"regime": "literal", "epochs": 7}))).unwrap();
        assert_eq!(short["epochs"], 7);
        assert_eq!(resolve(&Options::new()).unwrap()["turns"], "joint");
    }

    #[test]
    fn unknown_options_are_refused() {
        let error = resolve(&options(serde_json::json!({"lamda_md": 1}))).unwrap_err();
        assert!(error.contains("lamda_md"), "{error}");
    }

    #[test]
    fn the_guard_pauses_while_the_loss_does_not_fall() {
        assert!(still_falling(&[]));
        assert!(still_falling(&[2.0]));
        assert!(still_falling(&[2.0, 1.0]));
        assert!(!still_falling(&[2.0, 1.0, 3.0]));
    }
}
