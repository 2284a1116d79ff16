//! What of the arrays is probably not what their names say: said beside the verdicts, which would not show it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::Modality;
use crate::features::Features;
use crate::resample::Estimated;

/// Samples, or columns, by which arrays are compared.
const COMPARED: usize = 64;

/// A row that is so many times as large as the middle one decides what a linear probe finds, or the mean loss.
const LARGE: f64 = 30.0;

/// Share of samples that may be copies of others.
const COPIES: f64 = 0.01;

/// Part of what a probe finds beyond a guess that the model's own output is expected to find at least.
const LEAST: f64 = 0.1;

/// What a probe has to be right on more often than a guess before the output is measured by it.
const TELLING: f64 = 0.1;

/// Doubts about the arrays alone.
pub(crate) fn of_arrays(
    modalities: &[Modality],
    fused: Option<&Features>,
    logits: Option<&Features>,
    has_groups: bool,
) -> Vec<String> {
    let mut doubts = Vec::new();
    for (place, one) in modalities.iter().enumerate() {
        for other in &modalities[..place] {
            if is_same(&one.embedding, &other.embedding) {
                doubts.push(format!(
                    "`embedding.{}` and `embedding.{}` hold the same numbers: what one knows, so does the other",
                    other.name, one.name
                ));
            }
        }
    }
    if let Some(fused) = fused.filter(|_| logits.is_none()) {
        let embeddings: Vec<&Features> = modalities.iter().map(|modality| &modality.embedding).collect();
        if is_side_by_side(fused, &embeddings) {
            doubts.push(
                "the columns of `fused` are those of the embeddings side by side, of which a probe reads all that the encoders know: no \
                 modality can be neglected there. Give the layer behind it, or `logits`"
                    .to_owned(),
            );
        }
    }
    let all = modalities
        .iter()
        .flat_map(|modality| [Some(&modality.embedding), modality.alone.as_ref()]);
    doubts.extend(all.chain([fused, logits]).flatten().filter_map(large_row));
    if !has_groups {
        doubts.extend(copies(modalities));
    }
    doubts
}

/// Doubts about the output: it tells hardly more than a guess, where a probe of the model's inside tells much.
pub(crate) fn of_output(model: Option<Estimated>, probe: Estimated, guess: Estimated) -> Option<String> {
    let model = model?;
    let (found, expected) = (model.value - guess.value, probe.value - guess.value);
    (expected > TELLING && found < LEAST * expected).then(|| {
        format!(
            "the output is right on {:.1} % of the samples, where a guess is on {:.1} % and a probe of the model's inside on {:.1} %: the \
             columns, the sign or the rows of `logits` are probably not those of `labels`. Until that is settled believe no verdict at \
             the head or the output",
            100.0 * model.value,
            100.0 * guess.value,
            100.0 * probe.value
        )
    })
}

fn compared(features: &Features) -> usize {
    features.rows().min(COMPARED)
}

fn is_same(one: &Features, other: &Features) -> bool {
    let same = |row: usize| (0..one.columns()).all(|column| one.at(row, column) == other.at(row, column));
    one.columns() == other.columns() && (0..compared(one)).all(same)
}

/// Whether the columns of `fused` are all columns of the embeddings, in any order, and as many.
fn is_side_by_side(fused: &Features, embeddings: &[&Features]) -> bool {
    let column = |of: &Features, column: usize| -> Vec<u64> {
        (0..compared(fused)).map(|row| of.at(row, column).to_bits()).collect()
    };
    let mut known: Vec<Vec<u64>> = embeddings
        .iter()
        .flat_map(|of| (0..of.columns()).map(|at| column(of, at)).collect::<Vec<_>>())
        .collect();
    known.sort_unstable();
    let is_known = |at: usize| known.binary_search(&column(fused, at)).is_ok();
    fused.columns() >= known.len() && (0..fused.columns()).all(is_known)
}

/// A row that is far larger than the others.
fn large_row(features: &Features) -> Option<String> {
    let (from, row, times) = features.row_above(LARGE)?;
    Some(format!(
        "{from}: the numbers of row {row} reach {times:.0} times those of the middle row: a few such rows decide what is measured. See \
         whether they are right, or scale or clip them"
    ))
}

/// Samples whose embeddings are all those of another one.
fn copies(modalities: &[Modality]) -> Option<String> {
    let rows = modalities.first()?.embedding.rows();
    // A digest of some columns of each array, spread over it: equal samples agree in all, and others hardly ever do.
    let sample = |row: usize| {
        let mut digest = DefaultHasher::new();
        for Modality { embedding, .. } in modalities {
            let step = embedding.columns().div_ceil(COMPARED);
            for column in (0..embedding.columns()).step_by(step) {
                embedding.at(row, column).to_bits().hash(&mut digest);
            }
        }
        digest.finish()
    };
    let known: HashSet<u64> = (0..rows).map(sample).collect();
    let copies = rows - known.len();
    (copies as f64 > COPIES * rows as f64).then(|| {
        format!(
            "{copies} of {rows} samples have the embeddings of another sample: copies on both sides of the split make all look surer than it \
             is. Leave them out, or give copies one number in `groups`"
        )
    })
}

#[cfg(test)]
mod tests {
    use mmcollapse_arrays::{Array, ArrayInfo, Dtype, Values};

    use super::*;

    fn features(name: &str, columns: usize, of: impl Fn(usize, usize) -> f64) -> Features {
        let rows = 200;
        let values = (0..rows * columns).map(|at| of(at / columns, at % columns)).collect();
        let info = ArrayInfo {
            name: name.into(),
            shape: vec![rows, columns],
            dtype: Dtype::F64,
            path: "arrays.npz".into(),
        };
        let values = Values::Double(values);
        Features::new(Array { info, values }, None).unwrap()
    }

    fn number(row: usize, column: usize, salt: usize) -> f64 {
        libm::sin((row * 37 + column * 101 + salt * 911) as f64)
    }

    fn modality(name: &str, embedding: Features) -> Modality {
        Modality {
            name: name.into(),
            embedding,
            alone: None,
        }
    }

    fn two() -> Vec<Modality> {
        ["image", "sound"]
            .iter()
            .enumerate()
            .map(|(salt, name)| modality(name, features(name, 3, |row, column| number(row, column, salt))))
            .collect()
    }

    #[test]
    fn what_is_as_it_should_be_raises_none() {
        let fused = features("fused", 6, |row, column| number(row, column, 5));
        assert!(of_arrays(&two(), Some(&fused), None, false).is_empty());
    }

    #[test]
    fn the_same_numbers_twice_are_noticed() {
        let of = |salt: usize| features("image", 3, move |row, column| number(row, column, salt));
        let [doubt] = &of_arrays(&[modality("image", of(0)), modality("sound", of(0))], None, None, false)[..] else {
            panic!("not one doubt")
        };
        assert!(
            doubt.contains("`embedding.image` and `embedding.sound` hold the same"),
            "{doubt}"
        );
        // The second first, as a concatenation may have them.
        let fused = features("fused", 6, |row, column| {
            number(row, column % 3, usize::from(column < 3))
        });
        let [doubt] = &of_arrays(&two(), Some(&fused), None, false)[..] else {
            panic!("not one doubt")
        };
        assert!(doubt.contains("side by side"), "{doubt}");
        // With the output beside it, what the fusion's head does with it is seen.
        assert!(of_arrays(&two(), Some(&fused), Some(&two()[0].embedding), false).is_empty());
    }

    #[test]
    fn rows_that_decide_alone_and_copies_are_noticed() {
        let large = features("image", 3, |row, column| {
            number(row, column, 0) * if row == 7 { 100.0 } else { 1.0 }
        });
        let mut modalities = two();
        modalities[0].embedding = large;
        let [doubt] = &of_arrays(&modalities, None, None, false)[..] else {
            panic!("not one doubt")
        };
        assert!(doubt.contains("the numbers of row 7 reach 1"), "{doubt}");

        let twice = |salt: usize| features("image", 3, move |row, column| number(row / 2, column, salt));
        let modalities = [modality("image", twice(0)), modality("sound", twice(1))];
        let [doubt] = &of_arrays(&modalities, None, None, false)[..] else {
            panic!("not one doubt")
        };
        assert!(doubt.contains("100 of 200 samples"), "{doubt}");
        assert!(of_arrays(&modalities, None, None, true).is_empty());
    }

    #[test]
    fn an_output_at_chance_beside_a_telling_probe_is_noticed() {
        let at = |value: f64| Estimated {
            value,
            low: value,
            high: value,
        };
        assert!(of_output(Some(at(0.12)), at(0.8), at(0.1)).is_some());
        assert!(of_output(Some(at(0.05)), at(0.8), at(0.1)).is_some());
        assert!(of_output(Some(at(0.5)), at(0.8), at(0.1)).is_none());
        // Nothing is known inside either.
        assert!(of_output(Some(at(0.1)), at(0.15), at(0.1)).is_none());
        assert!(of_output(None, at(0.8), at(0.1)).is_none());
    }
}
