//! Rows compared with each other: one that another program trained beside ours, or two of ours.

use miette::{IntoDiagnostic, Result, miette};
use mmcollapse_record::{
    ExperimentInfo, External, MethodName, Metric, Provenance, Record, RowId, RowName, Rule, Shows,
};

use crate::paper::Paper;
use crate::render::{facts, paper_of, warnings};
use crate::summary::{Summary, Versus};
use crate::table::{Sheet, Table, Tests, decided, markdown};

/// Between the folder's name of a result and that of the row beside it.
const WITH: &str = "-with-";

/// Most letters of a row's name.
const LONGEST: usize = 40;

/// Whether a folder among results holds one with a row of another program: no verdict on a claim reads it.
pub(crate) fn is_with_external(folder: &str) -> bool {
    folder.contains(WITH)
}

/// The row of another program by its name, which is to be none of ours.
///
/// # Errors
/// A name that is none of a row and a folder, or that a row or fusion of the experiment has.
pub fn external_row(name: &str, records: &[Record]) -> Result<RowId> {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_word);
    if !is_name || name.len() > LONGEST || is_with_external(name) {
        return Err(miette!(
            help = format!(
                "a small letter, then at most {} small letters, digits, `-` and `_`, without `{WITH}`",
                LONGEST - 1
            ),
            "--name {name}: expected a name such as `my-method`"
        ));
    }
    let is_ours = |record: &&Record| {
        let fusion = &record.row.fusion;
        fusion.name == name || fusion.method == name
    };
    if let Some(record) = records.iter().find(is_ours) {
        return Err(miette!(
            help = "choose a name that no row and no fusion of the experiment has",
            "--name {name}: row `{}` of the experiment is called so",
            record.row
        ));
    }
    Ok(RowId {
        fusion: MethodName {
            title: Some(format!("{name} (external)")),
            // The paper has no number of it.
            control: true,
            ..MethodName::plain(name)
        },
        reallocation: MethodName::plain("none"),
    })
}

/// Whether an experiment shows what predictions tell.
///
/// # Errors
/// One that shows measures of a representation, curves, or one row of ours against others.
pub fn takes_external(experiment: &ExperimentInfo) -> Result<()> {
    match experiment.shows {
        Shows::Scores | Shows::Rows(_) => Ok(()),
        _ => Err(miette!(
            help = "compare with an experiment of scores, such as table1 to table5",
            "{}: expected an experiment that shows scores of predictions, got one that shows more than predictions tell",
            experiment.name
        )),
    }
}

/// What the folder of a result is called: with the row of another program it has one of its own, `quick-with-my-method`.
pub(crate) fn folder(provenance: &Provenance) -> String {
    let dataset = provenance.dataset.as_deref();
    let own = provenance.preset.folder(dataset, provenance.tuned.is_some());
    match &provenance.external {
        Some(external) => format!("{own}{WITH}{}", external.row),
        None => own,
    }
}

/// What is said of an external row beside its scores: verdicts, and tests against every other row.
pub(crate) fn sheets(
    summary: &Summary,
    paper: &Paper,
    metrics: &[Metric],
    external: &External,
    versus: &[Versus],
    preset: &str,
) -> Result<Vec<Sheet>> {
    let mut sheets = Vec::new();
    if let Some(rule) = external.rule {
        let decided = summary.decided(&external.row, None, metrics, rule, paper)?;
        sheets.extend(decided::sheet(summary, &external.row, &decided, rule, preset));
    }
    let tests = Tests {
        summary,
        beside: None,
        row: &external.row,
        versus,
        preset,
    };
    sheets.extend(tests.sheets());
    Ok(sheets)
}

/// Compares two rows of ours by the rule of every comparison, and returns the verdicts as Markdown.
///
/// # Errors
/// A row that is not there, a metric that no rule is made for, a score that is not a number.
pub fn two_rows(
    experiment: &ExperimentInfo,
    records: &[Record],
    provenance: &Provenance,
    [row, against]: [&RowName; 2],
    rule: Rule,
) -> Result<String> {
    let mut paper = paper_of(experiment, records, provenance)?;
    paper.rows.clear();
    let summary = Summary::new(experiment.name, records, &paper)?;
    let metrics = experiment.shows.metrics(&paper.metric).into_diagnostic()?;
    let (row, against) = (row.to_string(), against.to_string());
    let preset = provenance.preset.as_str();
    let all = summary.decided(&row, Some(&against), &metrics, rule, &paper)?;
    let sheet = decided::sheet(&summary, &row, &all, rule, preset);
    let sheet = sheet.ok_or_else(|| {
        miette!(
            help = "the rule with a margin in points is for shares such as accuracy; rows have to be run under the same protocol",
            "{}: {row} and {against} have no share in common that the experiment shows",
            experiment.name
        )
    })?;
    Ok(markdown(&Table {
        name: experiment.name.to_owned(),
        title: format!("{}: {row} against {against}", experiment.title),
        warnings: warnings(provenance),
        sheets: vec![sheet],
        notes: Vec::new(),
        provenance: facts(provenance),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::synthetic::experiment;

    #[test]
    fn a_row_of_another_program_has_a_name_of_its_own() {
        let records = experiment(1);
        let row = external_row("my-method_2", &records).unwrap();
        assert_eq!(
            (row.to_string().as_str(), row.label().as_str()),
            ("my-method_2", "my-method_2 (external)")
        );
        assert!(row.is_vanilla() && row.is_control());
        for taken in ["concat", "shaspec"] {
            let error = external_row(taken, &records).unwrap_err().to_string();
            assert!(error.contains(&format!("row `{taken}")), "{error}");
        }
        let long = "a".repeat(41);
        for wrong in ["", "2nd", "Mine", "a+b", "../a", "a b", "a-with-b", &long] {
            let error = external_row(wrong, &records).unwrap_err().to_string();
            assert!(error.contains("expected a name"), "{wrong}: {error}");
        }
    }

    /// A name that ends as a preset does not make its folder one of a data set.
    #[test]
    fn folders_with_external_rows_are_told_apart() {
        assert!(is_with_external("quick-with-my-quick") && is_with_external("avmnist-hard-full-with-x"));
        assert!(!is_with_external("avmnist-hard-quick") && !is_with_external("quick-tuned"));
    }
}
