//! The semantic loss along training: what is measured on its curve, and the curve as a frame.

use mmcollapse_probes::{PlateauRule, plateaus, steps_to_fall};
use polars::prelude::{Column, DataFrame, NamedFrom, PolarsResult, Series};

use crate::cell::{CellRecord, Score};

/// The loss that is shown.
const SEMANTIC: &str = "semantic";

/// The semantic loss of a run at each epoch, up to where it is no longer finite.
pub fn semantic(record: &CellRecord) -> &[f64] {
    record.outcome.curves.get(SEMANTIC).map_or(&[], Vec::as_slice)
}

/// The records with what is measured on their curves among the scores: `plateaus` (see
/// [`mmcollapse_probes::plateaus`]) and `epochs_to_90`, the epoch (from 1) by whose end 90 % of the fall is done.
pub fn measured(records: &[CellRecord]) -> Vec<CellRecord> {
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
                            metric: metric.to_owned(),
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
pub fn frame(records: &[CellRecord]) -> PolarsResult<DataFrame> {
    let points = || {
        records.iter().flat_map(|record| {
            semantic(record)
                .iter()
                .enumerate()
                .map(move |(epoch, loss)| (record, epoch, *loss))
        })
    };
    let text = |name: &str, of: fn(&CellRecord) -> &str| -> Column {
        Series::new(name.into(), points().map(|(r, _, _)| of(r)).collect::<Vec<_>>()).into()
    };
    let counts = |name: &str, values: Vec<u64>| -> Column { Series::new(name.into(), values).into() };
    DataFrame::new_infer_height(vec![
        text("row", |r| &r.row),
        text("protocol", |r| &r.protocol),
        counts("seed", points().map(|(r, _, _)| r.seed).collect()),
        counts("epoch", points().map(|(_, epoch, _)| epoch as u64 + 1).collect()),
        Series::new("loss".into(), points().map(|(_, _, loss)| loss).collect::<Vec<_>>()).into(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Status;
    use crate::summary::synthetic::record;

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
            metric: "loss_semantic".into(),
            split: "train".into(),
            ..run.outcome.scores[0].clone()
        };
        run.outcome.scores.push(like);
        let stairs = vec![3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 0.0];
        run.outcome.curves.insert("semantic".into(), stairs);
        let measured = measured(&[run.clone()]);
        let value = |metric: &str| {
            let score = measured[0].outcome.scores.iter().find(|s| s.metric == metric);
            score.map(|s| s.value)
        };
        assert_eq!((value("plateaus"), value("epochs_to_90")), (Some(1.0), Some(8.0)));
        let frame = frame(&[run.clone()]).unwrap();
        assert_eq!(frame.shape(), (8, 5));
        // A run without a curve has no measure of one.
        run.outcome.curves.clear();
        let bare = super::measured(&[run.clone()]);
        assert_eq!(bare[0].outcome.scores.len(), run.outcome.scores.len());
    }
}
