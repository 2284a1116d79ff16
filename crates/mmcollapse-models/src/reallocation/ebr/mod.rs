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
//! As written the ascent is unbounded and most optimizers diverge under it. Three regimes are named: `literal`, the
//! paper's own update (plain SGD .01, x.9 every 100 epochs, turns of 10 epochs, the adversary stopped for good
//! when L_sem no longer falls), `stable`, which adds what keeps it from diverging, and `searched`, the best of what the
//! experiment `ebr-search` tried from there. What the paper leaves open is an option: how heads and decoders start, whether
//! encoders do trained, how the losses take turns.
//!
//! `heads_only` is the control of any of them: the same layers, start, turns, stand-ins and draws, but nothing of L_md
//! reaches encoders and heads. Where the adversary may stop, it replays the turns of the run that it controls.

#[cfg(test)]
mod against_pytorch;
mod autoencoder;
mod layers;
mod moved;
mod parts;
mod turns;

use mmcollapse_nn::{
    Mode, Result as TensorResult, Tensor,
    ops::{gradient_reversal, softmax_cross_entropy},
    optim::{OptimizerConfig, OptimizerKind},
    random::Stream,
    schedule::Schedule,
};
use serde::{Deserialize, Serialize};

use super::{Builder, Prepared, Reallocated, Reallocation, ReallocationContext, Workbench, trained_encoders};
use crate::{
    encodings::Encodings,
    error::Result,
    predictions::log_probabilities,
    registry::{Entry, Options, Sampler, configured, parse, parse_for, resolve_as, written},
    rows::select_rows,
    training::{Phase, Progress, Training},
};
use layers::Layers;
use parts::{Start, TwoLayers};
use turns::Turns;

pub(super) use moved::ENTRY as MOVED;
pub(super) use turns::phase;

/// Prefix of the discriminator's variables.
const PSI: &str = "reallocation.psi";

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "ebr",
    summary: "heads, decoders and a modality discriminator pull the encodings into one basis",
    reference: "Chaudhuri et al., ICML 2025, section 4.3; reversal: Ganin et al., JMLR 2016",
    revision: 3, // the third has R1 as gradient penalty
    resolve,
    tuned: &[
        // The readings that the paper leaves open, the promising ones first.
        ("trained_encoders", Sampler::EITHER),
        ("start", Sampler::Word(&["default", "he", "near_identity"])),
        (
            "turns",
            Sampler::Word(&["joint", "alternate", "semantic_then_both", "psi_then_encoders"]),
        ),
        ("turn_epochs", Sampler::Whole(&[1, 5, 10])),
        ("adversary", Sampler::Word(&["reversal", "confusion"])),
        ("lambda_md", Sampler::LogUniform(0.01, 10.0)),
        ("psi_rate", Sampler::LogUniform(0.1, 100.0)),
        ("psi_hidden", Sampler::Whole(&[256, 1024])),
        ("gradient_penalty", Sampler::LogUniform(0.001, 10.0)), // its lower end does nothing
        ("norm_gain", Sampler::EITHER),
        ("stand_ins", Sampler::Uniform(0.0, 0.5)),
        ("latent", Sampler::Whole(&[4, 16, 64, 128])),
        ("warm_up", Sampler::EITHER),
        ("guard", Sampler::EITHER),
        ("lasting_stop", Sampler::EITHER),
    ],
    build: Builder {
        substitution: "latent",
        uses: &[],
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
    /// What `ebr-search` found on avMNIST: the best on validation of 64 settings, none of which confused a fresh discriminator.
    Searched,
}

/// What encoders and heads do against psi.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Adversary {
    /// They climb L_md (the paper).
    Reversal,
    /// They descend the cross-entropy of psi's prediction to the uniform one, which is bounded (Tzeng et al. 2015).
    Confusion,
}

/// How L_md adds up over modalities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reduction {
    /// The sum of their means (the paper).
    Sum,
    /// The mean of their means.
    Mean,
    /// The mean over all rows: a modality that few samples have weighs little.
    Pooled,
}

/// Options of [`Ebr`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that combine freely, each an option of its own"
)]
struct Config {
    /// Which defaults hold for what is not given.
    regime: Regime,
    /// The control: nothing of L_md reaches encoders and heads, all else is the same.
    heads_only: bool,
    /// How L_sem and L_md take turns.
    turns: Turns,
    /// Epochs of each turn (paper: 10).
    turn_epochs: usize,
    /// Whether the adversary stops for good after a turn of L_sem that did not lower it (the paper's stopping rule).
    lasting_stop: bool,
    /// Whether the ascent pauses while the smoothed L_sem is not falling.
    guard: bool,
    /// What encoders and heads do against psi.
    adversary: Adversary,
    /// Weight of what L_md does to encoders and heads (paper: none, so 1).
    lambda_md: f64,
    /// Whether the weight grows from 0 as 2/(1+exp(-10 p)) - 1, p the share of the epochs done (DANN).
    warm_up: bool,
    /// How L_md adds up over modalities.
    md: Reduction,
    /// Layer norm on g.
    latent_norm: bool,
    /// Whether that has a gain and a bias of its own, by which g can still grow.
    norm_gain: bool,
    /// Weight of the squared norm of the gradient of psi's logit for g, added to psi's loss (R1, Mescheder et al. 2018).
    gradient_penalty: f64,
    /// Learning-rate factor of psi.
    psi_rate: f64,
    /// How heads and decoders start.
    start: Start,
    /// Epochs of the autoencoders that `start: autoencoder` trains.
    autoencoder_epochs: usize,
    /// Whether encoders start as trained alone, each with a linear head of its own.
    trained_encoders: bool,
    /// Share of the training samples of which one modality is replaced by its stand-in: the decoded latent of another.
    stand_ins: f64,
    /// Whether the fusion takes such a stand-in as present.
    stand_in_present: bool,
    /// Hidden width of h and hinv (paper: 1024).
    hidden: usize,
    /// Width of g (paper: 512).
    latent: usize,
    /// Hidden width of psi (paper: 256).
    psi_hidden: usize,
    /// Epochs of L_sem instead of the cell's; those of L_md alone come on top.
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
            heads_only: false,
            turns: Turns::Alternate,
            turn_epochs: 10,
            lasting_stop: true,
            guard: false,
            adversary: Adversary::Reversal,
            lambda_md: 1.0,
            warm_up: false,
            md: Reduction::Sum,
            latent_norm: false,
            norm_gain: true,
            gradient_penalty: 0.0,
            psi_rate: 1.0,
            start: Start::Default,
            autoencoder_epochs: 20,
            trained_encoders: false,
            stand_ins: 0.0,
            stand_in_present: true,
            hidden: 1024,
            latent: 512,
            psi_hidden: 256,
            epochs: Some(600), // half of the paper's 1200: the other half are turns of L_md
            optimizer: Some(OptimizerConfig::new(OptimizerKind::Sgd, 0.01)),
            schedule: Some(Schedule::Step {
                every: 100,
                factor: 0.9,
            }),
            clip_norm: None,
        };
        let bounded = Self {
            warm_up: true,
            latent_norm: true,
            epochs: None,
            optimizer: None,
            schedule: None,
            clip_norm: Some(5.0),
            ..literal.clone()
        };
        match regime {
            Regime::Literal => literal,
            Regime::Stable => Self {
                turns: Turns::Joint,
                lasting_stop: false,
                lambda_md: 0.1,
                guard: true,
                ..bounded
            },
            Regime::Searched => Self {
                turns: Turns::SemanticThenBoth,
                turn_epochs: 1,
                lambda_md: 0.0656,
                gradient_penalty: 0.146,
                psi_rate: 31.4,
                start: Start::He,
                trained_encoders: true,
                stand_ins: 0.288,
                hidden: 256,
                latent: 64,
                ..bounded
            },
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::of(Regime::Searched)
    }
}

/// The regime's defaults under what is given.
fn resolve(options: &Options) -> std::result::Result<Options, String> {
    let regime = match options.get("regime") {
        Some(name) => serde_json::from_value(name.clone()).map_err(|e| format!("regime: {e}"))?,
        None => Config::default().regime,
    };
    let mut merged = written(&Config::of(regime))?;
    merged.extend(options.clone());
    parse::<Config>(&merged)?.check()?;
    resolve_as::<Config>(&merged)
}

impl Config {
    fn check(&self) -> std::result::Result<(), String> {
        let at_least = |name: &str, value: f64| {
            let fits = value.is_finite() && value >= 0.0;
            fits.then_some(())
                .ok_or_else(|| format!("`{name}` must be a number of at least 0, got {value}"))
        };
        at_least("lambda_md", self.lambda_md)?;
        at_least("gradient_penalty", self.gradient_penalty)?;
        if !(0.0..=1.0).contains(&self.stand_ins) {
            return Err(format!("`stand_ins` must be in [0, 1], got {}", self.stand_ins));
        }
        if self.turn_epochs == 0 {
            return Err("`turn_epochs` must be at least 1, got 0".to_owned());
        }
        if self.start == Start::NearIdentity && self.hidden < 2 * self.latent {
            return Err(format!(
                "`start: near_identity` needs a hidden width of at least twice the latent's, got {} and {}",
                self.hidden, self.latent
            ));
        }
        self.training(&Training::default()).check()
    }

    /// How it is trained: what it says itself, and the rest as the cell has it.
    fn training(&self, cell: &Training) -> Training {
        Training {
            epochs: self.turns.epochs(self.epochs.unwrap_or(cell.epochs), self.turn_epochs),
            optimizer: self.optimizer.clone().unwrap_or_else(|| cell.optimizer.clone()),
            schedule: self.schedule.unwrap_or(cell.schedule),
            clip_norm: self.clip_norm.or(cell.clip_norm),
            ..cell.clone()
        }
    }
}

struct Ebr {
    config: Config,
    /// Of each modality.
    layers: Vec<Layers>,
    psi: TwoLayers,
    /// Phases of the run that this one controls, one an epoch.
    replayed: Vec<Phase>,
}

impl Ebr {
    fn new(config: &Config, context: &ReallocationContext) -> Result<Self> {
        let scope = &context.scope;
        let named = context.modalities.iter().zip(context.widths);
        let layers = named
            .map(|(name, &width)| Layers::new(config, scope, name, width))
            .collect::<Result<_>>()?;
        let widths = (config.latent, config.psi_hidden, context.modalities.len());
        Ok(Self {
            config: config.clone(),
            layers,
            psi: TwoLayers::new(&scope.pp("psi"), widths, Start::Default)?,
            replayed: Vec::new(),
        })
    }

    /// Weight at this epoch of what L_md does to encoders and heads.
    fn weight(&self, progress: &Progress) -> f64 {
        if self.config.heads_only || self.config.guard && !still_falling(progress.semantic) {
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

    /// One number of those of the modalities, with the rows that each is a mean over.
    fn reduced(&self, terms: &[(Tensor, usize)]) -> TensorResult<Option<Tensor>> {
        let rows: usize = terms.iter().map(|(_, rows)| rows).sum();
        let mut total: Option<Tensor> = None;
        for (term, own) in terms {
            let share = match self.config.md {
                Reduction::Sum => 1.0,
                Reduction::Mean => 1.0 / terms.len() as f64,
                Reduction::Pooled => *own as f64 / rows.max(1) as f64,
            };
            let term = if share == 1.0 { term.clone() } else { (term * share)? };
            total = Some(match total {
                Some(total) => (total + term)?,
                None => term,
            });
        }
        Ok(total)
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
        self.layers[modality].forward(z)
    }

    fn losses(&self, encodings: &Encodings, progress: &Progress) -> TensorResult<Vec<(&'static str, Tensor)>> {
        let weight = self.weight(progress);
        let reverses = self.config.adversary == Adversary::Reversal && weight > 0.0;
        let (mut told, mut confused, mut slopes) = (Vec::new(), Vec::new(), Vec::new());
        for (modality, latent) in encodings.latents.iter().enumerate() {
            let Some(latent) = latent else { continue };
            let rows = latent.rows.len();
            // Where nothing is to reach the encoders they get no gradient at all, not one of zeros that their moments feel.
            let g = if reverses {
                gradient_reversal(&latent.g, weight)?
            } else {
                latent.g.detach()
            };
            let targets = vec![modality as u32; rows];
            told.push((softmax_cross_entropy(&self.psi.forward(&g)?, &targets)?, rows));
            if self.config.adversary == Adversary::Confusion && weight > 0.0 {
                let uniform = log_probabilities(&self.psi.frozen().forward(&latent.g)?)?.mean_all()?;
                confused.push(((uniform * -weight)?, rows));
            }
            if self.config.gradient_penalty > 0.0 {
                let slope = self.psi.squared_slope(&latent.g.detach(), modality)?;
                slopes.push(((slope * self.config.gradient_penalty)?, rows));
            }
        }
        let mut losses = Vec::new();
        for (name, terms) in [
            ("modality", told),
            ("confusion", confused),
            ("gradient_penalty", slopes),
        ] {
            losses.extend(self.reduced(&terms)?.map(|loss| (name, loss)));
        }
        Ok(losses)
    }

    fn stand_in(&self, encodings: &mut Encodings, mode: Mode) -> TensorResult<()> {
        let Mode::Train { seed, step } = mode else {
            return Ok(());
        };
        if self.config.stand_ins == 0.0 {
            return Ok(());
        }
        let mut stream = Stream::at(seed, "ebr/stand_ins", step);
        let (n, present) = (encodings.present.len(), encodings.present.clone());
        let modalities = self.layers.len();
        // For each pair (missing, substitute) the samples of the batch that it serves.
        let mut served: Vec<Vec<usize>> = vec![Vec::new(); modalities * modalities];
        for i in 0..n {
            let there: Vec<usize> = (0..modalities).filter(|&m| present.get(i, m)).collect();
            let (is_drawn, first) = (
                stream.uniform(0.0, 1.0) < self.config.stand_ins,
                stream.below(there.len().max(1)),
            );
            let second = stream.below(there.len().saturating_sub(1).max(1));
            if is_drawn && there.len() > 1 {
                let missing = there[first];
                let others: Vec<usize> = there.into_iter().filter(|&m| m != missing).collect();
                served[missing * modalities + others[second]].push(i);
            }
        }
        for (pair, rows) in served.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let (missing, substitute) = (pair / modalities, pair % modalities);
            let Some(latent) = &encodings.latents[substitute] else {
                continue;
            };
            let places: Vec<usize> = rows
                .iter()
                .filter_map(|i| latent.rows.iter().position(|row| row == i))
                .collect();
            let decoded = self.layers[missing]
                .decoder
                .forward(&select_rows(&latent.g, &places)?)?;
            encodings.replace(missing, rows, &decoded)?;
            if !self.config.stand_in_present {
                for &i in rows {
                    encodings.present.set(i, missing, false);
                }
            }
        }
        Ok(())
    }

    fn decode(&self, modality: usize, latent: &Tensor) -> TensorResult<Option<Tensor>> {
        self.layers[modality].decoder.forward(latent).map(Some)
    }

    fn phase(&self, progress: &Progress) -> Option<Phase> {
        if let Some(phase) = self.replayed.get(progress.epoch) {
            return Some(*phase);
        }
        let Config {
            turns,
            turn_epochs,
            lasting_stop,
            ..
        } = self.config;
        // A run that diverged has no more turns to replay; its control goes on as it would have.
        turns.next(
            progress.phases,
            progress.semantic,
            turns.semantic(progress.epochs, turn_epochs),
            turn_epochs,
            lasting_stop,
        )
    }

    fn prepare(&mut self, bench: &mut dyn Workbench) -> Result<Prepared> {
        let mut placed = Vec::new();
        if self.config.trained_encoders {
            placed = trained_encoders::placed(bench, false)?;
        }
        if self.config.start == Start::Autoencoder {
            for modality in 0..bench.modalities().len() {
                placed.extend(autoencoder::train(&self.config, bench, modality)?);
            }
        }
        if self.config.heads_only && self.config.lasting_stop {
            let controlled = Config {
                heads_only: false,
                ..self.config.clone()
            };
            let phases = bench.phases_of(&configured("reallocation", ENTRY.name, &controlled)?)?;
            self.replayed = phases.iter().filter_map(|name| phase(name)).collect();
        }
        Ok(Prepared {
            placed,
            ..Prepared::default()
        })
    }

    fn training(&self, cell: &Training) -> Training {
        self.config.training(cell)
    }

    fn rate_factor(&self) -> Option<(&'static str, f64)> {
        Some((PSI, self.config.psi_rate))
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::Presence;
    use mmcollapse_nn::{Device, Params};

    use super::*;
    use crate::encodings::{Latent, Sequence};

    fn options(yaml: serde_json::Value) -> Options {
        yaml.as_object().cloned().unwrap()
    }

    #[test]
    fn a_regime_sets_what_is_not_given() {
        let literal = resolve(&options(serde_json::json!({"regime": "literal"}))).unwrap();
        assert_eq!(literal["turns"], "alternate");
        assert_eq!(
            (&literal["epochs"], &literal["lasting_stop"]),
            (&600.into(), &true.into())
        );
        assert_eq!(literal["latent_norm"], false);
        let short = resolve(&options(serde_json::json!({"regime": "literal", "epochs": 7}))).unwrap();
        assert_eq!(short["epochs"], 7);
        let searched = resolve(&Options::new()).unwrap();
        assert_eq!(
            (&searched["regime"], &searched["start"]),
            (&"searched".into(), &"he".into())
        );
        let stable = resolve(&options(serde_json::json!({"regime": "stable"}))).unwrap();
        assert_eq!((&stable["turns"], &stable["hidden"]), (&"joint".into(), &1024.into()));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (bad, expected) in [
            (serde_json::json!({"lamda_md": 1}), "lamda_md"),
            (
                serde_json::json!({"lambda_md": -1}),
                "`lambda_md` must be a number of at least 0, got -1",
            ),
            (
                serde_json::json!({"stand_ins": 1.5}),
                "`stand_ins` must be in [0, 1], got 1.5",
            ),
            (serde_json::json!({"turn_epochs": 0}), "at least 1, got 0"),
            (
                serde_json::json!({"start": "near_identity", "hidden": 1024, "latent": 513}),
                "at least twice the latent's, got 1024 and 513",
            ),
        ] {
            let error = resolve(&options(bad)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    fn ebr(params: &Params, changed: serde_json::Value) -> Ebr {
        let names = ["a", "b"].map(str::to_owned);
        let context = ReallocationContext {
            modalities: &names,
            widths: &[3, 3],
            scope: params.root(),
        };
        let mut small = options(serde_json::json!({
            "regime": "literal", "hidden": 16, "latent": 8, "psi_hidden": 5, "lasting_stop": false,
        }));
        small.extend(options(changed));
        let config: Config = parse(&resolve(&small).unwrap()).unwrap();
        Ebr::new(&config, &context).unwrap()
    }

    fn some(rows: usize) -> Tensor {
        let values = Stream::new(3, "test").uniform_vec(rows * 3, -2.0, 2.0);
        Tensor::from_vec(values, (rows, 3), &Device::Cpu).unwrap()
    }

    fn largest(x: &Tensor) -> f32 {
        let values: Vec<f32> = x.flatten_all().unwrap().to_vec1().unwrap();
        values.into_iter().fold(0.0, |most, x| most.max(x.abs()))
    }

    #[test]
    fn near_the_identity_the_fusion_sees_the_encoding() {
        let params = Params::new(1, &Device::Cpu);
        let near = ebr(&params, serde_json::json!({"start": "near_identity"}));
        let z = some(20);
        let seen = near.transform(0, &z, Mode::Eval).unwrap().encoding;
        assert!(largest(&(seen - &z).unwrap()) < 0.3, "{}", largest(&z));
        let params = Params::new(1, &Device::Cpu);
        let fresh = ebr(&params, serde_json::json!({"start": "default"}));
        let seen = fresh.transform(0, &z, Mode::Eval).unwrap().encoding;
        assert!(largest(&(seen - &z).unwrap()) > 0.5);
    }

    /// The slope is that of psi's logits by differences.
    #[test]
    fn the_gradient_penalty_is_the_squared_slope_of_the_logits() {
        let params = Params::new(1, &Device::Cpu);
        let ebr = ebr(&params, serde_json::json!({}));
        let g: Vec<f32> = Stream::new(5, "g").uniform_vec(8, -3.0, 3.0);
        let margin = |g: &[f32]| -> f32 {
            let g = Tensor::from_slice(g, (1, 8), &Device::Cpu).unwrap();
            let logits: Vec<Vec<f32>> = ebr.psi.forward(&g).unwrap().to_vec2().unwrap();
            logits[0][1] - logits[0][0]
        };
        let by_differences: f32 = (0..8)
            .map(|i| {
                let moved = |by: f32| {
                    let mut g = g.clone();
                    g[i] += by;
                    margin(&g)
                };
                ((moved(1e-2) - moved(-1e-2)) / 2e-2).powi(2)
            })
            .sum();
        let g = Tensor::from_vec(g, (1, 8), &Device::Cpu).unwrap();
        let slope: f32 = ebr.psi.squared_slope(&g, 1).unwrap().to_scalar().unwrap();
        assert!(
            (slope - by_differences).abs() < 1e-3 * by_differences.max(1e-3),
            "{slope} {by_differences}"
        );
    }

    #[test]
    fn stand_ins_replace_the_drawn_share_by_a_decoded_latent() {
        let params = Params::new(1, &Device::Cpu);
        let n = 400;
        let run = |stand_in_present: bool| {
            let ebr = ebr(
                &params_like(&params),
                serde_json::json!({"stand_ins": 0.3, "stand_in_present": stand_in_present}),
            );
            let z = [some(n), some(n)];
            let reallocated = [0, 1].map(|m| ebr.transform(m, &z[m], Mode::Eval).unwrap());
            let latent = |m: usize| Latent {
                rows: (0..n).collect(),
                g: reallocated[m].latent.clone().unwrap(),
                encoded: z[m].clone(),
            };
            let mut encodings = Encodings {
                z: [0, 1].map(|m| reallocated[m].encoding.clone()).to_vec(),
                tokens: Some(
                    [0, 1]
                        .map(|m| Sequence::single(&reallocated[m].encoding).unwrap())
                        .to_vec(),
                ),
                inputs: None,
                latents: vec![Some(latent(0)), Some(latent(1))],
                // The first half lacks the second modality, and has nothing to spare.
                present: Presence::from_fn(n, 2, |i, m| m == 0 || i >= n / 2),
            };
            let before = encodings.z.clone();
            ebr.stand_in(&mut encodings, Mode::Train { seed: 2, step: 7 }).unwrap();
            let decoded = ebr.decode(1, &latent(0).g).unwrap().unwrap();
            (before, decoded, encodings)
        };
        let (before, decoded, after) = run(true);
        let row = |x: &Tensor, i: usize| -> Vec<f32> { x.get(i).unwrap().to_vec1().unwrap() };
        let replaced: Vec<usize> = (0..n).filter(|&i| row(&before[1], i) != row(&after.z[1], i)).collect();
        assert!(replaced.iter().all(|&i| i >= n / 2), "{replaced:?}");
        for &i in &replaced {
            assert_eq!(row(&after.z[1], i), row(&decoded, i));
            let token = after.tokens().unwrap()[1].values.get(i).unwrap();
            assert_eq!(row(&token, 0), row(&decoded, i));
        }
        // Half of three tenths of 200; four standard deviations are 20.
        assert!(replaced.len().abs_diff(30) < 20, "{}", replaced.len());
        assert_eq!(after.present.rows(1).len(), n / 2);
        let (_, _, marked) = run(false);
        assert_eq!(marked.present.rows(1).len(), n / 2 - replaced.len());
    }

    fn params_like(params: &Params) -> Params {
        Params::new(params.seed(), &Device::Cpu)
    }
}
