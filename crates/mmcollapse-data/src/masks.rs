//! Which modalities the samples of a protocol lose, drawn from seeded streams.
//!
//! The two protocols behind Table 3's header (see docs/methodology/data.md): `train_availability` keeps a modality for a
//! share of the training pairs only, `test_missing` takes it from test samples with a probability. Both draw one number
//! or one order per sample whatever the rate, so the masks of two rates are nested: what is missing at 80 % is also
//! missing at 95 %. Comparisons between rates are then paired, as comparisons between methods are.

use mmcollapse_nn::random::Stream;

use crate::Presence;

/// Protocol `train_availability`: in each class `floor(rate * n_class)` samples, at least one, keep `modality`.
///
/// All other samples lose it; the other modalities stay. `rate` is a share, clamped to 0..=1. Among the samples of a
/// class the kept ones are the first of an order drawn from (`seed`, modality, class).
///
/// # Panics
/// When `modality` is not below `modalities`.
pub fn availability(labels: &[u32], modalities: usize, modality: usize, rate: f64, seed: u64) -> Presence {
    assert!(modality < modalities, "modality {modality} of {modalities}");
    let mut presence = Presence::from_fn(labels.len(), modalities, |_, m| m != modality);
    let mut classes = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    for class in classes {
        let mut members: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] == class).collect();
        let purpose = format!("masks/availability/modality {modality}");
        Stream::at(seed, &purpose, u64::from(class)).shuffle(&mut members);
        // The small term keeps 0.29 * 100 = 28.999999999999996 from losing a sample to binary fractions.
        let kept = (rate.clamp(0., 1.) * members.len() as f64 + 1e-9).floor() as usize;
        for &i in &members[..kept.clamp(1, members.len())] {
            presence.set(i, modality, true);
        }
    }
    presence
}

/// Protocol `test_missing`: each of `n` samples loses `modality` with probability `rate`.
///
/// `purpose` names what the mask is for (`test`, `validation`), so that two splits of one seed lose independently.
/// A sample is missing where its uniform draw from (`seed`, `purpose`, modality) is below `rate`.
///
/// # Panics
/// When `modality` is not below `modalities`.
pub fn missing(n: usize, modalities: usize, modality: usize, rate: f64, seed: u64, purpose: &str) -> Presence {
    assert!(modality < modalities, "modality {modality} of {modalities}");
    let mut stream = Stream::new(seed, &format!("masks/missing/{purpose}/modality {modality}"));
    let lost: Vec<bool> = (0..n).map(|_| stream.uniform(0., 1.) < rate).collect();
    Presence::from_fn(n, modalities, |i, m| m != modality || !lost[i])
}

/// Protocol `missing`: each sample loses each of its modalities with probability `rate`, but never the last one.
///
/// `own` says which it has in the source. A modality is lost where its uniform draw from (`seed`, `purpose`, modality)
/// is below `rate`; a sample that would lose all keeps the one with the largest draw. So these masks are nested too.
#[must_use]
pub fn any_missing(own: &Presence, rate: f64, seed: u64, purpose: &str) -> Presence {
    let (n, m) = (own.len(), own.modalities());
    let draws: Vec<Vec<f64>> = (0..m)
        .map(|modality| {
            let mut stream = Stream::new(seed, &format!("masks/any/{purpose}/modality {modality}"));
            (0..n).map(|_| stream.uniform(0., 1.)).collect()
        })
        .collect();
    let last: Vec<Option<usize>> = (0..n)
        .map(|i| {
            let has = (0..m).filter(|&modality| own.get(i, modality));
            has.max_by(|&a, &b| draws[a][i].total_cmp(&draws[b][i]))
        })
        .collect();
    Presence::from_fn(n, m, |i, modality| {
        own.get(i, modality) && (draws[modality][i] >= rate || last[i] == Some(modality))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn availability_keeps_the_floor_of_each_class() {
        let labels: Vec<u32> = (0..840).map(|i| i % 10).collect();
        for (rate, kept) in [(0.05, 4), (0.10, 8), (0.15, 12), (0.20, 16), (0.0, 1), (1.0, 84)] {
            let presence = availability(&labels, 2, 1, rate, 7);
            for class in 0..10 {
                let of_class = |i: &&usize| labels[**i] == class;
                assert_eq!(presence.rows(1).iter().filter(of_class).count(), kept, "{rate}");
            }
            assert_eq!(presence.rows(0).len(), 840);
        }
        let hundred = vec![0; 100];
        assert_eq!(availability(&hundred, 2, 0, 0.29, 7).rows(0).len(), 29);
    }

    #[test]
    fn missing_follows_its_rate_and_its_purpose() {
        let presence = missing(20_000, 2, 1, 0.95, 3, "test");
        let lost = 20_000 - presence.rows(1).len();
        // Four standard deviations of a binomial count: 4 sqrt(20000 * .95 * .05) = 123.
        assert!(lost.abs_diff(19_000) < 123, "{lost}");
        assert_ne!(presence, missing(20_000, 2, 1, 0.95, 3, "validation"));
        assert_ne!(presence, missing(20_000, 2, 1, 0.95, 4, "test"));
        assert_eq!(presence, missing(20_000, 2, 1, 0.95, 3, "test"));
        assert!(missing(50, 2, 1, 0.0, 3, "test").is_complete());
        assert!(missing(50, 2, 1, 1.0, 3, "test").rows(1).is_empty());
    }

    #[test]
    fn any_missing_follows_its_rate_and_leaves_one() {
        let own = Presence::from_fn(20_000, 4, |i, m| m > 0 || i % 2 == 0);
        let presence = any_missing(&own, 0.3, 5, "train");
        let lost = own.rows(2).len() - presence.rows(2).len();
        // Of 6000 about 110 keep it as their last; four standard deviations of the count are 260.
        assert!(lost.abs_diff(5890) < 280, "{lost}");
        let none = |p: &Presence| (0..p.len()).filter(|&i| (0..4).all(|m| !p.get(i, m))).count();
        assert_eq!(none(&presence), 0);
        let one = any_missing(&own, 1.0, 5, "train");
        assert!((0..20_000).all(|i| (0..4).filter(|&m| one.get(i, m)).count() == 1));
        assert_eq!(any_missing(&own, 0.0, 5, "train"), own);
        assert_ne!(presence, any_missing(&own, 0.3, 5, "test"));
        let more = any_missing(&own, 0.7, 5, "train");
        assert_eq!(more.and(&presence), more, "nested in the rate");
    }

    proptest! {
        #[test]
        fn masks_are_nested_in_the_rate(
            labels in prop::collection::vec(0u32..5, 1..80),
            low in 0.0..1.0f64,
            high in 0.0..1.0f64,
            seed: u64,
        ) {
            let (low, high) = (low.min(high), low.max(high));
            let subset = |a: &[usize], b: &[usize]| a.iter().all(|i| b.contains(i));
            let few = availability(&labels, 3, 2, low, seed);
            let many = availability(&labels, 3, 2, high, seed);
            prop_assert!(subset(&few.rows(2), &many.rows(2)));
            let most_lost = missing(labels.len(), 3, 0, high, seed, "test");
            let fewer_lost = missing(labels.len(), 3, 0, low, seed, "test");
            prop_assert!(subset(&most_lost.rows(0), &fewer_lost.rows(0)));
            prop_assert_eq!(most_lost.rows(1).len(), labels.len());
        }

        #[test]
        fn every_class_keeps_one(
            labels in prop::collection::vec(0u32..5, 1..80),
            rate in 0.0..1.0f64,
            seed: u64,
        ) {
            let presence = availability(&labels, 2, 0, rate, seed);
            for &label in &labels {
                prop_assert!(presence.rows(0).iter().any(|&i| labels[i] == label));
            }
        }
    }
}
