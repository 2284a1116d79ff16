//! How the learning rate changes from epoch to epoch.
//!
//! In a spec: `{kind: constant}`, `{kind: step, every: 100, factor: 0.9}` or
//! `{kind: cosine, floor: 0.0, warmup: 5}`. A key that the kind does not use is an error rather than ignored.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// A rule for the learning rate, as a factor of its first value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub enum Schedule {
    /// Always 1.
    #[default]
    Constant,
    /// `factor^floor(epoch / every)` (PyTorch's `StepLR`).
    Step {
        /// Epochs between two changes, at least 1.
        every: usize,
        /// What the rate is multiplied by at each change, positive.
        factor: f64,
    },
    /// From 1 to `floor` along half a cosine (Loshchilov and Hutter 2017; PyTorch's `CosineAnnealingLR` with
    /// `T_max` the number of epochs), after a linear rise over the first `warmup` epochs.
    Cosine {
        /// Factor that the last epoch comes close to, in 0..=1.
        floor: f64,
        /// Epochs of linear rise: epoch e has factor (e + 1) / (warmup + 1).
        warmup: usize,
    },
}

impl Schedule {
    /// The same over so many times the epochs.
    #[must_use]
    pub fn stretched(self, times: usize) -> Self {
        match self {
            Self::Constant => Self::Constant,
            Self::Step { every, factor } => Self::Step {
                every: every * times,
                factor,
            },
            Self::Cosine { floor, warmup } => Self::Cosine {
                floor,
                warmup: warmup * times,
            },
        }
    }

    /// The factor of `epoch` (counted from 0) in a run of `epochs`.
    pub fn factor(&self, epoch: usize, epochs: usize) -> f64 {
        match *self {
            Self::Constant => 1.0,
            Self::Step { every, factor } => libm::pow(factor, (epoch / every.max(1)) as f64),
            Self::Cosine { warmup, .. } if epoch < warmup => (epoch + 1) as f64 / (warmup + 1) as f64,
            Self::Cosine { floor, warmup } => {
                let length = epochs.saturating_sub(warmup).max(1) as f64;
                let done = ((epoch - warmup) as f64 / length).min(1.0);
                floor + (1.0 - floor) * 0.5 * (1.0 + libm::cos(PI * done))
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Constant,
    Step,
    Cosine,
}

/// A schedule as it is written. Flat, because YAML errors inside of a tagged enum lose their line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    factor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    floor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warmup: Option<usize>,
}

impl TryFrom<Fields> for Schedule {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields {
            kind,
            every,
            factor,
            floor,
            warmup,
        } = fields;
        match kind {
            Kind::Constant => match (every, factor, floor, warmup) {
                (None, None, None, None) => Ok(Self::Constant),
                _ => Err("a constant schedule has no key but `kind`".into()),
            },
            Kind::Step => match (every, factor, floor, warmup) {
                (Some(every), Some(factor), None, None) => {
                    if every == 0 {
                        return Err("`every` of a step schedule must be at least 1 epoch".into());
                    }
                    if !(factor.is_finite() && factor > 0.0) {
                        return Err(format!("`factor` of a step schedule must be positive, got {factor}"));
                    }
                    Ok(Self::Step { every, factor })
                }
                _ => Err("a step schedule needs `every` and `factor`, and no other key".into()),
            },
            Kind::Cosine => match (every, factor) {
                (None, None) => {
                    let floor = floor.unwrap_or(0.0);
                    if !(0.0..=1.0).contains(&floor) {
                        return Err(format!("`floor` of a cosine schedule must lie in 0..=1, got {floor}"));
                    }
                    let warmup = warmup.unwrap_or(0);
                    Ok(Self::Cosine { floor, warmup })
                }
                _ => Err("a cosine schedule knows `floor` and `warmup`, and no other key".into()),
            },
        }
    }
}

impl From<Schedule> for Fields {
    fn from(schedule: Schedule) -> Self {
        let empty = Self {
            kind: Kind::Constant,
            every: None,
            factor: None,
            floor: None,
            warmup: None,
        };
        match schedule {
            Schedule::Constant => empty,
            Schedule::Step { every, factor } => Self {
                kind: Kind::Step,
                every: Some(every),
                factor: Some(factor),
                ..empty
            },
            Schedule::Cosine { floor, warmup } => Self {
                kind: Kind::Cosine,
                floor: Some(floor),
                warmup: Some(warmup),
                ..empty
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretched_schedules_pass_through_the_same_factors() {
        let step = Schedule::Step { every: 8, factor: 0.1 };
        let cosine = Schedule::Cosine { floor: 0.1, warmup: 0 };
        for schedule in [Schedule::Constant, step, cosine] {
            for epoch in 0..12 {
                let long = schedule.stretched(5).factor(5 * epoch, 60);
                assert!(
                    (long - schedule.factor(epoch, 12)).abs() < 1e-12,
                    "{schedule:?} {epoch}"
                );
            }
        }
        assert_eq!(
            Schedule::Cosine { floor: 0.0, warmup: 2 }.stretched(3),
            Schedule::Cosine { floor: 0.0, warmup: 6 }
        );
    }

    #[test]
    fn factors_are_those_of_the_formulas() {
        assert_eq!(Schedule::Constant.factor(7, 10), 1.0);
        let step = Schedule::Step {
            every: 100,
            factor: 0.9,
        };
        assert_eq!(step.factor(99, 1200), 1.0);
        assert!((step.factor(1199, 1200) - 0.9_f64.powi(11)).abs() < 1e-15);
        let cosine = Schedule::Cosine { floor: 0.1, warmup: 0 };
        assert_eq!(cosine.factor(0, 10), 1.0);
        assert!((cosine.factor(5, 10) - 0.55).abs() < 1e-15);
        assert!((cosine.factor(10, 10) - 0.1).abs() < 1e-15);
        assert_eq!(cosine.factor(11, 10), cosine.factor(10, 10));
        let warm = Schedule::Cosine { floor: 0.0, warmup: 3 };
        assert_eq!(warm.factor(0, 10), 0.25);
        assert_eq!(warm.factor(3, 10), 1.0);
        assert!(warm.factor(0, 2).is_finite() && warm.factor(5, 2).is_finite());
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (text, schedule) in [
            (r#"{"kind":"constant"}"#, Schedule::Constant),
            (
                r#"{"kind":"step","every":100,"factor":0.9}"#,
                Schedule::Step {
                    every: 100,
                    factor: 0.9,
                },
            ),
            (
                r#"{"kind":"cosine","floor":0.0,"warmup":5}"#,
                Schedule::Cosine { floor: 0.0, warmup: 5 },
            ),
        ] {
            assert_eq!(serde_json::from_str::<Schedule>(text).unwrap(), schedule);
            assert_eq!(serde_json::to_string(&schedule).unwrap(), text);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for text in [
            r#"{"kind":"linear"}"#,
            r#"{"kind":"constant","every":3}"#,
            r#"{"kind":"step","every":3}"#,
            r#"{"kind":"step","every":0,"factor":0.5}"#,
            r#"{"kind":"step","every":3,"factor":0}"#,
            r#"{"kind":"cosine","floor":2}"#,
            r#"{"kind":"cosine","gamma":2}"#,
            r#"{"every":3}"#,
        ] {
            assert!(serde_json::from_str::<Schedule>(text).is_err(), "{text}");
        }
    }
}
