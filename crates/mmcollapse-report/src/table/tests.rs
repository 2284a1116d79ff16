use super::*;
use crate::summary::synthetic::{experiment, table4};

fn table(seeds: u64, warnings: Vec<String>) -> Table {
    let paper = table4();
    let summary = Summary::new("table4", &experiment(seeds), &paper).unwrap();
    let provenance = vec![
        "Made by: mmcollapse reproduce table4".to_owned(),
        "version 0.1.0".to_owned(),
    ];
    Table::new(
        &summary,
        &paper,
        std::slice::from_ref(&paper.metric),
        "Table 4: made up",
        "quick",
        warnings,
        provenance,
    )
}

#[test]
fn as_markdown() {
    insta::assert_snapshot!(markdown(&table(10, vec![])));
}

#[test]
fn as_latex() {
    insta::assert_snapshot!(latex(&table(10, vec!["Incomplete: 3 of 99 cells are missing.".into()])));
}

/// One run has a value and no interval, and the table says that it is one.
#[test]
fn a_single_run_has_its_value_without_an_interval() {
    let table = table(1, vec![]);
    for sheet in &table.sheets {
        for line in sheet.rows.iter().filter(|line| line.cells[1] == "here") {
            assert!(line.cells[2..].iter().any(|cell| cell.contains('.')), "{line:?}");
            assert!(!line.cells.iter().any(|cell| cell.contains('±')), "{line:?}");
            assert!(line.cells.iter().any(|cell| cell == "1"), "n: {line:?}");
        }
    }
    assert!(markdown(&table).contains("93.33"), "the paper's numbers stay");
}

#[test]
fn every_line_has_a_cell_for_every_column() {
    for sheet in &table(10, vec![]).sheets {
        for line in &sheet.rows {
            assert_eq!(line.cells.len(), sheet.header.len(), "{line:?}");
        }
    }
}

/// What the paper prints of other columns stands apart from ours.
#[test]
fn means_of_the_paper_have_a_sheet() {
    let mut paper = table4();
    let values = [("mortality_auroc".to_owned(), 0.8533)];
    paper.means = vec![PaperMean {
        fusion: "muse".into(),
        reallocation: "ebr".into(),
        values: values.into_iter().collect(),
    }];
    let sheet = printed_means(&paper).unwrap();
    assert_eq!(sheet.header, ["method", "", "mortality AUROC"]);
    assert_eq!(sheet.rows[0].cells, ["MUSE + EBR", "paper", "85.33"]);
    assert!(printed_means(&table4()).is_none());
}
