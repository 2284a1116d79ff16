//! The sheets of one row against every other: differences and p, by seed and as the paper pairs.

use mmcollapse_probes::smallest_attainable_p;
use mmcollapse_record::{Metric, ProtocolKind, RowId};

use super::{DASH, Line, Sheet, Table, number, probability};
use crate::paper::Paper;

use crate::summary::{Difference, Pairing, Summary, Versus};

/// What is set.
pub struct Tests<'a> {
    /// Where the rows stand.
    pub summary: &'a Summary,
    /// Whose p stands beside ours; none where the data are not the paper's.
    pub beside: Option<&'a Paper>,
    /// Name of the row that is compared.
    pub row: &'a str,
    /// Both pairings of each protocol and metric.
    pub versus: &'a [Versus],
    /// The preset, for captions.
    pub preset: &'a str,
}

impl Table {
    /// The same with tests in place of scores and differences; what the paper prints stays.
    #[must_use]
    pub fn of_tests(mut self, tests: &Tests) -> Self {
        self.sheets.retain(|sheet| sheet.name == "paper");
        let mut sheets: Vec<Sheet> = tests.sheets().collect();
        sheets.append(&mut self.sheets);
        Self { sheets, ..self }
    }
}

impl Tests<'_> {
    /// One a protocol and metric.
    pub(crate) fn sheets(&self) -> impl Iterator<Item = Sheet> {
        let by_seed = self.versus.iter().filter(|v| v.pairing == Pairing::Seeds);
        by_seed.filter_map(|versus| self.sheet(versus))
    }

    /// One protocol and metric; none if there is no method to compare with.
    fn sheet(&self, seeds: &Versus) -> Option<Sheet> {
        let (name, metric) = (&seeds.setting, &seeds.metric);
        let protocol = self.summary.protocols.iter().find(|p| p.setting == *name)?;
        let ours = self.summary.methods.iter().find(|method| *method == self.row)?;
        let both = self.versus.iter().filter(|v| v.setting == *name && v.metric == *metric);
        let both: Vec<&Versus> = both.collect();
        let mut header: Vec<String> = ["against", "pairs", "difference", "n", "p", "p (Holm)", "least p"]
            .map(str::to_owned)
            .to_vec();
        header.extend(self.beside.map(|_| "paper".to_owned()));
        let mut rows = Vec::new();
        for (place, method) in self.summary.methods.iter().enumerate() {
            for (line, versus) in both.iter().enumerate() {
                let Some(difference) = versus.differences.iter().find(|d| d.reference == place) else {
                    continue;
                };
                let label = if line == 0 { method.label() } else { String::new() };
                let mut cells = vec![label, versus.pairing.text().to_owned()];
                cells.extend(numbers(difference, metric));
                // `paper.yaml` calls its columns by the label where the protocol goes without saying.
                let column = match (&name.task, name.protocol) {
                    (Some(task), ProtocolKind::Missing) => format!("{task}_{metric}"),
                    _ => format!("{name}_{metric}"),
                };
                cells.extend(self.beside.map(|paper| printed(paper, method, &column)));
                rows.push(Line {
                    cells,
                    rule_above: line == 0 && !rows.is_empty(),
                });
            }
        }
        let several = if both.len() > 1 {
            "Pairs: seeds, each with its mean over the rates, or seeds × rates, which share the split of their seed and are not \
             independent, so that interval and p are too small."
        } else {
            "Pairs: seeds."
        };
        let family = seeds.differences.len();
        let n = seeds.differences.iter().map(|d| d.paired.estimate.n).max()?;
        let smallest = smallest_attainable_p(n);
        Some(Sheet {
            name: format!("{name}_{metric}_tests"),
            heading: format!(
                "Protocol {name}: {}, {} against every other row",
                metric.title(),
                ours.label()
            ),
            caption: format!(
                "Test {} of {} minus that of each other row, in points, protocol {name}: {}. Mean of the paired differences \
                 and half-width of its 95 % t interval over n pairs, preset {}. {several} p: exact \
                 two-sided Wilcoxon signed-rank test; p (Holm): corrected for the {family} rows; least p: the smallest p \
                 that so many differences can give. By seeds the smallest p (Holm) is at least {}.",
                metric.words(),
                ours.label(),
                protocol.in_words(),
                self.preset,
                probability((smallest * family as f64).min(1.0)),
            ),
            header,
            rows,
        })
    }
}

/// Difference, number of pairs, p, corrected p and the least there can be; one pair is no test.
fn numbers(difference: &Difference, metric: &Metric) -> [String; 5] {
    let paired = &difference.paired;
    let tested = |p: f64| number::or_dash((paired.estimate.n > 1).then(|| probability(p)));
    [
        number::signed(metric, &paired.estimate),
        paired.estimate.n.to_string(),
        tested(paired.wilcoxon.p),
        tested(difference.holm_p),
        tested(paired.wilcoxon.smallest_p),
    ]
}

/// The paper's p against a method.
fn printed(paper: &Paper, method: &RowId, column: &str) -> String {
    let same = |mean: &&crate::paper::PaperMean| method.is_of_paper(&mean.fusion, &mean.reallocation);
    let value = paper.means.iter().find(same).and_then(|mean| mean.values.get(column));
    value.map_or_else(|| DASH.to_owned(), |p| probability(*p))
}
