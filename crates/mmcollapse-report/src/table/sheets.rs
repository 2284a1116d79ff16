//! The sheets of one protocol: scores, what reallocation adds, each modality alone.

use mmcollapse_probes::{Estimate, smallest_attainable_p};
use mmcollapse_record::manipulation::{CERTAIN, CONFUSED, LABELS_LOST};
use mmcollapse_record::{Metric, RowId, Unit, words};

use super::{DASH, Line, Sheet, number, percent, probability};
use crate::paper::Paper;
use crate::summary::{Column, Group, ProtocolRun, Summary};

/// One protocol of a summary, from which its sheets are set.
pub(super) struct Sheets<'a> {
    pub(super) summary: &'a Summary,
    pub(super) paper: &'a Paper,
    pub(super) protocol: &'a ProtocolRun,
    pub(super) preset: &'a str,
    /// The metric of the scores and differences.
    pub(super) metric: &'a Metric,
}

impl Sheets<'_> {
    pub(super) fn scores(&self) -> Sheet {
        let mut header = self.header();
        header.extend(["n".to_owned(), "diverged".to_owned()]);
        let mut rows = Vec::new();
        for (position, method) in self.methods() {
            let groups = self.groups(position);
            let mut cells = vec![method.label(), "here".to_owned()];
            cells.extend(groups.iter().map(|group| {
                number::or_dash(group.and_then(|g| Some(number::written(self.metric, g.estimate.as_ref()?))))
            }));
            cells.extend(self.counts(position, &groups));
            rows.push(Line {
                cells,
                rule_above: self.begins_fusion(position),
            });
            if self.has_paper() {
                let printed = groups.iter().map(|g| g.and_then(|g| g.paper).map(number::bare_percent));
                rows.extend(paper_line("", printed.collect(), &[DASH, DASH]));
            }
        }
        if self.of_paper() {
            rows.extend(self.not_run());
        }
        let (name, heading) = (&self.protocol.setting, format!("Protocol {}", self.protocol.setting));
        let paper = if self.has_paper() {
            " Paper: as printed, without an interval."
        } else {
            ""
        };
        Sheet {
            name: if self.of_paper() {
                name.to_string()
            } else {
                format!("{name}_{}", self.metric)
            },
            heading: if self.of_paper() {
                heading
            } else {
                format!("{heading}: {}", self.metric.title())
            },
            caption: format!(
                "{}, protocol {name}: {}. Here: mean and half-width of its 95 % t interval over n seeds \
                 ({} {} samples a seed, preset {}).{paper}{}{}",
                self.title(),
                self.protocol.in_words(),
                self.test_samples(),
                self.metric.definition().split.in_words(),
                self.preset,
                if self.rates().len() > 1 {
                    format!(" Mean: of each seed's mean over the {}.", self.levels())
                } else {
                    String::new()
                },
                self.divergence(),
            ) + self.metric.definition().explanation,
            header,
            rows,
        }
    }

    /// None where no method has the same fusion without reallocation to stand against.
    pub(super) fn differences(&self) -> Option<Sheet> {
        let mut header = self.header();
        header.extend(["pairs", "p", "p (Holm)"].map(str::to_owned));
        let mut rows = Vec::new();
        let mut family = 0;
        let mut fusion = None;
        for (position, method) in self.methods() {
            let groups = self.groups(position);
            let Some(mean) = groups.last().copied().flatten().and_then(|g| g.difference.as_ref()) else {
                continue;
            };
            family = mean.family;
            // What is compared with another fusion than the plain one says so.
            let reference = &self.summary.methods[mean.reference];
            let label = match (&method.fusion.twin, &reference.fusion.twin) {
                (Some(_), Some(_)) => format!("{} (against {})", method.label(), reference.label()),
                _ => method.label(),
            };
            let mut cells = vec![label, "here".to_owned()];
            cells.extend(groups.iter().map(|group| {
                let difference = group.and_then(|g| g.difference.as_ref());
                number::or_dash(difference.map(|d| number::signed(self.metric, &d.paired.estimate)))
            }));
            cells.push(mean.paired.estimate.n.to_string());
            let tested = mean.paired.estimate.n > 1;
            for p in [mean.paired.wilcoxon.p, mean.holm_p] {
                cells.push(number::or_dash(tested.then(|| probability(p))));
            }
            rows.push(Line {
                cells,
                rule_above: fusion.is_some_and(|f| f != &method.fusion.name),
            });
            fusion = Some(&method.fusion.name);
            let plain = self.groups(mean.reference);
            let printed = groups.iter().zip(&plain).map(|(ours, theirs)| {
                Some(number::bare_signed_percent(
                    ours.as_ref()?.paper? - theirs.as_ref()?.paper?,
                ))
            });
            if self.has_paper() {
                rows.extend(paper_line("", printed.collect(), &[DASH, DASH, DASH]));
            }
        }
        let name = &self.protocol.setting;
        let balanced = self.methods().any(|(_, method)| method.fusion.twin.is_some());
        let (adds, without) = if balanced {
            ("reallocation or balancing adds", "reallocation and balancing")
        } else {
            ("reallocation adds", "reallocation")
        };
        (!rows.is_empty()).then(|| Sheet {
            name: if self.of_paper() {
                format!("{name}_difference")
            } else {
                format!("{name}_{}_difference", self.metric)
            },
            heading: if self.of_paper() {
                format!("Protocol {name}: what {adds} to the same fusion")
            } else {
                format!("Protocol {name}: {}, what {adds}", self.metric.title())
            },
            caption: format!(
                "Difference in {} to the same fusion without {without}{}, protocol {name}. Here: \
                 mean over seeds of the paired differences and half-width of its 95 % t interval. p: exact \
                 two-sided Wilcoxon signed-rank test on each seed's mean over the {}; p (Holm): corrected \
                 for the {family} tests of this sheet.{}",
                if self.is_score() {
                    format!("test {}", self.metric.words())
                } else {
                    self.metric.title()
                },
                if self.is_score() { ", in points" } else { "" },
                self.levels(),
                self.attainable(family),
            ),
            header,
            rows,
        })
    }

    /// The other scores: with all modalities, and with each alone; none if there are none.
    pub(super) fn other_metrics(&self, shown: &[Metric]) -> Option<Sheet> {
        // Beside a measure that is no share stand accuracies.
        let metric = if self.paper.metric.is_share() {
            self.paper.metric.words()
        } else {
            "accuracy".to_owned()
        };
        let of_rates = self.of_rates();
        self.metric_sheet(
            "modalities",
            "with all modalities, and with each alone",
            format!(
                "Test scores in % of the same models, protocol {}; the columns say which, else it is {metric}. Complete: no test sample \
                 lacks a modality; only: every test sample has that modality alone. Mean and half-width of its 95 % t interval over n \
                 seeds{of_rates}.",
                self.protocol.setting
            ),
            |metric| metric.is_share() && !metric.definition().is_check() && !shown.contains(metric),
            percent,
        )
    }

    /// What was checked of each reallocation; none where nothing was.
    pub(super) fn checks(&self) -> Option<Sheet> {
        let mut sheet = self.metric_sheet(
            "checks",
            "whether the reallocation has happened",
            format!(
                "Manipulation checks of the same models, protocol {}. Confusion: held-out cross-entropy of a modality \
                 discriminator fitted afresh to the latents, as a share of that of a guess; confused: runs in which it is at least \
                 {CONFUSED}; shuffled: the same with the modalities of the latents shuffled, which must be near 1. Latent: label \
                 probe on the latents of a modality. Passing: runs that are confused, of a row that has not lost a label: no probe lies \
                 on average, and for sure, more than {} points below that of the control, which has the same layers, steps and draws \
                 without the adversary. Of students, CKA with their teachers and contrast as a share of a guess; all pass where the row's \
                 contrast is lower than the control's for sure ({} %, docs/methodology/methods.md). Mean and half-width of its 95 % t \
                 interval over n seeds{}.",
                self.protocol.setting,
                LABELS_LOST * 100.0,
                CERTAIN * 100.0,
                self.of_rates()
            ),
            |metric| metric.definition().is_check(),
            number::plain,
        )?;
        let methods: Vec<usize> = self.methods().map(|(position, _)| position).collect();
        sheet.header.extend(["confused", "passing"].map(str::to_owned));
        for (line, method) in sheet.rows.iter_mut().zip(methods) {
            let checked = self.summary.checked(&self.protocol.setting, method);
            let of = |part: usize, all: usize| number::or_dash((all > 0).then(|| format!("{part} of {all}")));
            line.cells.push(of(checked.confused, checked.read));
            line.cells.push(of(checked.passing, checked.compared));
        }
        let is_empty = |line: &Line| line.cells[2..].iter().all(|cell| cell == DASH);
        sheet.rows.retain(|line| !is_empty(line));
        Some(sheet)
    }

    /// The losses at the end of training; none if none were kept.
    pub(super) fn losses(&self, shown: &[Metric]) -> Option<Sheet> {
        let of_rates = self.of_rates();
        self.metric_sheet(
            "losses",
            "losses at the end of training",
            format!(
                "Mean of each loss term over the last epoch, in nats, as weighted, protocol {}. Semantic: the task's own \
                 (L_sem); modality: the discriminator's (L_md, the sum over modalities), which is m ln m if the \
                 latents of m modalities are indistinguishable (1.386 for two, 10.751 for six); the others belong to single \
                 methods (docs/methodology/results.md). Mean and half-width of its 95 % t interval over n \
                 seeds{of_rates}.",
                self.protocol.setting
            ),
            |metric| metric.is_loss() && !shown.contains(metric),
            number::plain,
        )
    }

    fn of_rates(&self) -> String {
        if self.protocol.kind().is_trained_once() {
            String::new()
        } else {
            format!(", of each seed's mean over the {}", self.levels())
        }
    }

    /// What the levels of the protocol are called.
    fn levels(&self) -> &'static str {
        self.protocol.levels().name()
    }

    /// A column for each metric beside the paper's that `chosen` takes, each as the mean of rates; none if there is none.
    fn metric_sheet(
        &self,
        name: &str,
        heading: &str,
        caption: String,
        chosen: impl Fn(&Metric) -> bool,
        written: fn(&Estimate) -> String,
    ) -> Option<Sheet> {
        let mut metrics: Vec<&Metric> = Vec::new();
        for group in self
            .summary
            .groups
            .iter()
            .filter(|g| g.setting == self.protocol.setting)
        {
            let metric = &group.metric;
            if chosen(metric) && !metrics.contains(&metric) {
                metrics.push(metric);
            }
        }
        let mut header = vec!["method".to_owned(), String::new()];
        header.extend(metrics.iter().map(|metric| {
            let key = metric.as_str();
            let short = key.strip_prefix(self.paper.metric.as_str()).unwrap_or(key);
            let short = short.strip_prefix("loss_").unwrap_or(short);
            words(short).trim().to_owned()
        }));
        header.push("n".to_owned());
        let mut rows = Vec::new();
        for (position, method) in self.methods() {
            let estimates: Vec<_> = metrics
                .iter()
                .map(|metric| {
                    self.summary
                        .get(&self.protocol.setting, position, metric, Column::MeanOfRates)?
                        .estimate
                })
                .collect();
            let mut cells = vec![method.label(), "here".to_owned()];
            cells.extend(estimates.iter().map(|e| number::or_dash(e.as_ref().map(written))));
            let n: Vec<usize> = estimates.iter().flatten().map(|e| e.n).collect();
            cells.push(number::range(&n));
            rows.push(Line {
                cells,
                rule_above: self.begins_fusion(position),
            });
        }
        (!metrics.is_empty()).then(|| Sheet {
            name: format!("{}_{name}", self.protocol.setting),
            heading: format!("Protocol {}: {heading}", self.protocol.setting),
            caption,
            header,
            rows,
        })
    }

    /// The least p that the test can give with so many pairs, before and after correction, where it is one that is printed.
    fn attainable(&self, family: usize) -> String {
        let means = self.here().filter(|g| g.column == Column::MeanOfRates);
        let pairs = means
            .filter_map(|g| Some(g.difference.as_ref()?.paired.estimate.n))
            .max();
        pairs.map_or_else(String::new, |pairs| {
            let smallest = smallest_attainable_p(pairs);
            if smallest < number::LEAST_P {
                return String::new();
            }
            format!(
                " With {pairs} pairs p is at least {}, and the smallest p (Holm) at least {}.",
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
            (_, 0) => " Diverged: seeds whose run diverged; they stay in the mean with their last score.".to_owned(),
            (_, unscored) => format!(
                " Diverged: seeds whose run diverged; they stay in the mean with their last score, except \
                 {unscored} that had none."
            ),
        }
    }

    /// `n`, and how many of the runs diverged.
    fn counts(&self, position: usize, groups: &[Option<&Group>]) -> [String; 2] {
        // Of the levels that were run; the others have a dash of their own.
        let estimates = groups.iter().filter_map(|g| g.and_then(|g| g.estimate));
        let n: Vec<usize> = estimates.map(|e| e.n).collect();
        let diverged = self
            .here()
            .find(|g| g.method == position && g.column == Column::MeanOfRates)
            .map_or(0, |g| g.diverged);
        [number::range(&n), diverged.to_string()]
    }

    /// Rows that the paper has and this experiment has not.
    fn not_run(&self) -> Vec<Line> {
        let known = |fusion: &str, reallocation: &str| {
            let mut methods = self.summary.methods.iter();
            methods.any(|method| method.is_of_paper(fusion, reallocation))
        };
        let mut lines = Vec::new();
        for row in &self.paper.rows {
            if known(&row.fusion, &row.reallocation) {
                continue;
            }
            let name = row.label();
            let rates = &self.protocol.rates;
            let mut printed: Vec<Option<String>> = rates
                .iter()
                .map(|rate| self.paper.value(&row.fusion, &row.reallocation, *rate))
                .map(|value| value.map(number::bare_percent))
                .collect();
            let mean = self.paper.mean(&row.fusion, &row.reallocation, rates);
            printed.push(mean.map(number::bare_percent));
            let line = paper_line(&format!("{name} (not run here)"), printed, &[DASH, DASH]);
            lines.extend(line.map(|line| Line {
                rule_above: lines.is_empty(),
                ..line
            }));
        }
        lines
    }

    fn header(&self) -> Vec<String> {
        let mut header = vec!["method".to_owned(), String::new()];
        let rates = self.rates();
        header.extend(rates.iter().map(|rate| self.protocol.levels().written(*rate)));
        header.push(if rates.is_empty() {
            self.metric.title()
        } else {
            "mean".to_owned()
        });
        header
    }

    /// Levels with columns of their own; none where a single one says what the mean says.
    fn rates(&self) -> Vec<f64> {
        if !self.protocol.kind().has_levels() {
            return Vec::new();
        }
        if self.of_paper() {
            return self.protocol.rates.clone();
        }
        let mut rates: Vec<f64> = Vec::new();
        for group in self.here() {
            if let Column::Rate(rate) = group.column
                && !rates.contains(&rate)
            {
                rates.push(rate);
            }
        }
        if rates.len() == 1 { Vec::new() } else { rates }
    }

    fn columns(&self) -> impl Iterator<Item = Column> {
        self.rates().into_iter().map(Column::Rate).chain([Column::MeanOfRates])
    }

    /// Whether it is a share of its own, not a difference of two.
    fn is_score(&self) -> bool {
        self.metric.unit() == Unit::Share
    }

    /// Whether the paper has numbers to stand beside ours.
    fn has_paper(&self) -> bool {
        self.of_paper() && !self.paper.rows.is_empty()
    }

    /// Whether this is the metric that the paper shows.
    fn of_paper(&self) -> bool {
        *self.metric == self.paper.metric && self.metric.is_share()
    }

    /// The metric at the head of a caption.
    fn title(&self) -> String {
        if self.is_score() {
            return format!("Test {} in %", self.metric.words());
        }
        let title = self.metric.title();
        let mut letters = title.chars();
        letters
            .next()
            .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    }

    fn groups(&self, method: usize) -> Vec<Option<&Group>> {
        self.columns()
            .map(|column| self.summary.get(&self.protocol.setting, method, self.metric, column))
            .collect()
    }

    /// All numbers of this protocol and metric.
    fn here(&self) -> impl Iterator<Item = &Group> {
        self.summary
            .groups
            .iter()
            .filter(|g| g.setting == self.protocol.setting && g.metric == *self.metric)
    }

    fn methods(&self) -> impl Iterator<Item = (usize, &RowId)> {
        self.summary
            .methods
            .iter()
            .enumerate()
            .filter(|(position, _)| self.here().any(|g| g.method == *position))
    }

    fn begins_fusion(&self, position: usize) -> bool {
        let fusion = |p: usize| &self.summary.methods[p].fusion.name;
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

/// The paper's line under ours, or under the name of a row that is not run here; none if that has no number.
fn paper_line(name: &str, printed: Vec<Option<String>>, end: &[&str]) -> Option<Line> {
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
