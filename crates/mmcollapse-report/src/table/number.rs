//! How numbers are written: the one place.

use mmcollapse_probes::Estimate;
use mmcollapse_record::Metric;

/// Where there is no number to print.
pub const DASH: &str = "–";

/// A minus as wide as a plus.
const MINUS: char = '−';

/// `94.21 ± 0.36` from shares: mean and half-width of the t interval; the mean alone of one run.
pub fn percent(estimate: &Estimate) -> String {
    let mean = with_minus(format!("{:.2}", 100.0 * estimate.mean));
    with_half_width(mean, estimate)
}

/// `+0.31 ± 0.22` from a difference of shares, in points; the difference alone of one pair.
pub fn signed_percent(estimate: &Estimate) -> String {
    with_half_width(bare_signed_percent(estimate.mean), estimate)
}

fn with_half_width(mean: String, estimate: &Estimate) -> String {
    match estimate.interval {
        Some(interval) => format!("{mean} ± {:.2}", 50.0 * (interval.high - interval.low)),
        None => mean,
    }
}

/// A mean with its half-width, as numbers of the metric are written.
pub(super) fn written(metric: &Metric, estimate: &Estimate) -> String {
    if metric.is_share() {
        percent(estimate)
    } else {
        plain(estimate)
    }
}

/// A difference with its half-width, as numbers of the metric are written.
pub(super) fn signed(metric: &Metric, estimate: &Estimate) -> String {
    if metric.is_share() {
        return signed_percent(estimate);
    }
    let sign = if estimate.mean < 0.0 { "" } else { "+" };
    format!("{sign}{}", plain(estimate))
}

/// `0.692 ± 0.004` from a number in its own unit; the mean alone of one run.
pub(super) fn plain(estimate: &Estimate) -> String {
    let mean = estimate.mean;
    let half = estimate.interval.map(|interval| 0.5 * (interval.high - interval.low));
    with_minus(match (half, mean.abs() < 1000.0) {
        (Some(half), true) => format!("{mean:.3} ± {half:.3}"),
        (Some(half), false) => format!("{mean:.1e} ± {half:.1e}"),
        (None, true) => format!("{mean:.3}"),
        (None, false) => format!("{mean:.1e}"),
    })
}

fn with_minus(number: String) -> String {
    number.replace('-', &MINUS.to_string())
}

/// A share as the paper prints it: `94.21`.
pub(crate) fn bare_percent(share: f64) -> String {
    format!("{:.2}", 100.0 * share)
}

/// A difference of shares in points, with its sign: `+0.31`, `−1.20`.
pub(super) fn bare_signed_percent(difference: f64) -> String {
    let written = format!("{:+.2}", 100.0 * difference);
    if written == "-0.00" {
        return "+0.00".to_owned();
    }
    with_minus(written)
}

/// The least p that is printed as a number.
pub const LEAST_P: f64 = 0.0001;

/// A p value: `0.0137`, `0.24`, `< 0.0001`.
pub fn probability(p: f64) -> String {
    if p < LEAST_P {
        "< 0.0001".to_owned()
    } else if p < 0.1 {
        format!("{p:.4}")
    } else {
        format!("{p:.2}")
    }
}

/// `10`, or `8–10` where they differ; a dash for none.
pub(crate) fn range(counts: &[usize]) -> String {
    match (counts.iter().min(), counts.iter().max()) {
        (Some(low), Some(high)) if low == high => low.to_string(),
        (Some(low), Some(high)) => format!("{low}–{high}"),
        _ => DASH.to_owned(),
    }
}

pub(super) fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| DASH.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmcollapse_probes::estimate;

    #[test]
    fn numbers_of_several_runs_come_with_an_interval_and_that_of_one_alone() {
        let one = estimate(&[0.9]).unwrap();
        let written = [percent(&one), signed_percent(&one), plain(&one)];
        assert_eq!(written, ["90.00", "+90.00", "0.900"]);
        let two = estimate(&[0.90, 0.92]).unwrap();
        assert_eq!(percent(&two), "91.00 ± 12.71");
        let gap = estimate(&[-0.01, -0.01]).unwrap();
        assert_eq!(
            (percent(&gap), plain(&gap)),
            ("−1.00 ± 0.00".into(), "−0.010 ± 0.000".into())
        );
        assert_eq!(signed_percent(&estimate(&[-0.01, -0.01]).unwrap()), "−1.00 ± 0.00");
    }

    #[test]
    fn other_numbers() {
        assert_eq!(bare_signed_percent(-0.000_001), "+0.00");
        assert_eq!(
            (range(&[3, 3]), range(&[2, 3]), range(&[])),
            ("3".into(), "2–3".into(), "–".into())
        );
        assert_eq!(
            [0.5, 0.013_67, 0.000_01].map(probability),
            ["0.50", "0.0137", "< 0.0001"]
        );
    }
}
