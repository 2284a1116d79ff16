//! The rule by which a modality is called neglected. All of it is in this file.
//!
//! A *source* is a modality's encoder inside the model, or a model of that modality alone. A *destination* is the fused
//! representation, or the model's output. Opinions are logits: of linear probes, or the model's own. For each pair:
//!
//! - **information** of the source: cross-entropy of the class frequencies less that of the source's opinion, in nats a sample;
//! - **gain**: cross-entropy of the destination's opinion less that of the pool of both ([`crate::pool`]), each with an offset of
//!   each class that is fitted. It is what the source knows of the label and the destination does not say, and no more: a
//!   destination that favours a class lacks nothing;
//! - **learning**: cross-entropy of the destination's probe of half the samples less that of its probe of all, both scaled alike. About as much
//!   would more samples bring ([excess loss falls as 1 / n]), so as much of a gain may be the probe's own fault;
//! - **unused share**: (gain - learning) / information.
//!
//! A modality is **neglected** if, for a pair, it is certain that its source is informative and that more than [`MARGIN`] of its
//! information is unused: both p of the bootstrap over samples, and the permutation p of the information, are at most
//! [`LEVEL`] after Holm's correction over all pairs of all modalities. It is **uninformative** if no source of it is informative by itself.
//! Otherwise it is **kept** if the interval of each unused share of an informative source lies below [`TOLERATED`], and **undecided** if
//! not. A source that tells nothing has nothing that could be unused.
//!
//! Where the output uses what the encoder knows (less than [`MARGIN`] unused, its interval below [`TOLERATED`]), the pairs of the
//! fused representation do not count: a head may read what a linear probe cannot.
//!
//! A modality is **redundant** if the other encoders know what its sources know: the interval of what each adds to them lies below
//! [`MARGIN`] of its information.
//!
//! [excess loss falls as 1 / n]: https://en.wikipedia.org/wiki/Akaike_information_criterion

use mmcollapse_probes::holm;
use serde::Serialize;

use crate::error::Result;
use crate::pool::Pool;
use crate::probe::{Probed, losses};
use crate::resample::{Column, Columns, Estimated, Means, Resampled};
use crate::rows::Rows;

/// Share of a modality's information that may be unused before it counts as neglected.
pub const MARGIN: f64 = 0.1;

/// Share below which the interval must lie for a modality to count as kept.
pub const TOLERATED: f64 = 0.25;

/// Chance of a false alarm on any modality of a model.
pub const LEVEL: f64 = 0.05;

/// What is said of a modality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Its information does not reach the prediction.
    Neglected,
    /// What it knows is in the fused representation and the output.
    Kept,
    /// Nothing of the label was found in it.
    Uninformative,
    /// The samples do not suffice to say.
    Undecided,
}

/// Where information comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The modality's encoder inside the model.
    Encoder,
    /// A model of the modality alone.
    Alone,
}

/// Where information should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// The fused representation.
    Fused,
    /// The model's logits.
    Output,
}

/// Which part of the model loses information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A model of the modality alone knows what the encoder does not.
    Encoder,
    /// The encoder knows what the fused representation does not.
    Fusion,
    /// The fused representation holds it; the output does not use it.
    Head,
    /// Between encoder and output; the fused representation was not given.
    Model,
}

/// One pair of source and destination.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Test {
    /// Where information comes from.
    pub source: Source,
    /// Where it should be.
    pub destination: Destination,
    /// Whether it is certain that the source knows anything of the label.
    pub informative: bool,
    /// Nats a sample that the source adds to the destination.
    pub gain: Estimated,
    /// Nats a sample that more samples would add to the destination's probe.
    pub learning: f64,
    /// (gain - learning) / information.
    pub unused: Estimated,
    /// Larger p of information and of an unused share above the margin.
    pub p: f64,
    /// The same after Holm's correction over all pairs of all modalities.
    pub p_adjusted: f64,
}

/// Information of one source.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Information {
    /// Of which source.
    pub source: Source,
    /// Nats a sample.
    pub nats: Estimated,
    /// Larger of the bootstrap's p and the permutation's, of no information.
    pub p: f64,
}

/// A pair whose columns are set, before samples are drawn again.
pub(crate) struct Pair {
    pub modality: usize,
    source: Source,
    destination: Destination,
    information: Column,
    gain: Column,
    learning: Option<Column>,
    /// p of the information by permutation.
    permuted: f64,
}

/// Loss of each sample by the class frequencies of the samples that fit.
pub(crate) fn prior(rows: &Rows) -> Vec<f64> {
    let mut counts = vec![0.0; rows.classes.len()];
    for &label in &rows.fit_labels {
        counts[label as usize] += 1.0;
    }
    counts
        .iter()
        .map(|count| libm::log(count / rows.fit_labels.len() as f64))
        .collect()
}

/// Logits less those of the class frequencies: what a source adds to an opinion that knows these already.
pub(crate) fn evidence(logits: &[f64], prior: &[f64]) -> Vec<f64> {
    let of = |row: &[f64]| row.iter().zip(prior).map(|(z, p)| z - p).collect::<Vec<_>>();
    logits.chunks_exact(prior.len()).flat_map(of).collect()
}

/// Logits of one opinion: those of the class frequencies and its evidence beyond them, in the scale that fits best.
pub(crate) fn calibrated(probed: &Probed, rows: &Rows) -> Vec<f64> {
    let prior = prior(rows);
    Pool::scaled(&evidence(&probed.fit, &prior), &rows.fit_labels, &prior)
        .logits(&[&evidence(&probed.evaluate, &prior)])
}

/// An opinion, and the loss of each evaluated sample by it, in the scale and with the offsets that fit best.
pub(crate) struct Stated<'a> {
    probed: &'a Probed,
    pub losses: Vec<f64>,
    /// What it gained from half to all samples that fit; none where nothing was fitted.
    pub learning: Option<Vec<f64>>,
}

impl<'a> Stated<'a> {
    /// Of this opinion.
    pub fn of(probed: &'a Probed, rows: &Rows) -> Self {
        let pool = Pool::fitted(&[&probed.fit], &rows.fit_labels, rows.classes.len());
        let loss = |logits: &Vec<f64>| losses(&pool.logits(&[logits]), &rows.labels, rows.classes.len());
        let whole = loss(&probed.evaluate);
        let learning = probed.halves.as_ref().map(|halves| {
            let [first, second] = halves.each_ref().map(loss);
            let mean: Vec<f64> = first.iter().zip(&second).map(|(a, b)| f64::midpoint(*a, *b)).collect();
            less(&mean, &whole)
        });
        Self {
            probed,
            losses: whole,
            learning,
        }
    }

    /// What `source` adds to it, sample by sample.
    pub fn gain(&self, source: &Probed, rows: &Rows) -> Vec<f64> {
        let (classes, prior) = (rows.classes.len(), prior(rows));
        let added = evidence(&source.fit, &prior);
        let pool = Pool::fitted(&[&self.probed.fit, &added], &rows.fit_labels, classes);
        let added = evidence(&source.evaluate, &prior);
        let both = pool.logits(&[&self.probed.evaluate, &added]);
        less(&self.losses, &losses(&both, &rows.labels, classes))
    }
}

/// Loss of each evaluated sample by the pool of several probes.
pub(crate) fn pooled(of: &[&Probed], rows: &Rows) -> Vec<f64> {
    let prior = prior(rows);
    let fit: Vec<Vec<f64>> = of.iter().map(|probed| evidence(&probed.fit, &prior)).collect();
    let evaluate: Vec<Vec<f64>> = of.iter().map(|probed| evidence(&probed.evaluate, &prior)).collect();
    let borrowed: Vec<&[f64]> = fit.iter().map(Vec::as_slice).collect();
    let pool = Pool::fitted(&borrowed, &rows.fit_labels, prior.len());
    let borrowed: Vec<&[f64]> = evaluate.iter().map(Vec::as_slice).collect();
    losses(&pool.logits(&borrowed), &rows.labels, prior.len())
}

/// A destination.
pub(crate) struct Target<'a> {
    pub of: Destination,
    pub stated: Stated<'a>,
}

/// The difference, sample by sample.
pub(crate) fn less(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// Sets the columns of a pair. `permuted` is the p of the source's information by permutation, `information` its column.
pub(crate) fn pair(
    columns: &mut Columns,
    rows: &Rows,
    (modality, source, probed): (usize, Source, &Probed),
    target: &Target<'_>,
    (information, permuted): (Column, f64),
) -> Pair {
    Pair {
        modality,
        source,
        destination: target.of,
        information,
        gain: columns.add(&target.stated.gain(probed, rows)),
        // A probe that more samples make worse has learnt all it can.
        learning: target
            .stated
            .learning
            .as_ref()
            .filter(|learning| learning.iter().sum::<f64>() > 0.0)
            .map(|learning| columns.add(learning)),
        permuted,
    }
}

/// Columns by which a source of a modality may be redundant.
pub(crate) struct Added {
    pub source: Source,
    pub information: Column,
    /// p of the information by permutation.
    pub permuted: f64,
    /// What the source adds to the probe of the other encoders, in a pool.
    pub gain: Column,
    /// What the probe of all encoders says more than that of the others.
    pub joint: Column,
}

/// Whether the other encoders know what the sources of a modality know. A modality is not redundant where a model of it alone knows what
/// its encoder does not: there the encoder has collapsed, whatever the others know.
pub(crate) fn redundant(of: &[Added], drawn: &Resampled) -> bool {
    let informative = |added: &&Added| {
        let nats = drawn.p_above_zero(|means| means.of(added.information));
        nats.max(added.permuted) <= LEVEL
    };
    let share = |part: Column, of: &Added| {
        let share = move |means: &Means| means.of(part) / means.of(of.information).max(0.0);
        drawn.estimate(share).high
    };
    let known = |added: &Added| share(added.gain, added) <= MARGIN && share(added.joint, added) <= MARGIN;
    let source = |source: Source| of.iter().filter(informative).find(|added| added.source == source);
    let Some(encoder) = source(Source::Encoder) else {
        return false;
    };
    let alone = source(Source::Alone).is_none_or(|alone| {
        let (own, whole) = (encoder.information, alone.information);
        let lacks = drawn.estimate(|means| (means.of(whole) - means.of(own)) / means.of(whole).max(0.0));
        known(alone) && lacks.high < TOLERATED
    });
    known(encoder) && alone
}

/// Judges all pairs of all modalities together.
pub(crate) fn tests(pairs: &[Pair], drawn: &Resampled) -> Result<Vec<Test>> {
    let mut found: Vec<Test> = pairs
        .iter()
        .map(|pair| {
            let learning = |means: &Means| pair.learning.map_or(0.0, |column| means.of(column));
            let lost = |means: &Means| means.of(pair.gain) - learning(means);
            let information = |means: &Means| means.of(pair.information);
            let p_lost = drawn.p_above_zero(|means| lost(means) - MARGIN * information(means));
            let p_information = drawn.p_above_zero(information).max(pair.permuted);
            Test {
                source: pair.source,
                destination: pair.destination,
                informative: p_information <= LEVEL,
                gain: drawn.estimate(|means| means.of(pair.gain)),
                learning: learning(&drawn.whole),
                unused: drawn.estimate(|means| lost(means) / information(means).max(0.0)),
                p: p_lost.max(p_information),
                p_adjusted: 1.0,
            }
        })
        .collect();
    let adjusted = holm(&found.iter().map(|test| test.p).collect::<Vec<_>>())?;
    for (test, adjusted) in found.iter_mut().zip(adjusted) {
        test.p_adjusted = adjusted;
    }
    Ok(found)
}

/// The tests of a modality that count: those of the output alone where it uses what the encoder knows.
pub(crate) fn counted(tests: &[Test]) -> impl Iterator<Item = &Test> + Clone {
    let uses = |test: &Test| test.informative && test.unused.value < MARGIN && test.unused.high < TOLERATED;
    let used = tests
        .iter()
        .any(|test| (test.source, test.destination) == (Source::Encoder, Destination::Output) && uses(test));
    tests
        .iter()
        .filter(move |test| !used || test.destination == Destination::Output)
}

/// Whether a probe of the fused representation misses for certain what the output uses.
pub(crate) fn only_the_output_reads_it(tests: &[Test]) -> bool {
    let missed = |test: &Test| test.destination == Destination::Fused && test.p_adjusted <= LEVEL;
    tests.iter().any(missed) && !counted(tests).any(missed)
}

/// The verdict on a modality, and where its information is lost.
pub(crate) fn judged(tests: &[Test]) -> (Verdict, Option<Place>) {
    let lost = |source: Source, destination: Destination| {
        let of_pair = |test: &&Test| test.source == source && test.destination == destination;
        counted(tests)
            .find(of_pair)
            .is_some_and(|test| test.p_adjusted <= LEVEL)
    };
    let fused_given = tests.iter().any(|test| test.destination == Destination::Fused);
    let place = if lost(Source::Encoder, Destination::Fused) {
        Some(Place::Fusion)
    } else if lost(Source::Encoder, Destination::Output) {
        Some(if fused_given { Place::Head } else { Place::Model })
    } else if lost(Source::Alone, Destination::Fused) || lost(Source::Alone, Destination::Output) {
        Some(Place::Encoder)
    } else {
        None
    };
    let verdict = if place.is_some() {
        Verdict::Neglected
    } else if !tests.iter().any(|test| test.informative) {
        Verdict::Uninformative
    } else if counted(tests).all(|test| !test.informative || test.unused.high < TOLERATED) {
        Verdict::Kept
    } else {
        Verdict::Undecided
    };
    (verdict, place)
}

#[cfg(test)]
mod tests_of_the_rule {
    use super::*;

    fn test(source: Source, destination: Destination, p_adjusted: f64, high: f64) -> Test {
        let estimated = |value| Estimated {
            value,
            low: value,
            high,
        };
        Test {
            source,
            destination,
            informative: true,
            gain: estimated(0.0),
            learning: 0.0,
            unused: estimated(high),
            p: p_adjusted,
            p_adjusted,
        }
    }

    #[test]
    fn where_information_is_lost_is_the_first_place_that_lacks_it() {
        use Destination::{Fused, Output};
        use Source::{Alone, Encoder};
        let (sure, not) = (0.01, 0.2);
        let fusion = [test(Encoder, Fused, sure, 0.5), test(Encoder, Output, sure, 0.5)];
        assert_eq!(judged(&fusion), (Verdict::Neglected, Some(Place::Fusion)));
        let head = [test(Encoder, Fused, not, 0.1), test(Encoder, Output, sure, 0.5)];
        assert_eq!(judged(&head), (Verdict::Neglected, Some(Place::Head)));
        assert_eq!(judged(&head[1..]), (Verdict::Neglected, Some(Place::Model)));
        let encoder = [test(Encoder, Fused, not, 0.1), test(Alone, Fused, sure, 0.5)];
        assert_eq!(judged(&encoder), (Verdict::Neglected, Some(Place::Encoder)));
    }

    #[test]
    fn what_the_output_uses_is_kept_although_no_probe_of_fused_finds_it() {
        use Destination::{Fused, Output};
        use Source::{Alone, Encoder};
        let (sure, not) = (0.01, 1.0);
        let gated = [test(Encoder, Fused, sure, 0.9), test(Encoder, Output, not, 0.02)];
        assert_eq!(judged(&gated), (Verdict::Kept, None));
        assert!(only_the_output_reads_it(&gated));
        // A tenth and more may be unused: the fused representation counts.
        let unsure = [gated[0], test(Encoder, Output, not, 0.15)];
        assert_eq!(judged(&unsure), (Verdict::Neglected, Some(Place::Fusion)));
        assert!(!only_the_output_reads_it(&unsure));
        // What the encoder has not learnt is lost all the same.
        let poor = [gated[0], gated[1], test(Alone, Output, sure, 0.5)];
        assert_eq!(judged(&poor), (Verdict::Neglected, Some(Place::Encoder)));
    }

    #[test]
    fn without_an_alarm_the_interval_decides() {
        let one = |high| test(Source::Encoder, Destination::Fused, 0.3, high);
        assert_eq!(judged(&[one(0.2)]), (Verdict::Kept, None));
        assert_eq!(judged(&[one(0.3)]), (Verdict::Undecided, None));
        let nothing = Test {
            informative: false,
            ..one(f64::NAN)
        };
        assert_eq!(judged(&[nothing]), (Verdict::Uninformative, None));
        // Nothing of it can be unused.
        assert_eq!(judged(&[one(0.2), nothing]), (Verdict::Kept, None));
        assert_eq!(judged(&[nothing, one(0.2)]), (Verdict::Kept, None));
        assert_eq!(judged(&[one(0.3), nothing]), (Verdict::Undecided, None));
    }
}
