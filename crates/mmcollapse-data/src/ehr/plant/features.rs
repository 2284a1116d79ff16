//! What of a modality occurs in a stay.
//!
//! Each modality has streams of its own for its presence, its predictive and its noisy features, keyed by the stay, and
//! each feature takes as many numbers of its stream as any other: neither another modality nor one more feature moves
//! what is drawn for the rest.

use mmcollapse_nn::random::Stream;

use super::config::{Features, PlantConfig};
use super::history::{Patient, Stay, logistic, within};

/// A feature of a modality, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    /// In every stay that has the modality, so that having it tells nothing of the risk.
    Constant,
    Predictive(usize),
    Noisy(usize),
}

impl Feature {
    /// All features of a modality.
    pub(super) fn all(features: &Features) -> Vec<Self> {
        let predictive = (1..=features.predictive).map(Self::Predictive);
        let noisy = (1..=features.noisy).map(Self::Noisy);
        [Self::Constant].into_iter().chain(predictive).chain(noisy).collect()
    }

    /// A code that says which it is: `A0`, `P3`, `N17`.
    pub(super) fn code(self) -> String {
        match self {
            Self::Constant => "A0".to_owned(),
            Self::Predictive(i) => format!("P{i}"),
            Self::Noisy(i) => format!("N{i}"),
        }
    }

    /// `planted predictive diagnosis 3`.
    pub(super) fn title(self, what: &str) -> String {
        match self {
            Self::Constant => format!("planted {what} of every stay"),
            Self::Predictive(i) => format!("planted predictive {what} {i}"),
            Self::Noisy(i) => format!("planted noisy {what} {i}"),
        }
    }

    /// The number of a laboratory item, where the others of MIMIC-IV have five digits.
    pub(super) fn item(self) -> usize {
        match self {
            Self::Constant => 60_000,
            Self::Predictive(i) => 61_000 + i,
            Self::Noisy(i) => 63_000 + i,
        }
    }
}

/// A feature that occurs, at this share of the stay's time.
pub(super) type Occurrence = (Feature, f64);

/// The features of `modality` in `stay`; nothing at all where it lacks the modality.
pub(super) fn occurring(seed: u64, modality: &str, features: &Features, stay: &Stay) -> Vec<Occurrence> {
    let stream = |what: &str| Stream::at(seed, &format!("ehr planted {modality} {what}"), stay.record);
    let mut presence = stream("presence");
    if !presence.bernoulli(features.presence) {
        return Vec::new();
    }
    let mut found = vec![(Feature::Constant, presence.uniform(0., 1.))];
    let log_odds = libm::log(features.frequency / (1. - features.frequency));
    let mut draw = |what: &str, count: usize, slope: f64, feature: fn(usize) -> Feature| {
        let chance = logistic(log_odds + slope * stay.risk);
        let mut stream = stream(what);
        for i in 1..=count {
            let (occurs, at) = (stream.bernoulli(chance), stream.uniform(0., 1.));
            if occurs {
                found.push((feature(i), at));
            }
        }
    };
    draw(
        "predictive",
        features.predictive,
        features.strength,
        Feature::Predictive,
    );
    draw("noisy", features.noisy, 0., Feature::Noisy);
    found
}

/// A value of a laboratory item, in standard deviations of the item.
pub(super) struct Measured {
    pub(super) feature: Feature,
    /// Share of the stay's time.
    pub(super) at: f64,
    pub(super) value: f64,
}

/// How far values of a stay wander around the stay's level, in standard deviations of the level.
const WANDER: f64 = 0.5;

/// The values of a stay, by time; nothing where it lacks the modality.
pub(super) fn measured(config: &PlantConfig, stay: &Stay) -> Vec<Measured> {
    let features = &config.labs;
    let stream = |what: &str| Stream::at(config.seed, &format!("ehr planted labs {what}"), stay.record);
    let mut draws = stream("presence");
    if !draws.bernoulli(features.presence) {
        return Vec::new();
    }
    let number = 1 + draws.below(2 * config.blood_draws - 1);
    let mut times: Vec<f64> = (0..number).map(|_| draws.uniform(0., 1.)).collect();
    times.sort_by(f64::total_cmp);
    let mut found = Vec::new();
    let mut measure = |feature: Feature, frequency: f64, shift: f64, stream: &mut Stream| {
        let level = shift + stream.normal();
        for &at in &times {
            let taken = stream.bernoulli(frequency);
            let value = level + WANDER * stream.normal();
            if taken {
                found.push(Measured { feature, at, value });
            }
        }
    };
    measure(Feature::Constant, 1., 0., &mut stream("constant"));
    let (mut predictive, mut noisy) = (stream("predictive"), stream("noisy"));
    for i in 1..=features.predictive {
        let shift = features.strength * stay.risk;
        measure(Feature::Predictive(i), features.frequency, shift, &mut predictive);
    }
    for i in 1..=features.noisy {
        measure(Feature::Noisy(i), features.frequency, 0., &mut noisy);
    }
    // Stable: the items of one drawing keep their order.
    found.sort_by(|a, b| a.at.total_cmp(&b.at));
    found
}

/// A patient's age at the first admission, gender and group.
pub(super) struct Person {
    pub(super) age: i64,
    pub(super) gender: &'static str,
    /// 1 to 4.
    pub(super) group: i64,
}

pub(super) fn person(config: &PlantConfig, patient: &Patient) -> Person {
    let of = &config.demographics;
    let mut draws = Stream::at(config.seed, "ehr planted demographics", patient.number);
    // Three standard normal numbers, of which the first ones hold the risk.
    let mut told = |place: usize| {
        let noise = draws.normal();
        if place < of.predictive {
            (of.strength * patient.risk + noise) / libm::hypot(of.strength, 1.)
        } else {
            noise
        }
    };
    let (age, gender, group) = (told(0), told(1), told(2));
    Person {
        // MIMIC-IV writes 91 for all ages above 89.
        age: ((62. + 16. * age) as i64).clamp(18, 91),
        gender: if gender > 0. { "M" } else { "F" },
        // The third standard deviation on either side belongs to the outer groups.
        group: within(1, 5, ((group + 2.) / 4.).clamp(0., 0.999)),
    }
}
