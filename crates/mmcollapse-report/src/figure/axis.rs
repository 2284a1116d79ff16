//! What a vertical axis measures, what part of it is shown, and where it is marked.

use mmcollapse_probes::quantile;
use mmcollapse_record::{Metric, Unit};

use super::{Panel, Point};

/// What a vertical axis measures. Panels of a figure with equal axes share one scale, so that they can be compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Key of the metric, or of the family that it belongs to: gaps of two modalities are compared.
    pub measure: String,
    /// The least and the largest number there can be, in the unit of the axis.
    pub range: (Option<f64>, Option<f64>),
    /// The smallest difference worth a whole axis.
    pub least: f64,
    /// Whether equal distances are equal ratios.
    pub logarithmic: bool,
}

impl Axis {
    /// The axis of a metric, in the unit that it is shown in.
    pub fn of(metric: &Metric) -> Self {
        // Shares in percent, differences of them in points, ranks and counts; else nats and numbers up to 1.
        let least = match (metric.unit(), metric.range().1) {
            (Unit::Share | Unit::Points, _) | (Unit::Number, None) => 1.0,
            _ => 0.01,
        };
        Self {
            measure: metric.definition().key.to_owned(),
            range: metric.range(),
            least,
            // Variance inflation has no upper end: one method's would press all others onto the axis.
            logarithmic: *metric == "vif_mean",
        }
    }

    /// A cross-entropy in nats.
    pub fn nats(measure: &str) -> Self {
        Self {
            measure: measure.to_owned(),
            range: (Some(0.0), None),
            least: 0.01,
            logarithmic: false,
        }
    }

    /// Shares, in percent.
    pub fn percent(measure: &str) -> Self {
        Self {
            measure: measure.to_owned(),
            range: (Some(0.0), Some(100.0)),
            least: 1.0,
            logarithmic: false,
        }
    }

    /// Differences of shares, in points.
    pub fn differences() -> Self {
        Self {
            measure: "difference".to_owned(),
            range: (Some(-100.0), Some(100.0)),
            least: 1.0,
            logarithmic: false,
        }
    }
}

/// The shown part of the vertical axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Lower edge.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// Distance of the marks.
    step: f64,
    logarithmic: bool,
    /// Whether there can be values above its upper edge.
    pub cuts: bool,
}

/// How many times taller an axis without an upper end may become for the sake of diverged runs and of intervals far out.
const ROOM: f64 = 3.0;

impl Scale {
    /// One scale for all panels.
    ///
    /// Where a quantity has no upper end, two things may squeeze all that is to be compared: diverged runs far below, whose
    /// values then stand at the lower edge, and the ends of single intervals far above (Tukey's outer fence, Exploratory Data
    /// Analysis, 1977), which are cut.
    pub fn of<'a>(panels: impl Iterator<Item = &'a Panel> + Clone, axis: &Axis) -> Self {
        let points = || {
            panels
                .clone()
                .flat_map(|p| &p.lines)
                .flat_map(|line| line.points.iter().flatten())
        };
        let marks = || {
            panels
                .clone()
                .flat_map(|panel| panel.paper.iter().map(|mark| mark.2).chain(panel.guided()))
        };
        let top = axis.range.1.unwrap_or(f64::INFINITY);
        // Of a quantity without a known least number 0 is one, unless a mean says otherwise.
        let signed = points().any(|point| point.mean < 0.0);
        let bottom = axis.range.0.unwrap_or(if signed { f64::NEG_INFINITY } else { 0.0 });
        let within = |value: f64| value.is_finite().then(|| value.clamp(bottom, top));
        // On a logarithmic axis there is no place for an interval's end at or below the least number.
        let placed = |end: &f64| !axis.logarithmic || *end > bottom.max(0.0);
        let ends = |point: &Point| {
            point
                .interval
                .map(|i| [i.low, i.high])
                .into_iter()
                .flatten()
                .filter(placed)
        };
        let mut sorted: Vec<f64> = points().flat_map(ends).filter_map(within).collect();
        sorted.sort_by(f64::total_cmp);
        let fence = match axis.range.1 {
            None if !sorted.is_empty() => {
                let (lower, upper) = (quantile(&sorted, 0.25), quantile(&sorted, 0.75));
                upper + ROOM * (upper - lower).max(axis.least)
            }
            _ => f64::INFINITY,
        };
        let reached = |chosen: &dyn Fn(&&Point) -> bool| {
            let ends = points().filter(chosen).flat_map(ends).filter(|end| *end <= fence);
            let means = points().filter(chosen).map(|point| point.mean);
            span(means.chain(ends).chain(marks()).filter_map(within))
        };
        let (low, high) = match (reached(&|_| true), reached(&|point| point.diverged == 0)) {
            (Some(all), Some(sound))
                if axis.range.1.is_none() && all.1 - all.0 > ROOM * (sound.1 - sound.0).max(axis.least) =>
            {
                (sound.0, all.1)
            }
            (Some(all), _) => all,
            (None, _) => (bottom.max(0.0), top.min(100.0)),
        };
        let scale = if axis.logarithmic {
            Self::of_ratios((low, high), bottom)
        } else {
            Self::around((low, high), (bottom, top), axis.least)
        };
        Self {
            cuts: axis.range.1.is_none(),
            ..scale
        }
    }

    /// Edges on marks, with a little air.
    fn around((low, high): (f64, f64), (bottom, top): (f64, f64), least: f64) -> Self {
        let short = 0.5 * (least - (high - low)).max(0.0);
        let air = short + 0.04 * (high - low);
        let (low, high) = ((low - air).max(bottom), (high + air).min(top));
        let step = step(high - low);
        Self {
            low: ((low / step).floor() * step).max(bottom),
            high: ((high / step).ceil() * step).min(top),
            step,
            logarithmic: false,
            cuts: false,
        }
    }

    /// Edges on powers of ten, or where they are near on 1, 2 or 5 times one.
    fn of_ratios((low, high): (f64, f64), bottom: f64) -> Self {
        let low = (low / 1.05).max(bottom.max(f64::MIN_POSITIVE));
        let high = (1.05 * high).max(2.0 * low);
        let decades = libm::log10(high / low);
        let step = if decades < 2.0 { 0.0 } else { (decades / 6.0).ceil() };
        let edge = |value: f64, round: fn(f64) -> f64| libm::pow(10.0, round(libm::log10(value)));
        let below = edge(low, f64::floor);
        let above = edge(high, f64::ceil);
        let nice = |power: f64| [1.0, 2.0, 5.0, 10.0].map(|n| n * power);
        let fine = step == 0.0;
        let last = |values: [f64; 4]| values.into_iter().rev().find(|value| *value <= low);
        let first = |values: [f64; 4]| values.into_iter().find(|value| *value >= high);
        Self {
            low: last(nice(below)).filter(|_| fine).unwrap_or(below),
            high: first(nice(above / 10.0)).filter(|_| fine).unwrap_or(above),
            step,
            logarithmic: true,
            cuts: false,
        }
    }

    /// Values of the marks, from below.
    pub fn ticks(&self) -> Vec<f64> {
        let shown = |value: &f64| *value >= self.low * (1.0 - 1e-9) && *value <= self.high * (1.0 + 1e-9);
        if self.logarithmic {
            let power = |value: f64| libm::log10(value).round() as i32;
            let powers = (power(self.low / 10.0)..=power(self.high)).step_by(self.step.max(1.0) as usize);
            let times: &[f64] = if self.step == 0.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
            let values = powers.flat_map(|power| times.iter().map(move |n| n * libm::pow(10.0, f64::from(power))));
            return values.filter(shown).collect();
        }
        // Where values cannot reach a mark, the axis ends between marks.
        let place = |edge: f64| edge / self.step;
        let (first, last) = ((place(self.low) - 1e-6).ceil(), (place(self.high) + 1e-6).floor());
        let count = (last - first).max(0.0) as usize;
        (0..=count).map(|i| (first + i as f64) * self.step).collect()
    }

    /// A mark's value with as many digits as tell it from its neighbours.
    pub fn written(&self, value: f64) -> String {
        if self.logarithmic {
            return rounded(value, 6);
        }
        let needed = (-libm::log10(self.step)).ceil().max(0.0) as usize;
        rounded(value, needed.max(2))
    }

    /// Place of a value: 0 at the lower edge, 1 at the upper.
    pub fn place(&self, value: f64) -> f64 {
        if self.logarithmic {
            let size = |value: f64| libm::log10(value.max(f64::MIN_POSITIVE));
            return (size(value) - size(self.low)) / (size(self.high) - size(self.low));
        }
        (value - self.low) / (self.high - self.low)
    }
}

fn span(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |span, value| {
        let (low, high) = span.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

/// 1, 2 or 5 times a power of ten: three to eight steps.
fn step(span: f64) -> f64 {
    let rough = span / 8.0;
    let power = libm::pow(10.0, libm::log10(rough).floor());
    let nice = [1.0, 2.0, 5.0, 10.0].map(|n| n * power);
    nice.into_iter().find(|step| *step >= rough).unwrap_or(10.0 * power)
}

/// A number on an axis: no more digits than it has, two after the point at most.
pub fn number(value: f64) -> String {
    rounded(value, 2)
}

fn rounded(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let sign = if value < 0.0 && text != "0" { "−" } else { "" };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Line;
    use crate::figure::style::BASELINE;
    use mmcollapse_probes::Interval;

    fn axis(key: &str) -> Axis {
        Axis::of(&key.parse().unwrap())
    }

    fn scale(key: &str, points: &[(f64, f64, usize)]) -> Scale {
        Scale::of([panel(points)].iter(), &axis(key))
    }

    fn panel(points: &[(f64, f64, usize)]) -> Panel {
        let point = |&(low, high, diverged): &(f64, f64, usize)| {
            Some(Point {
                mean: f64::midpoint(low, high),
                interval: Some(Interval { low, high }),
                seeds: 10,
                diverged,
            })
        };
        Panel {
            title: String::new(),
            axis: axis("accuracy"),
            lines: vec![Line {
                style: BASELINE,
                points: points.iter().map(point).collect(),
                level: false,
            }],
            paper: vec![],
            guides: Vec::new(),
        }
    }

    #[test]
    fn axes_end_where_values_can() {
        for (key, point, end) in [
            ("accuracy", (93.0, 104.0, 0), 100.0),
            ("auroc", (97.0, 101.0, 0), 100.0),
            ("cka_sound", (0.8, 1.3, 0), 1.0),
            ("cosine_sound", (0.97, 1.01, 0), 1.0),
        ] {
            assert_eq!(scale(key, &[point]).high, end, "{key}");
        }
        for (key, point, end) in [
            ("accuracy", (-20.0, 30.0, 0), 0.0),
            ("cka_sound", (-0.2, 0.3, 0), 0.0),
            ("cosine_sound", (-1.2, 0.2, 0), -1.0),
            ("rank_effective", (-1.0, 3.0, 0), 0.0),
            ("epochs_to_90", (0.0, 30.0, 0), 1.0),
        ] {
            assert_eq!(scale(key, &[point]).low, end, "{key}");
        }
        let ticks = scale("epochs_to_90", &[(0.0, 30.0, 0)]).ticks();
        assert_eq!(ticks[..2], [5.0, 10.0]);
    }

    #[test]
    fn what_can_be_negative_is_shown_below_zero() {
        let below = scale("gap_first", &[(-3.0, 1.0, 0), (1.0, 4.0, 0)]);
        assert!(below.low <= -3.0 && below.high >= 4.0, "{below:?}");
        let cosine = scale("cosine_sound", &[(-0.1, 0.3, 0)]);
        assert!(cosine.low <= -0.1, "{cosine:?}");
    }

    #[test]
    fn log_axes_show_the_numbers_and_cut_what_lies_below_their_end() {
        let far = scale("vif_mean", &[(1.5, 4.0, 0), (-500.0, 9000.0, 0)]);
        assert_eq!((far.low, far.high), (1.0, 10_000.0));
        let written = |scale: Scale| scale.ticks().into_iter().map(|t| scale.written(t)).collect::<Vec<_>>();
        assert_eq!(written(far), ["1", "10", "100", "1000", "10000"]);
        assert_eq!(far.place(100.0), 0.5);
        // An end that has no place on the axis does not stretch it.
        let near = scale("vif_mean", &[(-500.0, 900.0, 0), (130.0, 150.0, 0)]);
        assert_eq!(written(near), ["100", "200", "500", "1000"]);
        assert!(near.place(-500.0) < 0.0);
    }

    #[test]
    fn one_interval_far_out_does_not_squeeze_the_others() {
        let mut points = vec![(0.5, 0.7, 0); 20];
        points.push((0.4, 0.8, 0));
        let near = scale("loss_semantic", &points);
        points.push((0.55, 4.0, 0));
        points.last_mut().unwrap().1 = 4.0;
        let mut far = panel(&points);
        far.lines[0].points[21].as_mut().unwrap().mean = 0.6;
        let far = Scale::of([far].iter(), &axis("loss_semantic"));
        assert!(far.high < 2.0 && far.high >= near.high, "{far:?}");
    }

    #[test]
    fn edges_lie_on_marks() {
        let scale = scale("accuracy", &[(90.3, 96.2, 0)]);
        assert_eq!((scale.low, scale.high), (90.0, 97.0));
        assert_eq!(scale.ticks().len(), 8);
        assert_eq!(scale.place(93.5), 0.5);
    }

    #[test]
    fn diverged_runs_do_not_squeeze_the_others() {
        let cut = scale("rank_effective", &[(90.0, 96.0, 0), (10.0, 50.0, 5)]);
        assert!(cut.low > 80.0);
        let near = scale("rank_effective", &[(90.0, 96.0, 0), (85.0, 89.0, 1)]);
        assert!(near.low <= 85.0);
        let alone = scale("rank_effective", &[(10.0, 50.0, 5)]);
        assert!(alone.low <= 10.0 && alone.high >= 50.0);
        // Shares are shown whole: what lies close together has a zoom of its own.
        assert!(scale("accuracy", &[(90.0, 96.0, 0), (10.0, 50.0, 5)]).low <= 10.0);
    }

    #[test]
    fn nothing_to_show_is_still_a_scale() {
        let scale_of_nothing = Scale::of([].iter(), &axis("accuracy"));
        assert_eq!((scale_of_nothing.low, scale_of_nothing.high), (0.0, 100.0));
        for (key, value) in [
            ("accuracy", 92.0),
            ("accuracy", 100.0),
            ("vif_collinear", 0.0),
            ("vif_mean", 1.0),
        ] {
            let one = scale(key, &[(value, value, 0)]);
            assert!(
                one.low <= value && one.high >= value && one.low < one.high,
                "{key} {one:?}"
            );
            assert!(one.ticks().len() > 1, "{one:?}");
        }
    }

    #[test]
    fn numbers_on_axes() {
        assert_eq!([95.0, 97.5, 0.0].map(number), ["95", "97.5", "0"]);
        let fine = Scale {
            low: 0.34,
            high: 0.35,
            step: 0.005,
            logarithmic: false,
            cuts: false,
        };
        let written: Vec<String> = fine.ticks().into_iter().map(|tick| fine.written(tick)).collect();
        assert_eq!(written, ["0.34", "0.345", "0.35"]);
    }
}
