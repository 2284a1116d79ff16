//! A patient's stays, the risk of each, and what comes of it.
//!
//! What is drawn for a stay (death within 90 days of discharge or not, next admission within 15 days or not) is what its
//! dates then say: no later draw contradicts an earlier one. A death soon after a discharge comes no sooner than the
//! survival of the stay before allows, and nobody dies in hospital while an earlier stay is to be survived.

use mmcollapse_nn::random::Stream;

use super::super::cohort::Outcome;
use super::super::time::{DAY, MINUTE};
use super::config::PlantConfig;

/// Minutes of a day.
const DAY_MINUTES: i64 = 24 * 60;
/// Longest stay of the cohort, in minutes.
const LONGEST: i64 = 10 * DAY_MINUTES;
/// Calendar days from discharge to death: with the last of them the death still counts, with the first of the later ones
/// no more, at whatever time of day the discharge was.
const SOON: i64 = 90;
const LATER: i64 = 92;
/// Days to the next admission that count as readmission: fewer than these.
const BACK: i64 = 16;
/// Longest time out of hospital, in days.
const AWAY: i64 = 400;
/// 2110-01-01, in days since 1970, and the days over which first admissions are spread: a hundred years.
const FIRST: i64 = 51_134;
const SPREAD: usize = 36_525;

/// A patient.
pub(super) struct Patient {
    /// From 0.
    pub(super) number: u64,
    /// The share of the risk that all stays have in common, standard normal.
    pub(super) risk: f64,
    /// Seconds of the midnight before death, where it is known.
    pub(super) died: Option<i64>,
    pub(super) stays: Vec<Stay>,
}

/// A stay.
pub(super) struct Stay {
    /// Different for every stay of every patient: what draws are keyed by.
    pub(super) record: u64,
    /// Standard normal.
    pub(super) risk: f64,
    /// Seconds since 1970, whole minutes.
    pub(super) admitted: i64,
    pub(super) discharged: i64,
    pub(super) died_in_hospital: bool,
    /// Death follows within 90 days of discharge.
    dies: bool,
    /// Minutes from discharge to the next admission.
    next: Option<i64>,
}

impl Stay {
    pub(super) fn minutes(&self) -> i64 {
        (self.discharged - self.admitted) / MINUTE
    }

    /// Whether the cohort has it, but for the patient's age.
    pub(super) fn counts(&self) -> bool {
        !self.died_in_hospital && self.minutes() <= LONGEST
    }

    /// The labels that were drawn, as far as the tables will tell them; `known`: whether the patient's death is recorded.
    pub(super) fn outcome(&self, known: bool) -> Outcome {
        let alive_later = self.next.is_some_and(|minutes| minutes >= (SOON + 1) * DAY_MINUTES);
        Outcome {
            mortality: (self.dies || known || alive_later).then_some(self.dies),
            readmission: self.next.map(|minutes| minutes < BACK * DAY_MINUTES),
        }
    }
}

/// What histories are drawn from.
pub(super) struct Histories<'a> {
    config: &'a PlantConfig,
    /// Log-odds of either label at average risk.
    mortality: f64,
    readmission: f64,
}

impl<'a> Histories<'a> {
    pub(super) fn new(config: &'a PlantConfig) -> Self {
        let history = &config.history;
        Self {
            config,
            mortality: intercept(history.mortality, history.slope),
            readmission: intercept(history.readmission, history.slope),
        }
    }

    pub(super) fn patient(&self, number: u64) -> Patient {
        let (seed, history) = (self.config.seed, &self.config.history);
        let risk = Stream::at(seed, "ehr planted patient risk", number).normal();
        let mut first = Stream::at(seed, "ehr planted first admission", number);
        let mut patient = Patient {
            number,
            risk,
            died: None,
            stays: Vec::new(),
        };
        let mut admitted =
            (FIRST + first.below(SPREAD) as i64) * DAY + first.below(DAY_MINUTES as usize) as i64 * MINUTE;
        // Day until which an earlier stay is survived.
        let mut safe = i64::MIN;
        loop {
            let record = number << 16 | patient.stays.len() as u64;
            let mut draws = Stream::at(seed, "ehr planted stay", record);
            let own = Stream::at(seed, "ehr planted stay risk", record).normal();
            let risk = history.patient_share.sqrt() * risk + (1. - history.patient_share).sqrt() * own;
            let likely = |log_odds: f64| logistic(log_odds + history.slope * risk);
            let long = draws.bernoulli(history.long_stays);
            let part = draws.uniform(0., 1.);
            let falls_ill = draws.bernoulli(history.in_hospital);
            let dies = draws.bernoulli(likely(self.mortality));
            let more = draws.bernoulli(1. - 1. / history.admissions);
            let back = draws.bernoulli(likely(self.readmission));
            let (when_dead, when_back) = (draws.uniform(0., 1.), draws.uniform(0., 1.));

            let length = if long {
                within(LONGEST + 1, 3 * LONGEST, part)
            } else {
                // Most stays are short: the square bends the draw.
                within(DAY_MINUTES, LONGEST + 1, part * part)
            };
            let discharged = admitted + length * MINUTE;
            let today = discharged.div_euclid(DAY);
            let died_in_hospital = falls_ill && today >= safe;
            let mut stay = Stay {
                record,
                risk,
                admitted,
                discharged,
                died_in_hospital,
                dies: false,
                next: None,
            };
            if died_in_hospital {
                patient.died = Some(today * DAY);
                patient.stays.push(stay);
                break;
            }
            let away = if back { (1, BACK) } else { (BACK, AWAY) };
            if dies {
                stay.dies = true;
                // Whoever is to be admitted once more dies there, at the earliest two days after being away.
                let earliest = if more { away.0 + 2 } else { 0 };
                let died = within((today + earliest).max(safe), today + SOON + 1, when_dead);
                patient.died = Some(died * DAY);
                if more {
                    let latest = away.1.min(died - today - 1);
                    let gap = within(away.0 * DAY_MINUTES, latest * DAY_MINUTES, when_back);
                    stay.next = Some(gap);
                    patient.stays.push(stay);
                    patient.stays.push(Stay {
                        record: record + 1,
                        risk,
                        admitted: discharged + gap * MINUTE,
                        discharged: died * DAY + DAY / 2,
                        died_in_hospital: true,
                        dies: false,
                        next: None,
                    });
                } else {
                    patient.stays.push(stay);
                }
                break;
            }
            if !more {
                let mut later = Stream::at(seed, "ehr planted later death", number);
                if later.bernoulli(history.later_deaths) {
                    patient.died = Some((today + within(LATER, 365, later.uniform(0., 1.))) * DAY);
                }
                patient.stays.push(stay);
                break;
            }
            let gap = within(away.0 * DAY_MINUTES, away.1 * DAY_MINUTES, when_back);
            stay.next = Some(gap);
            patient.stays.push(stay);
            safe = today + LATER;
            admitted = discharged + gap * MINUTE;
        }
        patient
    }
}

/// The whole number of `[from, to)` that the share `part` of the way leads to.
pub(super) fn within(from: i64, to: i64, part: f64) -> i64 {
    from + ((to - from) as f64 * part) as i64
}

pub(super) fn logistic(x: f64) -> f64 {
    1. / (1. + libm::exp(-x))
}

/// The `a` for which the mean of logistic(a + slope z) over standard normal z is `rate`, by halving.
fn intercept(rate: f64, slope: f64) -> f64 {
    // z from -8 to 8 in steps of 1/16, weighed by the density: exact to far more digits than any sample shows.
    let points: Vec<(f64, f64)> = (-128..=128)
        .map(|i| f64::from(i) / 16.)
        .map(|z| (z, libm::exp(-z * z / 2.)))
        .collect();
    let total: f64 = points.iter().map(|(_, weight)| weight).sum();
    let mean = |a: f64| points.iter().map(|(z, w)| w * logistic(a + slope * z)).sum::<f64>() / total;
    let (mut low, mut high) = (-100., 100.);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if mean(middle) < rate {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_met_on_average() {
        // Without a slope it is the log-odds; with one, a rate of a half needs no shift.
        assert!((intercept(0.2, 0.) - libm::log(0.25)).abs() < 1e-12);
        assert!(intercept(0.5, 3.).abs() < 1e-12);
        let a = intercept(0.1, 2.);
        let mut draws = Stream::new(1, "test");
        let n = 40_000;
        let mean = (0..n).map(|_| logistic(a + 2. * draws.normal())).sum::<f64>() / f64::from(n);
        assert!((mean - 0.1).abs() < 0.004, "{mean}");
    }
}
