//! The forest plot of a claim: a line for each primary test, all in units of their margins.

use std::fmt::Write as _;

use mmcollapse_probes::Verdict;

use super::html::escape;
use super::shown::{Numbers, verdict};
use super::verdict::{Family, Tested, word};

/// Width of the names of data sets, of the plot, and of what is left beside it.
const NAMES: f64 = 104.0;
const PLOT: f64 = 220.0;
const EDGE: f64 = 10.0;

/// Height of a line.
const LINE: f64 = 12.0;

/// What is drawn: from twice the margin on the other side to three times the margin on the claimed side.
const ENDS: (f64, f64) = (-2.0, 3.0);

/// The plot as SVG; nothing where no test has an interval.
pub(super) fn forest(families: &[Family]) -> String {
    let lines: usize = families.iter().map(|family| family.primary.len()).sum();
    let any = families
        .iter()
        .flat_map(|family| &family.primary)
        .any(|test| test.deciding().is_some());
    if !any {
        return String::new();
    }
    let (width, height) = (NAMES + PLOT + EDGE, LINE * lines as f64 + 16.0);
    let bottom = LINE * lines as f64 + 2.0;
    let mut svg = format!(
        "<svg class=\"forest\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"Intervals of the tests in units of their \
         margins\">\n<path class=\"zero\" d=\"M{0:.1} 0V{bottom}\"/><path class=\"paper\" d=\"M{1:.1} 0V{bottom}\"/>\n\
         <text x=\"{0:.1}\" y=\"{2}\" text-anchor=\"middle\">0</text><text x=\"{1:.1}\" y=\"{2}\" text-anchor=\"middle\">margin</text>\n",
        across(0.0),
        across(1.0),
        height - 3.0
    );
    let mut place = 0;
    for family in families {
        for (i, test) in family.primary.iter().enumerate() {
            let y = LINE * (place as f64 + 0.5) + 1.0;
            if i == 0 {
                let name = escape(family.on.trim_start_matches("the "));
                let _ = write!(svg, "<text x=\"0\" y=\"{:.1}\">{name}</text>", y + 3.0);
            }
            line(test, family.on, y, &mut svg);
            place += 1;
        }
    }
    svg + "</svg>"
}

/// One test: the interval of the part that decides it, with a mark for the verdict.
fn line(test: &Tested, dataset: &str, y: f64, svg: &mut String) {
    let Some(first) = test.parts.first() else { return };
    let shown = test.deciding().unwrap_or(first);
    let of_whole = verdict(test.verdict, first.comparison);
    let part = if test.parts.len() > 1 {
        format!(" (decided by one of {}: {})", test.parts.len(), shown.name)
    } else {
        String::new()
    };
    let title = format!(
        "{dataset}: {}{part}: {}; {of_whole}",
        test.test.says,
        Numbers::of(shown).effect
    );
    let class = class(test.verdict);
    let _ = write!(svg, "<g class=\"{class}\"><title>{}</title>", escape(&title));
    match shown.relative() {
        None => {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\">not tested</text>",
                across(ENDS.0),
                y + 3.0
            );
        }
        Some((mean, interval)) => {
            let (low, high) = (across(interval.low), across(interval.high));
            let _ = write!(svg, "<path d=\"M{low:.1} {y:.1}H{high:.1}\"/>");
            // An arrow where the interval goes on.
            for (goes_on, x, step) in [(interval.low < ENDS.0, low, 4.0), (interval.high > ENDS.1, high, -4.0)] {
                if goes_on {
                    let from = x + step;
                    let _ = write!(
                        svg,
                        "<path d=\"M{from:.1} {:.1}L{x:.1} {y:.1}L{from:.1} {:.1}\"/>",
                        y - 3.0,
                        y + 3.0
                    );
                }
            }
            if (ENDS.0..=ENDS.1).contains(&mean) {
                let x = across(mean);
                let _ = match test.verdict {
                    Verdict::Supported { .. } => write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>"),
                    Verdict::Contradicted => {
                        write!(
                            svg,
                            "<path class=\"mark\" d=\"M{:.1} {:.1}l6 6m0 -6l-6 6\"/>",
                            x - 3.0,
                            y - 3.0
                        )
                    }
                    Verdict::Excluded => {
                        write!(
                            svg,
                            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"6\" height=\"6\"/>",
                            x - 3.0,
                            y - 3.0
                        )
                    }
                    _ => write!(svg, "<circle class=\"open\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"),
                };
            }
        }
    }
    svg.push_str("</g>\n");
}

/// Where an effect lies across, kept within the plot.
fn across(effect: f64) -> f64 {
    NAMES + PLOT * (effect.clamp(ENDS.0, ENDS.1) - ENDS.0) / (ENDS.1 - ENDS.0)
}

/// The class of a verdict in the page's style.
pub(super) fn class(verdict: Verdict) -> &'static str {
    match word(verdict) {
        "not tested" => "not-tested",
        "these data cannot decide" => "undecidable",
        word => word,
    }
}
