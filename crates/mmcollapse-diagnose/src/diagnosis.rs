//! A diagnosis: fits the probes, draws samples again, judges, and measures.

use serde::Serialize;

use crate::contribution::{evenness, permuted_right, shapley_of};
use crate::error::{Result, input};
use crate::fitted::{Fitted, Of, note_absent, outputs};
use crate::probe::{Probed, losses, right};
use crate::resample::{Column, Columns, Estimated, Means, Resampled, permutation_p};
use crate::rows::{Rows, stream};
use crate::rule::{self, Added, Destination, Information, Place, Source, Stated, TOLERATED, Target, Test, Verdict};
use crate::structure::{self, Neurons, Shapes, Structure};
use crate::{Input, Settings, advice, doubts};

/// Version of what is written as JSON. It is raised when a field changes its meaning or goes.
pub const SCHEMA: &str = "mmcollapse-diagnosis/1";

/// What is said of a model. Accuracies are shares; information is in nats a sample; intervals are 95 %.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Samples of the file.
    pub samples: usize,
    /// Samples that fitted probes.
    pub fit_samples: usize,
    /// Samples that evaluated.
    pub evaluate_samples: usize,
    /// What was drawn again: samples, groups, or blocks of them.
    pub units: usize,
    /// Whether groups were given.
    pub grouped: bool,
    /// The classes, as the file has them.
    pub classes: Vec<i64>,
    /// Seed of all draws.
    pub seed: u64,
    /// Draws of the bootstrap.
    pub resamples: usize,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// The modalities, by name.
    pub modalities: Vec<ModalityFindings>,
    /// Accuracy of the commonest class.
    pub accuracy_prior: Estimated,
    /// Accuracy of a linear probe of the fused representation.
    pub accuracy_fused: Option<Estimated>,
    /// Accuracy of a linear probe of all encoders side by side.
    pub accuracy_encoders: Estimated,
    /// Accuracy of the model's own logits.
    pub accuracy_model: Option<Estimated>,
    /// Whether Shapley values are of the model's logits of every subset (else of probes of the encoders).
    pub shapley_of_model: bool,
    /// Pielou's evenness of the Shapley values, from 0 (one modality contributes) to 1 (all the same).
    pub equity: Estimated,
    /// Shape of the fused representation.
    pub fused: Option<Structure>,
    /// What the fusion's neurons are made of.
    pub neurons: Option<Neurons>,
}

/// What is said of a modality.
#[derive(Clone, Debug, Serialize)]
pub struct ModalityFindings {
    /// Its name.
    pub name: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Where its information is lost.
    pub lost_at: Option<Place>,
    /// Whether the other encoders surely know what it knows, but for a tenth at most ([`rule`]).
    pub redundant: bool,
    /// What each source knows of the label.
    pub information: Vec<Information>,
    /// Each pair of source and destination.
    pub tests: Vec<Test>,
    /// Accuracy of a linear probe of its encoder.
    pub accuracy_encoder: Estimated,
    /// Accuracy of a linear probe of the model of this modality alone.
    pub accuracy_alone: Option<Estimated>,
    /// Accuracy of the model given this modality alone.
    pub accuracy_model_only: Option<Estimated>,
    /// Accuracy of the model given all others.
    pub accuracy_model_without: Option<Estimated>,
    /// Conditional utilisation rate: the share of the accuracy of all encoders that is lost without it.
    pub utilisation: Estimated,
    /// Perceptual score: the share of that accuracy that is lost when it is permuted over samples.
    pub perceptual: Estimated,
    /// Shapley value in accuracy.
    pub shapley: Estimated,
    /// Linear CKA of the fused representation and its encoder.
    pub cka: Option<f64>,
    /// Mean cosine of the fused representation and its encoder, or the model of it alone; none where widths differ.
    pub cosine: Option<f64>,
    /// Shape of its encoder's output.
    pub encoder: Structure,
    /// What to try.
    pub advice: Vec<String>,
}

/// Diagnoses a model.
///
/// # Errors
/// Too few samples or classes to fit probes and evaluate them.
pub fn diagnose(model: &Input, settings: &Settings) -> Result<Diagnosis> {
    let rows = Rows::of(model, settings)?;
    let (count, classes) = (model.modalities.len(), rows.classes.len());
    let full = (1 << count) - 1;
    let fitted = Fitted::of(model, &rows)?;
    let mut columns = Columns::new(&rows.units, settings.seed);
    let is_right = |columns: &mut Columns, logits: &[f64]| columns.add(&right(logits, &rows.labels, classes));

    // What predicts without any modality.
    let prior = rule::prior(&rows);
    let prior_logits: Vec<f64> = rows.labels.iter().flat_map(|_| prior.clone()).collect();
    let prior_right = is_right(&mut columns, &prior_logits);
    let prior_losses = losses(&prior_logits, &rows.labels, classes);

    // Accuracy of every subset: of the model where it was asked about each, and of probes.
    let of_model = outputs(model, &rows)?;
    let probes: Vec<Column> = (0..=full)
        .map(|mask| match fitted.get(Of::Encoders(mask)) {
            Some(probed) => is_right(&mut columns, &probed.evaluate),
            None => prior_right,
        })
        .collect();
    let model_right: Vec<Option<Column>> = (0..=full)
        .map(|mask| {
            let output = of_model.iter().find(|output| output.mask == mask);
            output.map(|output| columns.add(&output.right))
        })
        .collect();
    let asked: Option<Vec<Column>> = (0..=full)
        .map(|mask| {
            if mask == 0 {
                model_right[0].or(Some(prior_right))
            } else {
                model_right[mask]
            }
        })
        .collect();
    let subsets = asked.clone().unwrap_or_else(|| probes.clone());

    // The pairs of the rule.
    let output = of_model.iter().find(|output| output.mask == full);
    let destinations = [
        (Destination::Fused, fitted.get(Of::Fused)),
        (Destination::Output, output.map(|output| &output.probed)),
    ];
    let targets: Vec<Target> = destinations
        .into_iter()
        .filter_map(|(of, probed)| {
            let stated = Stated::of(probed?, &rows);
            Some(Target { of, stated })
        })
        .collect();
    let all = fitted.get(Of::Encoders(full)).map(|probed| Stated::of(probed, &rows));
    let mut pairs = Vec::new();
    let mut known = Vec::new();
    let mut added: Vec<Vec<Added>> = Vec::new();
    for modality in 0..count {
        let others = fitted
            .get(Of::Encoders(full & !(1 << modality)))
            .map(|probed| Stated::of(probed, &rows));
        let mut of_modality = Vec::new();
        let mut sources = vec![(Source::Encoder, fitted.get(Of::Encoders(1 << modality)))];
        sources.push((Source::Alone, fitted.get(Of::Alone(modality))));
        for (of, probed) in sources {
            let Some(probed) = probed else { continue };
            let calibrated = rule::calibrated(probed, &rows);
            let said = losses(&calibrated, &rows.labels, classes);
            let information: Vec<f64> = prior_losses
                .iter()
                .zip(&said)
                .map(|(prior, loss)| prior - loss)
                .collect();
            let column = columns.add(&information);
            let mut draws = stream(settings.seed, &format!("permute {modality} {of:?}"));
            let permuted = if model.groups.is_some() {
                0.0
            } else {
                permutation_p(&calibrated, &rows, settings.permutations, &mut draws)
            };
            for target in &targets {
                pairs.push(rule::pair(
                    &mut columns,
                    &rows,
                    (modality, of, probed),
                    target,
                    (column, permuted),
                ));
            }
            if let (Some(all), Some(others)) = (&all, &others) {
                of_modality.push(Added {
                    source: of,
                    information: column,
                    permuted,
                    gain: columns.add(&others.gain(probed, &rows)),
                    joint: columns.add(&rule::less(&others.losses, &all.losses)),
                });
            }
            known.push((modality, of, column, permuted, is_right(&mut columns, &probed.evaluate)));
        }
        added.push(of_modality);
    }
    let singles: Vec<&Probed> = (0..count).filter_map(|at| fitted.get(Of::Encoders(1 << at))).collect();
    let unread = all
        .as_ref()
        .map(|all| Unread::of(&mut columns, &targets, (all, &singles), &prior_losses, &rows));
    let fused_right = fitted
        .get(Of::Fused)
        .map(|probed| is_right(&mut columns, &probed.evaluate));
    let mut permuted_columns = Vec::new();
    if let Some(all) = fitted.get(Of::Encoders(full)) {
        let mut draws = stream(settings.seed, "perceptual score");
        for values in permuted_right(model, &rows, all, &mut draws)? {
            permuted_columns.push(columns.add(&values));
        }
    }

    let drawn = columns.resampled(settings.resamples, settings.seed);
    let unread = unread.flatten().and_then(|unread| unread.note(&drawn));
    let mean = |column: Column| drawn.estimate(move |means| means.of(column));
    let tests = rule::tests(&pairs, &drawn)?;
    let whole = probes[full];
    let lost_share = |rest: Column| drawn.estimate(|means| (means.of(whole) - means.of(rest)) / means.of(whole));
    let shapley = |means: &Means, modality: usize| shapley_of(means, &subsets, modality);
    let shaped = structure::Drawn::of(&rows.evaluate, settings.seed);
    let shapes = Shapes::of(model, &shaped)?;
    let fused = shapes.fused;
    let neurons = model
        .weight
        .as_ref()
        .map(|weight| structure::neurons(model, weight, &shaped));
    let neurons = neurons.transpose()?.flatten();

    let mut modalities = Vec::new();
    for ((place, modality), (encoder, cka, cosine)) in model.modalities.iter().enumerate().zip(shapes.modalities) {
        let of_it = |(pair, test): (&rule::Pair, &Test)| (pair.modality == place).then_some(*test);
        let tests: Vec<Test> = pairs.iter().zip(&tests).filter_map(of_it).collect();
        let of_it = known.iter().filter(|(of, ..)| *of == place);
        let information: Vec<Information> = of_it
            .clone()
            .map(|&(_, source, column, permuted, _)| Information {
                source,
                nats: mean(column),
                p: drawn.p_above_zero(|means| means.of(column)).max(permuted),
            })
            .collect();
        let (verdict, lost_at) = rule::judged(&tests);
        let accuracy = |source: Source| {
            let found = of_it.clone().find(|(_, of, ..)| *of == source);
            found.map(|(.., column)| mean(*column))
        };
        let utilisation = lost_share(probes[full & !(1 << place)]);
        let Some(accuracy_encoder) = accuracy(Source::Encoder) else {
            return Err(input(
                format!("no probe of `embedding.{}` was fitted", modality.name),
                "report this as a bug",
            ));
        };
        let mut found = ModalityFindings {
            name: modality.name.clone(),
            verdict,
            lost_at,
            redundant: rule::redundant(&added[place], &drawn),
            information,
            tests,
            accuracy_encoder,
            accuracy_alone: accuracy(Source::Alone),
            accuracy_model_only: model_right[1 << place].map(mean),
            accuracy_model_without: model_right[full & !(1 << place)].map(mean),
            utilisation,
            perceptual: lost_share(permuted_columns[place]),
            shapley: drawn.estimate(|means| shapley(means, place)),
            cka,
            cosine,
            encoder,
            advice: Vec::new(),
        };
        found.advice = advice::of(&found, fused.as_ref(), unread.is_some());
        modalities.push(found);
    }
    let inside = fused_right.map_or(mean(probes[full]), mean);
    let output = doubts::of_output(model_right[full].map(mean), inside, mean(prior_right));
    let mut notes: Vec<String> = output.into_iter().collect();
    notes.extend(model.notes.iter().cloned());
    notes.extend(rows.notes.iter().cloned());
    notes.extend(note_absent(model, &rows));
    notes.extend(unread);
    Ok(Diagnosis {
        schema: SCHEMA,
        samples: model.samples(),
        fit_samples: rows.fit.len(),
        evaluate_samples: rows.evaluate.len(),
        units: drawn.units,
        grouped: model.groups.is_some(),
        seed: settings.seed,
        resamples: settings.resamples,
        notes,
        modalities,
        accuracy_prior: mean(prior_right),
        accuracy_fused: fused_right.map(mean),
        accuracy_encoders: mean(probes[full]),
        accuracy_model: model_right[full].map(mean),
        shapley_of_model: asked.is_some(),
        equity: drawn.estimate(|means| {
            let values: Vec<f64> = (0..count).map(|modality| shapley(means, modality)).collect();
            evenness(&values)
        }),
        fused,
        neurons,
        classes: rows.classes,
    })
}

/// Columns of what the model says and no linear probe of its encoders.
struct Unread {
    of: Destination,
    /// What the output knows, or a probe of the fused representation.
    model: Column,
    /// What the probe of all encoders knows, and a pool of the probes of each: one penalty may not suit all.
    encoders: [Column; 2],
    /// What more samples would add to it.
    learning: Option<Column>,
}

impl Unread {
    /// Of the output, or of the fused representation where there is none.
    fn of(
        columns: &mut Columns,
        targets: &[Target<'_>],
        (all, singles): (&Stated<'_>, &[&Probed]),
        prior: &[f64],
        rows: &Rows,
    ) -> Option<Self> {
        let target = targets.last()?;
        Some(Self {
            of: target.of,
            model: columns.add(&rule::less(prior, &target.stated.losses)),
            encoders: [
                columns.add(&rule::less(prior, &all.losses)),
                columns.add(&rule::less(prior, &rule::pooled(singles, rows))),
            ],
            learning: all.learning.as_ref().map(|learning| columns.add(learning)),
        })
    }

    /// Says so if more than a quarter of what the model knows is certain to be of that kind.
    fn note(&self, drawn: &Resampled) -> Option<String> {
        let encoders = |means: &Means| {
            self.encoders
                .map(|column| means.of(column))
                .into_iter()
                .fold(0.0, f64::max)
        };
        let learning = |means: &Means| self.learning.map_or(0.0, |column| means.of(column).max(0.0));
        let model = |means: &Means| means.of(self.model);
        let share = |means: &Means| (model(means) - encoders(means) - learning(means)) / model(means).max(0.0);
        let known = drawn.estimate(model);
        (known.low > 0.0 && drawn.estimate(share).low > TOLERATED).then(|| {
            let what = match self.of {
                Destination::Fused => "a probe of `fused` knows",
                Destination::Output => "the output knows",
            };
            format!(
                "{what} {:.2} nats of the label, a linear probe of all encoders together {:.2}: the model reads what no linear probe of \
                 encoders finds, as where modalities tell only together. Verdicts do not see that",
                known.value,
                encoders(&drawn.whole)
            )
        })
    }
}
