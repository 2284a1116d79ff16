//! Metrics: what a number measures, and how it is named, scaled and explained.
//!
//! A new metric is one entry in [`METRICS`]. One that is measured of a trained model's representation is that entry and a
//! function in `mmcollapse-probes`: [`Definition::measured`] joins the two.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use mmcollapse_probes::{self as probes, Reading, Representation};
use serde::{Deserialize, Serialize};

use crate::manipulation::{CONTROL, REALLOCATED};
use crate::{NEURONS_MEASURE, ProtocolKind, Split, UnknownName, row::NONE};

/// What stands for the modality, pattern, count or loss term in a [`Definition::key`].
const HOLE: &str = "{}";

/// What the numbers of a metric are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Shares in [0, 1], shown in percent.
    Share,
    /// Differences of shares, shown in points.
    Points,
    /// Nats of a loss term.
    Loss,
    /// Nats of anything else.
    Nats,
    /// Numbers without a unit.
    Number,
}

impl Unit {
    /// What a number is multiplied with before it is shown.
    pub fn scale(self) -> f64 {
        match self {
            Self::Share | Self::Points => 100.0,
            Self::Loss | Self::Nats | Self::Number => 1.0,
        }
    }
}

/// Which numbers are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Larger ones.
    Higher,
    /// Smaller ones.
    Lower,
    /// Neither.
    Neither,
}

/// How a metric is measured of what a trained model makes of the test samples.
#[derive(Clone, Copy, Debug)]
pub enum Measured {
    /// Of all modalities together.
    Whole(fn(&Representation) -> Reading),
    /// Of each modality, which fills the hole of the key.
    Each(fn(&Representation, usize) -> Reading),
    /// Of the fusion's neurons: what the paper explains collapse by. Only where an experiment asks for it.
    Mechanism(fn(&Representation) -> Reading),
    /// Of the fusion's weights, by models trained to read them; `mmcollapse-models` has them. Only where an experiment asks for it.
    Weights,
    /// Of each encoder, by a linear probe fitted to its encodings of the training samples; `mmcollapse-models` has it. Only where an
    /// experiment asks for it.
    Encoder,
    /// Of what the cell's reallocation has trained, by models fitted to it; `mmcollapse-models` has them. Every cell with a
    /// reallocation has it, for which it may not be defined.
    Manipulation,
}

/// A metric, or a family of metrics that differ in the modality, pattern, count or loss term.
#[derive(Debug)]
pub struct Definition {
    /// Key in files; `{}` stands for the modality, pattern, count or loss term.
    pub key: &'static str,
    /// Name in tables and figures, with the unit.
    pub title: &'static str,
    /// What the numbers are.
    pub unit: Unit,
    /// Which numbers are better.
    pub better: Better,
    /// The least and the largest number there can be, where there is one.
    pub range: (Option<i32>, Option<i32>),
    /// The samples it is measured on.
    pub split: Split,
    /// A sentence for captions, with a space in front; empty where the title says it all.
    pub explanation: &'static str,
    /// How it is measured of a representation. None where the protocol itself scores it.
    pub measured: Option<Measured>,
    /// Key of the metric that says what it would be if nothing were behind it: drawn in the same panel.
    pub null: Option<&'static str>,
    /// Raised when the same model gets other numbers, so that they are measured anew from its weights. A new measure starts
    /// at 1; those that every outcome has, whether or not it says so, stand at 0.
    pub revision: u32,
}

impl Definition {
    /// Whether it says something of a run that trained to its end alone: ranks, similarities and what is read along training,
    /// not scores and losses. Nothing is decided by it where too many runs diverged.
    pub fn needs_whole_runs(&self) -> bool {
        self.measured.is_some() || (self.unit == Unit::Number && self.split == Split::Train)
    }
}

const fn share(key: &'static str, title: &'static str) -> Definition {
    Definition {
        key,
        title,
        unit: Unit::Share,
        better: Better::Higher,
        range: (Some(0), Some(1)),
        split: Split::Test,
        explanation: "",
        measured: None,
        null: None,
        revision: 0,
    }
}

const fn number(key: &'static str, title: &'static str, range: (Option<i32>, Option<i32>)) -> Definition {
    Definition {
        key,
        title,
        unit: Unit::Number,
        better: Better::Neither,
        range,
        split: Split::Test,
        explanation: "",
        measured: None,
        null: None,
        revision: 0,
    }
}

const fn whole(key: &'static str, title: &'static str, least: i32, of: fn(&Representation) -> Reading) -> Definition {
    Definition {
        measured: Some(Measured::Whole(of)),
        ..number(key, title, (Some(least), None))
    }
}

const fn manipulation(key: &'static str, title: &'static str, range: (Option<i32>, Option<i32>)) -> Definition {
    Definition {
        measured: Some(Measured::Manipulation),
        revision: 1,
        ..number(key, title, range)
    }
}

const fn weights(key: &'static str, title: &'static str) -> Definition {
    Definition {
        unit: Unit::Nats,
        better: Better::Lower,
        measured: Some(Measured::Weights),
        revision: 1,
        ..number(key, title, (Some(0), None))
    }
}

const fn encoder(key: &'static str, title: &'static str) -> Definition {
    Definition {
        measured: Some(Measured::Encoder),
        revision: 1,
        ..share(key, title)
    }
}

const fn mechanism(
    key: &'static str,
    title: &'static str,
    (unit, range): (Unit, (Option<i32>, Option<i32>)),
    of: fn(&Representation) -> Reading,
) -> Definition {
    Definition {
        unit,
        measured: Some(Measured::Mechanism(of)),
        revision: 1,
        ..number(key, title, range)
    }
}

/// Of what is measured of the fusion layer along the training.
const fn late_rank(key: &'static str, title: &'static str) -> Definition {
    Definition {
        split: Split::Train,
        ..number(key, title, (Some(1), None))
    }
}

/// Shares of neurons or of pairs.
const SHARES: (Unit, (Option<i32>, Option<i32>)) = (Unit::Share, (Some(0), Some(1)));

/// Differences of such shares.
const POINTS: (Unit, (Option<i32>, Option<i32>)) = (Unit::Points, (Some(-1), Some(1)));

/// Rises of a cross-entropy.
const RISES: (Unit, (Option<i32>, Option<i32>)) = (Unit::Nats, (None, None));

const MIXING: &str = " A neuron mixes modalities if at least two hold a tenth of its attribution each: of its response to planted \
                      features where they are known, else of weight times activation.";

const POLYSEMANTICITY: &str = " A classifier learns to tell the modality from the weights of small models of one modality; entropy of \
                               what it says of the fusion's neurons, at most ln m. None where it tells fewer than 90 % of unseen weights, \
                               or does not follow mixtures of them.";

const LEADING: &str =
    " Mean over the live fusion neurons of the largest share that a modality holds of a neuron's attribution.";

const RESPONSE: &str = " Attribution: mean squared derivative of a fusion neuron along a planted feature's direction, times the \
                        feature's variance.";

const RISE: &str = " Contribution: rise of the test cross-entropy when the feature alone is permuted over the samples.";

const DISTANCE: &str = " Frobenius distance of W^T W from the average gradient outer product, each scaled to norm 1: at most √2. With distance d the cosine \
                        of both is 1 - d²/2.";

const ALONG: &str = " Effective rank of G^T G, G the fusion layer's gradient over all training samples: like the AGOP a matrix of second moments; mean over the last third of the points \
                     along training.";

const PROBE: &str = " Cross-entropy of a linear probe on the frozen encoder: inside the model (the prefix) or trained alone (the \
                     baseline).";

/// Every metric. `{}` in a title is the modality, pattern, count or loss term, with spaces for underscores.
pub static METRICS: &[Definition] = &[
    share("accuracy", "test accuracy (%)"),
    share("accuracy_complete", "test accuracy complete (%)"),
    share("accuracy_only_{}", "test accuracy only {} (%)"),
    share("accuracy_with_{}", "test accuracy with {} (%)"),
    share("accuracy_of_{}", "test accuracy with any {} of the modalities (%)"),
    Definition {
        better: Better::Lower,
        ..share("accuracy_spread", "test accuracy spread (%)")
    },
    share("auroc", "test AUROC (%)"),
    share("auroc_complete", "test AUROC complete (%)"),
    share("auroc_only_{}", "test AUROC only {} (%)"),
    share("auroc_with_{}", "test AUROC with {} (%)"),
    share("auroc_of_{}", "test AUROC with any {} of the modalities (%)"),
    Definition {
        better: Better::Lower,
        ..share("auroc_spread", "test AUROC spread (%)")
    },
    share("auprc", "test AUPRC (%)"),
    share("average_precision", "test average precision (%)"),
    Definition {
        better: Better::Lower,
        ..number("brier", "brier", (Some(0), Some(1)))
    },
    Definition {
        better: Better::Lower,
        ..number("calibration_error", "calibration error", (Some(0), Some(1)))
    },
    // Of the validation split, scored with the modalities that a test sample has: settings are chosen by it.
    Definition {
        split: Split::Validation,
        ..share("as_tested", "validation quality as tested (%)")
    },
    Definition {
        better: Better::Lower,
        unit: Unit::Points,
        range: (Some(-1), Some(1)),
        explanation: " Gap: quality of a linear probe on the encoder trained alone (the baseline) less that of one on the encoder \
                      inside the model (the prefix), in points; eliminated: the modality whose gap is widest on validation.",
        ..share("gap_{}", "gap of the {} modality (points)")
    },
    Definition {
        unit: Unit::Loss,
        better: Better::Lower,
        split: Split::Train,
        ..number("loss_{}", "{} loss (nats)", (None, None))
    },
    Definition {
        unit: Unit::Nats,
        better: Better::Lower,
        split: Split::Train,
        explanation: " Lowest mean of the semantic loss over an epoch of training: of the whole model (the prefix), or of the first \
                      modality's encoder trained alone (the baseline).",
        ..number("lowest_loss_{}", "lowest training loss, {} (nats)", (Some(0), None))
    },
    Definition {
        unit: Unit::Nats,
        better: Better::Lower,
        explanation: PROBE,
        ..number("probe_prefix_{}", "prefix's probe, {} modality (nats)", (Some(0), None))
    },
    Definition {
        unit: Unit::Nats,
        better: Better::Lower,
        explanation: PROBE,
        ..number(
            "probe_baseline_{}",
            "baseline's probe, {} modality (nats)",
            (Some(0), None),
        )
    },
    whole("rank_numerical", "numerical rank", 0, probes::rank_numerical),
    whole("rank_effective", "effective rank", 0, probes::rank_effective),
    whole("rank_stable", "stable rank", 0, probes::rank_stable),
    Definition {
        measured: Some(Measured::Each(probes::cka)),
        ..number("cka_{}", "CKA with {}", (Some(0), Some(1)))
    },
    Definition {
        measured: Some(Measured::Each(probes::cosine)),
        ..number("cosine_{}", "cosine with {} alone", (Some(-1), Some(1)))
    },
    Definition {
        explanation: " Of the fused features over the test samples; features that do not vary and combinations of others are left \
                      out.",
        ..whole("vif_mean", "mean variance inflation factor", 1, probes::vif_mean)
    },
    whole("vif_collinear", "collinear fused features", 0, probes::vif_collinear),
    Definition {
        better: Better::Higher,
        explanation: " Held-out cross-entropy of a modality discriminator fitted afresh to the frozen latents, as a share of that of \
                      a guess (ln m): from .9 on the modalities count as confused.",
        ..manipulation(
            "confusion",
            "confusion of the modalities (share of a guess)",
            (Some(0), None),
        )
    },
    Definition {
        explanation: " The control of the check: the same with the modalities of the latents shuffled.",
        ..manipulation("confusion_shuffled", "confusion, modalities shuffled", (Some(0), None))
    },
    Definition {
        better: Better::Higher,
        unit: Unit::Share,
        explanation: " Of a linear probe on the frozen latents of the modality.",
        ..manipulation("latent_{}", "label probe on the latents of {} (%)", (Some(0), Some(1)))
    },
    Definition {
        better: Better::Higher,
        explanation: " Of the distilled encoder with its teachers', mean over teachers.",
        ..manipulation("teacher_cka", "CKA of student and teacher", (Some(0), Some(1)))
    },
    Definition {
        better: Better::Lower,
        revision: 2, // a temperature that is learnt
        explanation: " Held-out cross-entropy of finding a sample's encoding by the teacher from that by the distilled encoder, by \
                      embeddings fitted afresh, as a share of that of a guess.",
        ..manipulation(
            "teacher_contrast",
            "contrast with teachers (share of a guess)",
            (Some(0), None),
        )
    },
    Definition {
        explanation: POLYSEMANTICITY,
        null: Some("polysemanticity_mixed"),
        ..weights(
            "polysemanticity",
            "entropy over modalities of a neuron's weights (nats)",
        )
    },
    weights("polysemanticity_mixed", "the same of even mixtures (nats)"),
    Definition {
        explanation: " Cross-entropy of the same against the modality with the largest weights.",
        ..weights(
            "polysemanticity_block",
            "cross-entropy against the largest weights (nats)",
        )
    },
    Definition {
        unit: Unit::Share,
        better: Better::Higher,
        range: (Some(0), Some(1)),
        ..weights("polysemanticity_told", "unseen weights told apart (%)")
    },
    Definition {
        explanation: MIXING,
        ..mechanism(
            "mixing_neurons",
            "neurons that mix modalities (%)",
            SHARES,
            probes::mixing_neurons,
        )
    },
    Definition {
        explanation: LEADING,
        ..mechanism(
            NEURONS_MEASURE,
            "share of the leading modality (%)",
            SHARES,
            probes::leading_modality,
        )
    },
    mechanism(
        "mixing_neurons_5",
        "mixing neurons, from 5 % (%)",
        SHARES,
        probes::mixing_neurons_5,
    ),
    mechanism(
        "mixing_neurons_20",
        "mixing neurons, from 20 % (%)",
        SHARES,
        probes::mixing_neurons_20,
    ),
    mechanism(
        "mixing_neurons_integrated",
        "mixing neurons by integrated gradients (%)",
        SHARES,
        probes::mixing_neurons_integrated,
    ),
    Definition {
        better: Better::Higher,
        explanation: RESPONSE,
        ..mechanism(
            "monosemantic_neurons",
            "neurons of one feature, from 90 % (%)",
            SHARES,
            probes::monosemantic_neurons,
        )
    },
    Definition {
        better: Better::Higher,
        ..mechanism(
            "monosemantic_neurons_80",
            "neurons of one feature, from 80 % (%)",
            SHARES,
            probes::monosemantic_neurons_80,
        )
    },
    Definition {
        better: Better::Higher,
        ..mechanism(
            "monosemantic_neurons_50",
            "neurons of one feature, from 50 % (%)",
            SHARES,
            probes::monosemantic_neurons_50,
        )
    },
    Definition {
        better: Better::Higher,
        explanation: " A feature and its copy in another modality count as one.",
        ..mechanism(
            "monosemantic_meanings_50",
            "neurons of one meaning, from 50 % (%)",
            SHARES,
            probes::monosemantic_meanings_50,
        )
    },
    Definition {
        explanation: " Crossing pair: two features of a neuron, drawn by attribution, of two modalities; null: drawn evenly.",
        null: Some("crossing_random"),
        ..mechanism(
            "crossing_observed",
            "crossing pairs (%)",
            SHARES,
            probes::crossing_observed,
        )
    },
    mechanism(
        "crossing_random",
        "crossing pairs, drawn evenly (%)",
        SHARES,
        probes::crossing_random,
    ),
    Definition {
        explanation: " Excess: less the mean with features of one role exchanged between modalities at random, 200 times. A network that \
                      responds to few features crosses more often than evenly drawn pairs do, whosesoever they are.",
        ..mechanism(
            "crossing_excess",
            "crossing pairs, excess (points)",
            POINTS,
            probes::crossing_excess,
        )
    },
    Definition {
        explanation: " ln of the mass of pairs of a noisy and a predictive feature of two modalities over that of two predictive \
                      ones. Excess: less its mean with roles permuted within each modality.",
        ..mechanism(
            "role_odds_excess",
            "log-odds of noise with prediction, excess",
            (Unit::Number, (None, None)),
            probes::role_odds_excess,
        )
    },
    Definition {
        explanation: " Where: of each feature's attribution only where it sits counts, not how much of it there is; pairs that the label \
                      ties together do not count.",
        revision: 2, // the null left fewer pairs out than what it was compared with
        ..mechanism(
            "role_places_excess",
            "log-odds of where noise sits, excess",
            (Unit::Number, (None, None)),
            probes::role_places_excess,
        )
    },
    Definition {
        explanation: " With tied: the same log-odds, pairs that the label ties together counted.",
        ..mechanism(
            "role_places_tied_excess",
            "where noise sits, tied pairs counted, excess",
            (Unit::Number, (None, None)),
            probes::role_places_tied_excess,
        )
    },
    Definition {
        explanation: RISE,
        ..mechanism(
            "contribution_predictive",
            "contribution of predictive features (nats)",
            RISES,
            probes::contribution_predictive,
        )
    },
    Definition {
        explanation: RISE,
        ..mechanism(
            "contribution_conjugate",
            "contribution of conjugate features (nats)",
            RISES,
            probes::contribution_conjugate,
        )
    },
    mechanism(
        "contribution_noise",
        "contribution of noise features (nats)",
        RISES,
        probes::contribution_noise,
    ),
    Definition {
        explanation: " Cost of noise: fall of the test cross-entropy when all noise features are set to 0; above 0 noise reaches the output.",
        ..mechanism("noise_cost", "cost of noise (nats)", RISES, probes::noise_cost)
    },
    Definition {
        explanation: " Capacity of a feature: 1 if no other shares its direction in the fused representation, 0 if nothing represents it.",
        ..mechanism(
            "capacity_predictive",
            "capacity of predictive and conjugate features",
            (Unit::Number, (Some(0), Some(1))),
            probes::capacity_predictive,
        )
    },
    mechanism(
        "capacity_noise",
        "capacity of noise features",
        (Unit::Number, (Some(0), Some(1))),
        probes::capacity_noise,
    ),
    Definition {
        explanation: DISTANCE,
        null: Some("agop_distance_rotated"),
        ..mechanism(
            "agop_distance",
            "distance from the AGOP",
            (Unit::Number, (Some(0), None)),
            probes::agop_distance,
        )
    },
    mechanism(
        "agop_distance_rotated",
        "distance from the AGOP, rotated",
        (Unit::Number, (Some(0), None)),
        probes::agop_distance_rotated,
    ),
    mechanism(
        "agop_distance_excess",
        "distance, less that of rotated weights",
        (Unit::Number, (None, None)),
        probes::agop_distance_excess,
    ),
    Definition {
        explanation: " Squared maximum mean discrepancy of the encodings of two modalities, the mean over pairs of modalities; Gaussian \
                      kernel, its width the median distance.",
        ..mechanism(
            "encodings_mmd",
            "discrepancy of the modalities' encodings (MMD²)",
            (Unit::Number, (None, Some(2))),
            probes::encodings_mmd,
        )
    },
    Definition {
        explanation: ALONG,
        ..late_rank("gradient_rank", "effective rank of the late gradient")
    },
    late_rank("agop_rank", "effective rank of the late AGOP"),
    late_rank("gradient_rank_numerical", "numerical rank of the late gradient"),
    late_rank("gradient_rank_stable", "stable rank of the late gradient"),
    late_rank("agop_rank_numerical", "numerical rank of the late AGOP"),
    late_rank("agop_rank_stable", "stable rank of the late AGOP"),
    Definition {
        explanation: " Standard deviation over its mean of the gradient's effective rank, over the last third of the points along \
                      training.",
        split: Split::Train,
        ..number(
            "gradient_rank_variation",
            "variation of the late gradient rank",
            (Some(0), None),
        )
    },
    Definition {
        split: Split::Train,
        ..number(
            "rank_ratio",
            "rank of the gradient over that of the AGOP",
            (Some(0), None),
        )
    },
    // Of a run and its control: a report works it out.
    number(REALLOCATED, "reallocated (1: the check passes)", (Some(0), Some(1))),
    number(CONTROL, "control of a check", (Some(0), Some(1))),
    Definition {
        split: Split::Train,
        ..number("plateaus", "plateaus of the semantic loss", (Some(0), None))
    },
    Definition {
        better: Better::Lower,
        split: Split::Train,
        ..number("epochs_to_90", "epochs until 90 % of the fall", (Some(1), None))
    },
    Definition {
        explanation: " Accuracy (AUROC with two classes) of a linear probe fitted to the frozen encoder's encodings of the training \
                      samples: what it has learnt, whether or not the fusion uses it.",
        ..encoder("encoder_{}", "linear probe of the {} encoder (%)")
    },
    Definition {
        explanation: " Mean over the modalities of the accuracy (AUROC with two classes) of a linear probe fitted to the frozen encoder's \
                      encodings of the training samples.",
        ..encoder("encoders", "linear probes of the encoders (%)")
    },
];

impl Definition {
    /// The metrics that are measured of a representation.
    pub fn of_representation() -> impl Iterator<Item = &'static Self> {
        METRICS.iter().filter(|definition| definition.measured.is_some())
    }

    /// Those that a cell of this protocol and reallocation has: the protocol's own, those asked for by key, and what checks a
    /// reallocation where there is one.
    pub fn measured_in(
        protocol: ProtocolKind,
        reallocation: &str,
        asked: &[String],
    ) -> impl Iterator<Item = &'static Self> {
        let is_asked = |key: &str| asked.iter().any(|asked| asked == key);
        Self::of_representation()
            .filter(move |definition| definition.is_of(reallocation))
            .filter(move |definition| {
                let own = protocol.measures_representation() && !definition.is_asked_for();
                definition.is_check() || own || is_asked(definition.key)
            })
    }

    /// Whether it checks what a reallocation has done.
    pub fn is_check(&self) -> bool {
        matches!(self.measured, Some(Measured::Manipulation))
    }

    /// Whether only an experiment that asks for it has it.
    pub(crate) fn is_asked_for(&self) -> bool {
        matches!(
            self.measured,
            Some(Measured::Mechanism(_) | Measured::Weights | Measured::Encoder)
        )
    }

    /// Whether it is measured of runs with this reallocation: where there is none, there is nothing to check.
    pub fn is_of(&self, reallocation: &str) -> bool {
        !self.is_check() || reallocation != NONE
    }

    /// The key with `of` in its hole.
    pub fn key_of(&self, of: &str) -> String {
        self.key.replace(HOLE, of)
    }

    /// The part of `key` that fills the hole, empty where there is none; nothing if it is another metric's key.
    fn hole(&self, key: &str) -> Option<Range<usize>> {
        let Some((before, after)) = self.key.split_once(HOLE) else {
            return (self.key == key).then_some(0..0);
        };
        let filled = key.strip_prefix(before)?.strip_suffix(after)?;
        (!filled.is_empty()).then(|| before.len()..before.len() + filled.len())
    }
}

/// A metric of [`METRICS`], of one modality, pattern, count or loss term where it is measured by those.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Metric {
    key: Arc<str>,
    hole: Range<usize>,
    definition: &'static Definition,
}

impl Metric {
    /// Key in files: `accuracy_only_image`.
    pub fn as_str(&self) -> &str {
        &self.key
    }

    /// What it is; title, unit, direction and range stand there.
    pub fn definition(&self) -> &'static Definition {
        self.definition
    }

    /// What it would be if nothing were behind it, where that is measured.
    pub fn null(&self) -> Option<Self> {
        self.definition.null?.parse().ok()
    }

    /// The modality, pattern, count or loss term that it is of.
    pub fn of(&self) -> Option<&str> {
        Some(&self.key[self.hole.clone()]).filter(|of| !of.is_empty())
    }

    /// Whether models are compared by it: not where each model's number is of the modality that this model has lost.
    pub fn compares_models(&self) -> bool {
        self.of() != Some("eliminated")
    }

    /// Name in tables and figures, with the unit: `test accuracy (%)`, `effective rank`.
    pub fn title(&self) -> String {
        let of = self.of().unwrap_or_default().replace('_', " ");
        self.definition.title.replace(HOLE, &of)
    }

    /// Name in running text: `AUROC only labs`.
    pub fn words(&self) -> String {
        words(&self.key)
    }

    /// What the numbers are.
    pub fn unit(&self) -> Unit {
        self.definition.unit
    }

    /// Whether it is shown in percent or points.
    pub fn is_share(&self) -> bool {
        matches!(self.unit(), Unit::Share | Unit::Points)
    }

    /// Whether two numbers are compared by their ratio: ranks and variance inflation, whose size says little by itself.
    pub fn is_compared_as_ratio(&self) -> bool {
        let ratios = [
            "rank_numerical",
            "rank_effective",
            "rank_stable",
            "vif_mean",
            "gradient_rank",
            "gradient_rank_numerical",
            "gradient_rank_stable",
            "agop_rank",
            "agop_rank_numerical",
            "agop_rank_stable",
            "rank_ratio",
        ];
        ratios.contains(&self.definition.key)
    }

    /// Whether it is a term of the loss.
    pub fn is_loss(&self) -> bool {
        self.unit() == Unit::Loss
    }

    /// What a number is multiplied with before it is shown.
    pub fn scale(&self) -> f64 {
        self.unit().scale()
    }

    /// The least and the largest number that can be shown, scaled.
    pub fn range(&self) -> (Option<f64>, Option<f64>) {
        let shown = |end: Option<i32>| end.map(|end| f64::from(end) * self.scale());
        let (low, high) = self.definition.range;
        (shown(low), shown(high))
    }
}

/// A key as it is spoken of: `auroc_only_labs` as `AUROC only labs`.
pub fn words(key: &str) -> String {
    let words = key.replace('_', " ");
    words.replace("auroc", "AUROC").replace("auprc", "AUPRC")
}

impl FromStr for Metric {
    type Err = UnknownName;

    fn from_str(key: &str) -> Result<Self, UnknownName> {
        // A key without a hole is nobody's family, and of two families the one that says more is meant.
        let of = |definition: &'static Definition| Some((definition, definition.hole(key)?));
        let found = METRICS.iter().filter_map(of).min_by_key(|(_, hole)| hole.len());
        let (definition, hole) = found.ok_or_else(|| UnknownName {
            what: "metric",
            got: key.to_owned(),
            known: METRICS.iter().map(|metric| metric.key).collect::<Vec<_>>().join(", "),
        })?;
        Ok(Self {
            key: key.into(),
            hole,
            definition,
        })
    }
}

impl TryFrom<String> for Metric {
    type Error = UnknownName;

    fn try_from(key: String) -> Result<Self, UnknownName> {
        key.parse()
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.key.as_ref().to_owned()
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.key)
    }
}

impl fmt::Debug for Metric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.key, formatter)
    }
}

impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Metric {}

impl PartialEq<str> for Metric {
    fn eq(&self, key: &str) -> bool {
        *self.key == *key
    }
}

impl PartialEq<&str> for Metric {
    fn eq(&self, key: &&str) -> bool {
        *self.key == **key
    }
}

impl PartialOrd for Metric {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Metric {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl Hash for Metric {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl Borrow<str> for Metric {
    fn borrow(&self) -> &str {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(key: &str) -> Metric {
        key.parse().unwrap()
    }

    #[test]
    fn scores_and_losses_stand_where_runs_diverged() {
        let needs = |key: &str| metric(key).definition().needs_whole_runs();
        for key in [
            "accuracy",
            "accuracy_of_1",
            "auroc",
            "brier",
            "calibration_error",
            "loss_semantic",
        ] {
            assert!(!needs(key), "{key}");
        }
        for key in [
            "rank_effective",
            "cka_sound",
            "gradient_rank",
            "agop_rank",
            "rank_ratio",
            "plateaus",
        ] {
            assert!(needs(key), "{key}");
        }
    }

    #[test]
    fn metrics_have_units_and_titles() {
        for (key, unit, title) in [
            ("accuracy", Unit::Share, "test accuracy (%)"),
            ("accuracy_only_image", Unit::Share, "test accuracy only image (%)"),
            ("auroc_only_labs", Unit::Share, "test AUROC only labs (%)"),
            ("auroc_of_2", Unit::Share, "test AUROC with any 2 of the modalities (%)"),
            (
                "accuracy_with_labs+notes",
                Unit::Share,
                "test accuracy with labs+notes (%)",
            ),
            ("average_precision", Unit::Share, "test average precision (%)"),
            ("brier", Unit::Number, "brier"),
            ("loss_semantic", Unit::Loss, "semantic loss (nats)"),
            ("rank_effective", Unit::Number, "effective rank"),
            ("cka_sound", Unit::Number, "CKA with sound"),
            ("cosine_sound", Unit::Number, "cosine with sound alone"),
            ("gap_first", Unit::Points, "gap of the first modality (points)"),
            (
                "probe_prefix_first",
                Unit::Nats,
                "prefix's probe, first modality (nats)",
            ),
            ("loss_cross_modal", Unit::Loss, "cross modal loss (nats)"),
        ] {
            let metric = metric(key);
            assert_eq!(
                (metric.unit(), metric.title().as_str(), metric.as_str()),
                (unit, title, key)
            );
        }
        assert_eq!(metric("accuracy_only_a_b").of(), Some("a_b"));
        let ratios = METRICS.iter().filter(|m| metric(&m.key_of("a")).is_compared_as_ratio());
        assert_eq!(ratios.count(), 11, "nine ranks, a ratio of ranks and a factor");
        assert_eq!(metric("accuracy_complete").of(), None);
        assert_eq!(metric("accuracy").range(), (Some(0.0), Some(100.0)));
        for unknown in ["", "exactness", "accuracy_", "accuracy_only_", "loss_"] {
            assert!(unknown.parse::<Metric>().is_err(), "{unknown}");
        }
    }

    #[test]
    fn each_entry_is_reached_by_its_key() {
        for definition in METRICS {
            let metric = metric(&definition.key.replace(HOLE, "x"));
            assert_eq!(metric.definition().key, definition.key);
            assert_eq!(definition.key.contains(HOLE), definition.title.contains(HOLE));
            assert_eq!(metric.of(), definition.key.contains(HOLE).then_some("x"));
        }
    }
}
