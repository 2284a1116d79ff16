//! Scores of anchors against the samples of their contrast.

use std::collections::BTreeMap;

use crate::{Device, Result, Tensor, ops};

/// Anchors that are scored together against the samples that any of them needs.
#[derive(Debug)]
pub(super) struct Group {
    /// Their places in the batch.
    anchors: Vec<u32>,
    /// Numbers of the samples, in order.
    samples: Vec<u32>,
    /// Where the samples of each anchor's contrast are among those, `[anchors, 1 + negatives]` row-major.
    places: Vec<u32>,
}

/// Multiplications that groups have to save before they pay for gathering their rows: half.
const WORTH: usize = 2;

/// Groups by label, `labels` being those of the batch and `contrast` `[batch, 1 + negatives]` numbers of samples below
/// `samples`; none where one product with the whole bank is as good, as with many classes of one size. Where one class is rare,
/// anchors of the others share their few negatives.
pub(super) fn groups(labels: &[u32], contrast: &[u32], samples: usize) -> Option<Vec<Group>> {
    const ABSENT: u32 = u32::MAX;
    let width = contrast.len() / labels.len().max(1);
    let mut of_label: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (place, &label) in (0..).zip(labels) {
        of_label.entry(label).or_default().push(place);
    }
    let mut work = 0;
    let mut groups = Vec::with_capacity(of_label.len());
    for anchors in of_label.into_values() {
        let numbers = || {
            let rows = anchors
                .iter()
                .map(|&place| &contrast[place as usize * width..][..width]);
            rows.flatten().map(|&number| number as usize)
        };
        let mut places = vec![ABSENT; samples];
        numbers().for_each(|number| places[number] = 0);
        let mut needed = Vec::new();
        for (number, place) in (0..).zip(&mut places) {
            if *place != ABSENT {
                *place = needed.len() as u32;
                needed.push(number);
            }
        }
        work += anchors.len() * needed.len();
        if work * WORTH > labels.len() * samples {
            return None;
        }
        let places = numbers().map(|number| places[number]).collect();
        groups.push(Group {
            anchors,
            samples: needed,
            places,
        });
    }
    Some(groups)
}

/// `[batch, 1 + negatives]`: anchor `i` of `[batch, width]` against sample `contrast[i, j]` of the bank `[samples, width]`. Groups give
/// the same bits, values and gradients: what they leave out has no part in any sum.
pub(super) fn scores(anchors: &Tensor, bank: &Tensor, contrast: &Tensor, groups: Option<&[Group]>) -> Result<Tensor> {
    let Some(groups) = groups else {
        // Picking `1 + negatives` rows for each anchor first would move more memory than this multiplies.
        return ops::linear(anchors, bank, None, false)?.gather(contrast, 1);
    };
    let numbers = |numbers: &[u32], device: &Device| Tensor::from_slice(numbers, numbers.len(), device);
    let parts = groups.iter().map(|group| {
        let own = anchors.index_select(&numbers(&group.anchors, anchors.device())?, 0)?;
        let rows = bank.index_select(&numbers(&group.samples, bank.device())?, 0)?;
        let shape = (group.anchors.len(), group.places.len() / group.anchors.len());
        let places = Tensor::from_slice(&group.places, shape, anchors.device())?;
        ops::linear(&own, &rows, None, false)?.gather(&places, 1)
    });
    let parts = Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?;
    let mut order = vec![0; anchors.dim(0)?];
    let grouped = groups.iter().flat_map(|group| &group.anchors);
    for (place, &anchor) in (0..).zip(grouped) {
        order[anchor as usize] = place;
    }
    parts.index_select(&numbers(&order, anchors.device())?, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Var;
    use crate::random::Stream;

    /// Two classes of which one is rare, as deaths are.
    #[test]
    fn groups_have_the_bits_of_one_product() {
        let (samples, width, negatives) = (300, 24, 20);
        let mut stream = Stream::new(3, "scores");
        let label = |sample: usize| u32::from(usize::is_multiple_of(sample, 15));
        let index = [0, 1, 2, 15, 44, 45, 46, 299];
        let labels: Vec<u32> = index.iter().map(|&sample| label(sample)).collect();
        let mut contrast = Vec::new();
        for &own in &index {
            let others: Vec<usize> = (0..samples).filter(|&other| label(other) != label(own)).collect();
            let drawn = stream.choose_distinct(others.len(), negatives);
            contrast.push(own as u32);
            contrast.extend(drawn.into_iter().map(|place| others[place] as u32));
        }
        let groups = groups(&labels, &contrast, samples).unwrap();
        assert_eq!(
            groups.iter().map(|group| group.anchors.len()).collect::<Vec<_>>(),
            [5, 3]
        );
        // The five need the twenty of the rare class and themselves.
        assert_eq!(groups[0].samples.len(), 25);

        let tensor = |values: Vec<f32>, rows: usize| Tensor::from_vec(values, (rows, width), &Device::Cpu).unwrap();
        let bank = tensor(stream.normal_vec(samples * width), samples);
        let anchors = Var::from_tensor(&tensor(stream.normal_vec(index.len() * width), index.len())).unwrap();
        let shape = (index.len(), 1 + negatives);
        let weights = Tensor::from_vec(stream.normal_vec(shape.0 * shape.1), shape, &Device::Cpu).unwrap();
        let contrast = Tensor::from_vec(contrast, shape, &Device::Cpu).unwrap();
        let bits = |groups: Option<&[Group]>| {
            let scores = scores(anchors.as_tensor(), &bank, &contrast, groups).unwrap();
            let loss = (&scores * &weights).unwrap().sum_all().unwrap();
            let gradient = loss.backward().unwrap().get(&anchors).unwrap().clone();
            [scores, gradient].map(|of| {
                let values = of.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            })
        };
        assert_eq!(bits(Some(&groups)), bits(None));
    }

    #[test]
    fn classes_of_one_size_are_scored_at_once() {
        let labels = [0, 1, 2, 3];
        let contrast: Vec<u32> = (0..4)
            .flat_map(|own| std::iter::once(own).chain((0..40).filter(move |n| n % 4 != own)))
            .collect();
        assert!(groups(&labels, &contrast, 40).is_none());
    }
}
