//! A table: what a reader sees, before it is written as Markdown or LaTeX.
//!
//! Each protocol has two sheets: the scores, and their differences to the same fusion without reallocation.
//! Under each of our lines stands the paper's. A number without the number of runs and an interval is not
//! printed: a dash takes its place.

mod latex;
mod markdown;
mod number;

use mmcollapse_probes::smallest_attainable_p;

pub use latex::latex;
pub use markdown::markdown;
pub use number::{DASH, percent, probability, signed_percent};

use crate::paper::Paper;
use crate::summary::{Column, Group, Method, ProtocolRun, Summary, label};

/// A whole table with all that must be said about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Name of the experiment, for labels: `table4`.
    pub name: String,
    /// Its title.
    pub title: String,
    /// What must be read before the numbers: an incomplete result, a preset that only shows that all works.
    pub warnings: Vec<String>,
    /// The sheets, in order.
    pub sheets: Vec<Sheet>,
    /// What is to be known about them.
    pub notes: Vec<String>,
    /// Where they come from, one fact a line.
    pub provenance: Vec<String>,
}

/// Numbers in rows and columns with a caption.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    /// Short name, for headings and labels.
    pub name: String,
    /// Its heading.
    pub heading: String,
    /// What the numbers are.
    pub caption: String,
    /// Names of the columns; the first two hold words, the others numbers.
    pub header: Vec<String>,
    /// Lines, as many cells each as the header has.
    pub rows: Vec<Line>,
}

/// One line of a sheet.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The cells.
    pub cells: Vec<String>,
    /// Whether another fusion begins here, to be set off by a rule.
    pub rule_above: bool,
}

impl Table {
    /// Sets the table of a summary; `preset` and `provenance` are told as they are given.
    pub fn new(
        summary: &Summary,
        paper: &Paper,
        title: &str,
        preset: &str,
        warnings: Vec<String>,
        provenance: Vec<String>,
    ) -> Self {
        let mut sheets = Vec::new();
        for protocol in &summary.protocols {
            let setting = Setting {
                summary,
                paper,
                protocol,
                preset,
            };
            sheets.push(setting.scores());
            sheets.extend(setting.differences());
        }
        Self {
            name: summary.experiment.clone(),
            title: title.to_owned(),
            warnings,
            sheets,
            notes: notes(paper),
            provenance,
        }
    }
}

/// What a protocol does, in words.
pub fn protocol_in_words(protocol: &ProtocolRun) -> String {
    let modality = &protocol.modality;
    match protocol.name.as_str() {
        "test_missing" => format!(
            "trained on all pairs; each test sample loses its {modality} with the given probability"
        ),
        "train_availability" => format!(
            "the given share of each class's training pairs lacks {modality}; the test has no {modality} at all"
        ),
        other => label(other).to_lowercase(),
    }
}

/// One protocol of a summary, from which its sheets are set.
struct Setting<'a> {
    summary: &'a Summary,
    paper: &'a Paper,
    protocol: &'a ProtocolRun,
    preset: &'a str,
}

impl Setting<'_> {
    fn scores(&self) -> Sheet {
        let mut header = self.header();
        header.extend(["n".to_owned(), "diverged".to_owned()]);
        let mut rows = Vec::new();
        for (position, method) in self.methods() {
            let groups = self.groups(position);
            let mut cells = vec![method.label(), "here".to_owned()];
            cells.extend(groups.iter().map(|group| {
                number::or_dash(group.and_then(|g| g.estimate.as_ref()).and_then(percent))
            }));
            cells.extend(self.counts(position, &groups));
            rows.push(Line {
                cells,
                rule_above: self.begins_fusion(position),
            });
            let printed = groups.iter().map(|g| g.and_then(|g| g.paper).map(number::bare_percent));
            rows.extend(self.paper_line("", printed.collect(), &[DASH, DASH]));
        }
        rows.extend(self.not_run());
        Sheet {
            name: self.protocol.name.clone(),
            heading: format!("Protocol {}", self.protocol.name),
            caption: format!(
                "Test {} in %, protocol {}: {}. Here: mean and half-width of its 95 % t interval over n seeds \
                 ({} test samples a seed, preset {}). Paper: as printed, without an interval. Mean: of each \
                 seed's mean over the rates.{}",
                self.paper.metric,
                self.protocol.name,
                protocol_in_words(self.protocol),
                self.test_samples(),
                self.preset,
                self.divergence(),
            ),
            header,
            rows,
        }
    }

    /// None where no method has the same fusion without reallocation to stand against.
    fn differences(&self) -> Option<Sheet> {
        let mut header = self.header();
        header.extend(["pairs", "p", "p (Holm)"].map(str::to_owned));
        let mut rows = Vec::new();
        let mut family = 0;
        let mut fusion = None;
        for (position, method) in self.methods() {
            let groups = self.groups(position);
            let Some(mean) = groups.last().copied().flatten().and_then(|g| g.difference.as_ref())
            else {
                continue;
            };
            family = mean.family;
            let mut cells = vec![method.label(), "here".to_owned()];
            cells.extend(groups.iter().map(|group| {
                let difference = group.and_then(|g| g.difference.as_ref());
                number::or_dash(difference.and_then(|d| signed_percent(&d.paired.estimate)))
            }));
            cells.push(mean.paired.estimate.n.to_string());
            let tested = mean.paired.estimate.n > 1;
            for p in [mean.paired.wilcoxon.p, mean.holm_p] {
                cells.push(number::or_dash(tested.then(|| probability(p))));
            }
            rows.push(Line {
                cells,
                rule_above: fusion.is_some_and(|f| f != &method.fusion_name),
            });
            fusion = Some(&method.fusion_name);
            let plain = self.groups(mean.reference);
            let printed = groups.iter().zip(&plain).map(|(ours, theirs)| {
                Some(number::bare_signed_percent(ours.as_ref()?.paper? - theirs.as_ref()?.paper?))
            });
            rows.extend(self.paper_line("", printed.collect(), &[DASH, DASH, DASH]));
        }
        (!rows.is_empty()).then(|| Sheet {
            name: format!("{}_difference", self.protocol.name),
            heading: format!(
                "Protocol {}: what reallocation adds to the same fusion",
                self.protocol.name
            ),
            caption: format!(
                "Difference in test {} to the same fusion without reallocation, in points, protocol {}. Here: \
                 mean over seeds of the paired differences and half-width of its 95 % t interval. p: exact \
                 two-sided Wilcoxon signed-rank test on each seed's mean over the rates; p (Holm): corrected \
                 for the {family} tests of this sheet.{}",
                self.paper.metric,
                self.protocol.name,
                self.attainable(family),
            ),
            header,
            rows,
        })
    }

    /// The least p that the test can give with so many pairs, before and after correction.
    fn attainable(&self, family: usize) -> String {
        let means = self.here().filter(|g| g.column == Column::MeanOfRates);
        let pairs = means.filter_map(|g| Some(g.difference.as_ref()?.paired.estimate.n)).max();
        pairs.map_or_else(String::new, |pairs| {
            let smallest = smallest_attainable_p(pairs);
            format!(
                " With {pairs} pairs p cannot be less than {}, p (Holm) of the smallest not less than {}.",
                probability(smallest),
                probability((smallest * family as f64).min(1.0))
            )
        })
    }

    fn divergence(&self) -> String {
        let means = || self.here().filter(|g| g.column == Column::MeanOfRates);
        let diverged: usize = means().map(|g| g.diverged).sum();
        let unscored: usize = means().map(|g| g.unscored).sum();
        match (diverged, unscored) {
            (0, _) => " No run diverged.".to_owned(),
            (_, 0) => " Diverged: seeds whose run was stopped as hopeless; they stay in the mean with the \
                        score they had then."
                .to_owned(),
            (_, unscored) => format!(
                " Diverged: seeds whose run was stopped as hopeless; they stay in the mean with the score they \
                 had then, except {unscored} that had none."
            ),
        }
    }

    /// `n`, and how many of the runs diverged.
    fn counts(&self, position: usize, groups: &[Option<&Group>]) -> [String; 2] {
        // Cells may be missing at single rates, so n is a range while a run is not complete.
        let n: Vec<usize> = groups
            .iter()
            .map(|g| g.and_then(|g| g.estimate).map_or(0, |e| e.n))
            .collect();
        let diverged = self
            .here()
            .find(|g| g.method == position && g.column == Column::MeanOfRates)
            .map_or(0, |g| g.diverged);
        [number::range(&n), diverged.to_string()]
    }

    /// Rows that the paper has and this experiment has not.
    fn not_run(&self) -> Vec<Line> {
        let known = |fusion: &str, reallocation: &str| {
            self.summary
                .methods
                .iter()
                .any(|m| m.fusion == fusion && m.reallocation == reallocation)
        };
        let mut lines = Vec::new();
        for row in &self.paper.rows {
            if known(&row.fusion, &row.reallocation) {
                continue;
            }
            let name = if row.reallocation == "none" {
                label(&row.fusion)
            } else {
                format!("{} + {}", label(&row.fusion), label(&row.reallocation))
            };
            let rates = &self.protocol.rates;
            let mut printed: Vec<Option<String>> = rates
                .iter()
                .map(|rate| self.paper.value(&row.fusion, &row.reallocation, *rate))
                .map(|value| value.map(number::bare_percent))
                .collect();
            let mean = self.paper.mean(&row.fusion, &row.reallocation, rates);
            printed.push(mean.map(number::bare_percent));
            let line = self.paper_line(&format!("{name} (not run here)"), printed, &[DASH, DASH]);
            lines.extend(line.map(|line| Line {
                rule_above: lines.is_empty(),
                ..line
            }));
        }
        lines
    }

    /// None if the paper has no number in it.
    fn paper_line(&self, name: &str, printed: Vec<Option<String>>, end: &[&str]) -> Option<Line> {
        let paper_has_it = printed.iter().any(Option::is_some);
        // A method that is new here gets its dashes, so that nobody looks for the paper's line elsewhere.
        let mut cells = vec![name.to_owned(), "paper".to_owned()];
        cells.extend(printed.into_iter().map(number::or_dash));
        cells.extend(end.iter().map(|cell| (*cell).to_owned()));
        (paper_has_it || name.is_empty()).then_some(Line {
            cells,
            rule_above: false,
        })
    }

    fn header(&self) -> Vec<String> {
        let mut header = vec!["method".to_owned(), String::new()];
        header.extend(self.protocol.rates.iter().map(|rate| number::rate(*rate)));
        header.push("mean".to_owned());
        header
    }

    fn columns(&self) -> impl Iterator<Item = Column> {
        let rates = self.protocol.rates.iter().map(|rate| Column::Rate(*rate));
        rates.chain([Column::MeanOfRates])
    }

    fn groups(&self, method: usize) -> Vec<Option<&Group>> {
        self.columns()
            .map(|column| {
                self.summary
                    .get(&self.protocol.name, method, &self.paper.metric, column)
            })
            .collect()
    }

    /// All numbers of this protocol and metric.
    fn here(&self) -> impl Iterator<Item = &Group> {
        self.summary
            .groups
            .iter()
            .filter(|g| g.protocol == self.protocol.name && g.metric == self.paper.metric)
    }

    fn methods(&self) -> impl Iterator<Item = (usize, &Method)> {
        self.summary
            .methods
            .iter()
            .enumerate()
            .filter(|(position, _)| self.here().any(|g| g.method == *position))
    }

    fn begins_fusion(&self, position: usize) -> bool {
        let fusion = |p: usize| &self.summary.methods[p].fusion_name;
        position > 0 && fusion(position - 1) != fusion(position)
    }

    fn test_samples(&self) -> String {
        let counts: Vec<usize> = self
            .here()
            .filter(|g| g.estimate.is_some())
            .flat_map(|g| [g.n_test.0, g.n_test.1])
            .collect();
        number::range(&counts)
    }
}

fn notes(paper: &Paper) -> Vec<String> {
    let mut notes = vec![format!(
        "The paper's numbers: {}, {} ({}).",
        paper.source.reference, paper.source.table, paper.source.caption
    )];
    notes.extend(paper.unclear.iter().cloned());
    notes.extend(paper.rows.iter().filter_map(|row| {
        let name = if row.reallocation == "none" {
            label(&row.fusion)
        } else {
            format!("{} + {}", label(&row.fusion), label(&row.reallocation))
        };
        Some(format!("{name}: {}", row.note.as_ref()?))
    }));
    notes
}

#[cfg(test)]
mod tests;
