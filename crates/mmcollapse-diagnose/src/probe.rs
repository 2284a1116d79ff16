//! Linear probes whose penalty is chosen, and what they say of samples that they were not fitted to.

use mmcollapse_probes::{LinearProbe, Matrix};

use crate::error::Result;
use crate::rows::Rows;

/// Penalties, from the strongest: the search stops where a weaker one no longer helps.
const PENALTIES: [f64; 6] = [1e4, 1e3, 1e2, 10.0, 1.0, 0.1];

/// What a linear probe says.
#[derive(Clone, Debug)]
pub(crate) struct Probed {
    /// Logits of the samples that fit, each by the probe of the half without it, class by class.
    pub fit: Vec<f64>,
    /// Logits of the samples that evaluate, by the probe of all that fit.
    pub evaluate: Vec<f64>,
    /// Mean over the two halves of the loss of each evaluated sample in nats; none where nothing was fitted.
    pub halves: Option<Vec<f64>>,
    /// The probe of all that fit.
    pub probe: Option<LinearProbe>,
}

impl Probed {
    /// Fits probes to `fit` `[fit samples, width]`, asked about `evaluate` `[samples, width]`.
    ///
    /// The penalty is the one whose two probes of half the samples lose least on the other halves.
    pub fn of(fit: &Matrix, evaluate: &Matrix, rows: &Rows) -> Result<Self> {
        let classes = rows.classes.len();
        let places = |half: bool| -> Vec<usize> { (0..fit.rows()).filter(|&at| rows.fit_half[at] == half).collect() };
        let sides = [places(false), places(true)];
        let mut parts = Vec::new();
        for side in &sides {
            let labels: Vec<u32> = side.iter().map(|&at| rows.fit_labels[at]).collect();
            parts.push((fit.select(side)?, labels));
        }
        let mut best: Option<(f64, f64, [LinearProbe; 2], Vec<f64>)> = None;
        for penalty in PENALTIES {
            let of = |side: usize| LinearProbe::fit_penalised(&parts[side].0, &parts[side].1, classes, penalty);
            let probes = [of(0)?, of(1)?];
            let mut logits = vec![0.0; fit.rows() * classes];
            for (side, probe) in probes.iter().enumerate() {
                let other = 1 - side;
                let said = probe.logits(&parts[other].0)?;
                for (&at, said) in sides[other].iter().zip(said.chunks_exact(classes)) {
                    logits[at * classes..(at + 1) * classes].copy_from_slice(said);
                }
            }
            let loss: f64 = losses(&logits, &rows.fit_labels, classes).iter().sum();
            if best.as_ref().is_some_and(|(_, least, ..)| loss >= *least) {
                break;
            }
            best = Some((penalty, loss, probes, logits));
        }
        // The first penalty is always kept: its loss is finite.
        let Some((penalty, _, probes, logits)) = best else {
            return Err(mmcollapse_probes::MeasureError::Degenerate {
                measure: "linear probe",
                reason: "its loss is not finite",
            }
            .into());
        };
        let of_half =
            |probe: &LinearProbe| -> Result<Vec<f64>> { Ok(losses(&probe.logits(evaluate)?, &rows.labels, classes)) };
        let (first, second) = (of_half(&probes[0])?, of_half(&probes[1])?);
        let probe = LinearProbe::fit_penalised(fit, &rows.fit_labels, classes, penalty)?;
        Ok(Self {
            fit: logits,
            evaluate: probe.logits(evaluate)?,
            halves: Some(first.iter().zip(&second).map(|(a, b)| f64::midpoint(*a, *b)).collect()),
            probe: Some(probe),
        })
    }

    /// The model's own logits of both sides.
    pub fn model(fit: &Matrix, evaluate: &Matrix) -> Self {
        Self {
            fit: fit.values().to_vec(),
            evaluate: evaluate.values().to_vec(),
            halves: None,
            probe: None,
        }
    }
}

/// Cross-entropy of each sample in nats.
pub(crate) fn losses(logits: &[f64], labels: &[u32], classes: usize) -> Vec<f64> {
    let of = |(z, label): (&[f64], &u32)| log_sum(z) - z[*label as usize];
    logits.chunks_exact(classes).zip(labels).map(of).collect()
}

/// ln of the sum of exp.
pub(crate) fn log_sum(z: &[f64]) -> f64 {
    let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + libm::log(z.iter().map(|z| libm::exp(z - largest)).sum())
}

/// 1 where the largest logit is the label's, else 0.
pub(crate) fn right(logits: &[f64], labels: &[u32], classes: usize) -> Vec<f64> {
    let of = |(z, label): (&[f64], &u32)| {
        let best = z
            .iter()
            .enumerate()
            .fold(0, |best, (at, value)| if *value > z[best] { at } else { best });
        f64::from(u8::from(best == *label as usize))
    };
    logits.chunks_exact(classes).zip(labels).map(of).collect()
}
