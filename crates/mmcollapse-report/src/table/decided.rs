//! The sheet of verdicts on one row against others.

use mmcollapse_record::{Metric, Rule};

use super::{DASH, Line, Sheet, number, probability};
use crate::report::shown::on_effect;
use crate::summary::{Decided, Summary};

/// The verdicts of `decided` on `row`; none if there are none.
pub(crate) fn sheet(summary: &Summary, row: &str, decided: &[Decided], rule: Rule, preset: &str) -> Option<Sheet> {
    let family = decided.first()?.family;
    let ours = summary.methods.iter().find(|method| *method == row)?.label();
    let effect = format!("an effect of {}", points(rule.margin));
    let mut before: Option<(&Metric, String)> = None;
    let mut rows = Vec::new();
    for one in decided {
        let place = (&one.metric, one.setting.to_string());
        let begins = before.as_ref().is_some_and(|before| *before != place);
        let (difference, verdict) = match &one.judged {
            Ok(judged) => (
                format!(
                    "{} [{}, {}]",
                    number::bare_signed_percent(judged.spread.mean),
                    number::bare_signed_percent(judged.interval.low),
                    number::bare_signed_percent(judged.interval.high)
                ),
                on_effect(judged.verdict, &effect),
            ),
            Err(why) => (
                DASH.to_owned(),
                on_effect(mmcollapse_probes::Verdict::NotTested(*why), &effect),
            ),
        };
        rows.push(Line {
            cells: vec![
                summary.methods[one.against].label(),
                format!("{}: {}", place.1, one.metric.words()),
                difference,
                one.n.to_string(),
                number::or_dash(one.p.filter(|_| one.n > 1).map(probability)),
                verdict,
            ],
            rule_above: begins,
        });
        before = Some(place);
    }
    let overlap = if rule.overlap > 0.0 {
        " Seeds cut the same records anew, which the interval allows for."
    } else {
        ""
    };
    Some(Sheet {
        name: "verdicts".to_owned(),
        heading: format!("Whether {ours} is better"),
        caption: format!(
            "{ours} minus each other row, in points, preset {preset}: mean over seeds of the paired differences, each seed's mean over \
             the levels, with the interval at level 1 − .05/{family}, as {family} comparisons of a metric share an error of 5 %.{overlap} The verdict is on \
             \"{ours} is better\", by the rule of every claim (docs/methodology/results.md), with a margin of {}. It is exploratory: \
             it was not stated before the runs. p: exact two-sided Wilcoxon signed-rank test, uncorrected; it decides nothing.",
            points(rule.margin)
        ),
        header: ["against", "protocol, metric", "difference", "n", "p", "verdict"]
            .map(str::to_owned)
            .to_vec(),
        rows,
    })
}

/// `1 point`, `2.5 points`: a share without needless digits.
fn points(margin: f64) -> String {
    let points = (margin * 1e6).round() / 1e4;
    format!("{points} point{}", if points == 1.0 { "" } else { "s" })
}
