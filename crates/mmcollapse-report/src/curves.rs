//! What is recorded along training, the semantic loss and the probes of encoders, and over neurons: what is measured on a curve,
//! and curves as frames.

use std::collections::BTreeSet;

use mmcollapse_probes::{FeatureRole, PlateauRule, plateaus, steps_to_fall};
use mmcollapse_record::{Encoder, Record, RowId, SEMANTIC, Score, Setting, neurons, neurons_of};
use polars::prelude::{DataFrame, NamedFrom, PolarsResult, Series};

use crate::summary::frames::{counts, text};

/// The semantic loss of a run at each epoch, up to where it is no longer finite.
pub fn semantic(record: &Record) -> &[f64] {
    record.outcome.curves.get(SEMANTIC).map_or(&[], Vec::as_slice)
}

/// Cross-entropies (nats, on validation) of the probes of a modality's encoder, at points evenly spaced over its training;
/// empty if it was not probed.
pub fn probed<'a>(record: &'a Record, encoder: Encoder, modality: &str) -> &'a [f64] {
    let curve = record.outcome.curves.get(&encoder.curve(modality));
    curve.map_or(&[], Vec::as_slice)
}

/// Of each fusion neuron the share that every modality's features hold, or those of a role; nothing if it was not asked for.
fn shares_of(record: &Record, role: Option<FeatureRole>) -> Vec<&[f64]> {
    let curves = &record.outcome.curves;
    let modalities: BTreeSet<&str> = curves.keys().filter_map(|name| neurons_of(name)).collect();
    let of = |modality: &str| curves.get(&neurons(modality, role)).map_or(&[][..], Vec::as_slice);
    modalities.into_iter().map(of).collect()
}

/// The same of all features of a modality, whether or not roles are known: `[modalities][neurons]`.
fn by_modality(record: &Record) -> Vec<Vec<f64>> {
    let mut sums: Vec<Vec<f64>> = vec![Vec::new(); shares_of(record, None).len()];
    for part in std::iter::once(None).chain(FeatureRole::ALL.map(Some)) {
        for (sum, shares) in sums.iter_mut().zip(shares_of(record, part)) {
            sum.resize(sum.len().max(shares.len()), 0.0);
            sum.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share);
        }
    }
    sums
}

/// Of each fusion neuron the share that its leading modality holds.
pub fn leading(record: &Record) -> Vec<f64> {
    let sums = by_modality(record);
    let count = sums.iter().map(Vec::len).max().unwrap_or(0);
    let largest = |neuron: usize| {
        sums.iter()
            .filter_map(|sum| sum.get(neuron))
            .copied()
            .fold(0.0, f64::max)
    };
    (0..count).map(largest).collect()
}

/// Of each fusion neuron how much noise of one modality is in it beside prediction of others, the smaller share of the two, for the
/// modality of which that is most; nothing where roles are not known.
pub fn meeting(record: &Record) -> Vec<f64> {
    let [noise, alone, together] =
        [FeatureRole::Noise, FeatureRole::Predictive, FeatureRole::Conjugate].map(|role| shares_of(record, Some(role)));
    let count = noise.iter().map(|shares| shares.len()).max().unwrap_or(0);
    let at = |shares: &[f64], neuron: usize| shares.get(neuron).copied().unwrap_or(0.0);
    let of_noise = |neuron: usize, modality: usize| {
        let others = (0..noise.len()).filter(|other| *other != modality);
        let predicts: f64 = others
            .map(|other| at(alone[other], neuron) + at(together[other], neuron))
            .sum();
        at(noise[modality], neuron).min(predicts)
    };
    (0..count)
        .map(|neuron| {
            (0..noise.len())
                .map(|modality| of_noise(neuron, modality))
                .fold(0.0, f64::max)
        })
        .collect()
}

/// The records of a row under a setting that have scores at a level.
pub fn at_level<'a>(
    records: &'a [Record],
    row: &'a RowId,
    setting: &'a Setting,
    level: f64,
) -> impl Iterator<Item = &'a Record> {
    let of_row = records
        .iter()
        .filter(move |record| record.row == *row && record.setting == *setting);
    of_row.filter(move |record| record.outcome.scores.iter().any(|score| score.rate == level))
}

/// The first modality that a model has.
pub fn first(record: &Record) -> Option<&str> {
    record.modalities.first().map(String::as_str)
}

/// The modality whose encoder has lost most at the end.
pub fn eliminated(record: &Record) -> Option<&str> {
    record.outcome.diagnosis.eliminated.as_deref()
}

/// The records with what is measured on their curves among the scores: `plateaus` (see
/// [`mmcollapse_probes::plateaus`]) and `epochs_to_90`, the epoch (from 1) by whose end 90 % of the fall is done.
pub fn measured(records: &[Record]) -> Vec<Record> {
    records
        .iter()
        .cloned()
        .map(|mut record| {
            let curve = semantic(&record);
            let count = (curve.len() > 2).then(|| plateaus(curve, PlateauRule::default()) as f64);
            let soon = steps_to_fall(curve, 0.9).map(|epoch| epoch as f64 + 1.0);
            let like = record
                .outcome
                .scores
                .iter()
                .find(|s| s.metric == "loss_semantic")
                .cloned();
            if let Some(like) = like {
                let values = [("plateaus", count), ("epochs_to_90", soon)];
                record
                    .outcome
                    .scores
                    .extend(values.into_iter().filter_map(|(metric, value)| {
                        Some(Score {
                            metric: metric.parse().ok()?,
                            value: value?,
                            ..like.clone()
                        })
                    }));
            }
            record
        })
        .collect()
}

/// Every epoch of every run: columns row, protocol, seed, epoch (from 1), loss in nats.
///
/// # Errors
/// Those of Polars; none is known.
pub fn frame(records: &[Record]) -> PolarsResult<DataFrame> {
    let points = || {
        records.iter().flat_map(|record| {
            semantic(record)
                .iter()
                .enumerate()
                .map(move |(epoch, loss)| (record, epoch, *loss))
        })
    };
    DataFrame::new_infer_height(vec![
        text("row", points().map(|(r, _, _)| &r.row)),
        text("protocol", points().map(|(r, _, _)| &r.setting)),
        counts("seed", points().map(|(r, _, _)| r.seed)),
        counts("epoch", points().map(|(_, epoch, _)| epoch as u64 + 1)),
        Series::new("loss".into(), points().map(|(_, _, loss)| loss).collect::<Vec<_>>()).into(),
    ])
}

/// Every probe of every run: columns row, protocol, seed, modalities (their number), modality, eliminated (whether the model
/// eliminates it), encoder (`prefix` or `baseline`), point (from 1) of points, cross_entropy in nats.
///
/// # Errors
/// Those of Polars; none is known.
pub fn probes_frame(records: &[Record]) -> PolarsResult<DataFrame> {
    struct Probe<'a> {
        record: &'a Record,
        modalities: u64,
        modality: &'a str,
        eliminated: bool,
        encoder: Encoder,
        point: u64,
        cross_entropy: f64,
    }
    let mut probes = Vec::new();
    for record in records {
        let modalities: Vec<&str> = record.modalities.iter().map(String::as_str).collect();
        for (modality, encoder) in modalities
            .iter()
            .flat_map(|modality| [(modality, Encoder::Prefix), (modality, Encoder::Baseline)])
        {
            let curve = probed(record, encoder, modality);
            probes.extend((1..).zip(curve).map(|(point, cross_entropy)| Probe {
                record,
                modalities: modalities.len() as u64,
                modality,
                eliminated: eliminated(record) == Some(*modality),
                encoder,
                point,
                cross_entropy: *cross_entropy,
            }));
        }
    }
    // A run that diverged has fewer than there are.
    let points = probes.iter().map(|probe| probe.point).max().unwrap_or(0);
    let all = || probes.iter();
    DataFrame::new_infer_height(vec![
        text("row", all().map(|p| &p.record.row)),
        text("protocol", all().map(|p| &p.record.setting)),
        counts("seed", all().map(|p| p.record.seed)),
        counts("modalities", all().map(|p| p.modalities)),
        text("modality", all().map(|p| p.modality)),
        Series::new("eliminated".into(), all().map(|p| p.eliminated).collect::<Vec<_>>()).into(),
        text("encoder", all().map(|p| p.encoder.name())),
        counts("point", all().map(|p| p.point)),
        counts("points", all().map(|_| points)),
        Series::new(
            "cross_entropy".into(),
            all().map(|p| p.cross_entropy).collect::<Vec<_>>(),
        )
        .into(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::synthetic::record;
    use mmcollapse_record::{Split, Status};

    #[test]
    fn curves_are_measured_and_framed() {
        let mut run = record(
            "concat",
            ("concat", "none"),
            "test_missing",
            4,
            &[(0.9, 400)],
            Status::Ok,
        );
        let like = Score {
            metric: "loss_semantic".parse().unwrap(),
            split: Split::Train,
            ..run.outcome.scores[0].clone()
        };
        run.outcome.scores.push(like);
        let stairs = vec![3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 0.0];
        run.outcome.curves.insert(SEMANTIC.into(), stairs);
        let measured = measured(&[run.clone()]);
        let value = |metric: &str| {
            let score = measured[0].outcome.scores.iter().find(|s| s.metric == metric);
            score.map(|s| s.value)
        };
        assert_eq!((value("plateaus"), value("epochs_to_90")), (Some(1.0), Some(8.0)));
        let frame = frame(&[run.clone()]).unwrap();
        assert_eq!(frame.shape(), (8, 5));
        // Probes are those of the modalities that the model has; which one is eliminated the diagnosis says.
        run.modalities = vec!["labs".to_owned(), "notes".to_owned()];
        run.outcome.diagnosis.eliminated = Some("notes".to_owned());
        for (name, curve) in [("probe_prefix_labs", [0.5, 0.4]), ("probe_baseline_notes", [0.3, 0.2])] {
            run.outcome.curves.insert(name.into(), curve.into());
        }
        assert_eq!((first(&run), eliminated(&run)), (Some("labs"), Some("notes")));
        assert_eq!(probed(&run, Encoder::Prefix, "labs"), [0.5, 0.4]);
        assert!(probed(&run, Encoder::Baseline, "labs").is_empty());
        // One that stopped early has fewer points of as many.
        let mut stopped = run.clone();
        stopped.outcome.curves.retain(|name, _| name == "probe_prefix_labs");
        stopped.outcome.curves.insert("probe_prefix_labs".into(), vec![0.9]);
        let frame = probes_frame(&[run.clone(), stopped]).unwrap();
        assert_eq!(frame.shape(), (5, 10));
        let column = |name: &str| {
            format!(
                "{:?}",
                frame
                    .column(name)
                    .unwrap()
                    .as_materialized_series()
                    .iter()
                    .collect::<Vec<_>>()
            )
        };
        assert_eq!(
            column("eliminated"),
            "[Boolean(false), Boolean(false), Boolean(true), Boolean(true), Boolean(false)]"
        );
        assert_eq!(
            column("point"),
            "[UInt64(1), UInt64(2), UInt64(1), UInt64(2), UInt64(1)]"
        );
        assert_eq!(
            column("points"),
            "[UInt64(2), UInt64(2), UInt64(2), UInt64(2), UInt64(2)]"
        );
        // Of neurons the first is noise of one modality beside prediction of the other, the second one modality's.
        for (name, shares) in [
            ("neurons_noise_labs", [0.25, 0.0]),
            ("neurons_predictive_notes", [0.5, 0.0]),
            ("neurons_conjugate_labs", [0.25, 1.0]),
        ] {
            run.outcome.curves.insert(name.into(), shares.into());
        }
        assert_eq!((leading(&run), meeting(&run)), (vec![0.5, 1.0], vec![0.25, 0.0]));
        // A run without a curve has no measure of one.
        run.outcome.curves.clear();
        assert!(leading(&run).is_empty() && meeting(&run).is_empty());
        let bare = super::measured(&[run.clone()]);
        assert_eq!(bare[0].outcome.scores.len(), run.outcome.scores.len());
    }
}
