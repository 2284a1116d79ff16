//! What can go wrong between a folder of tables and a cohort.
//!
//! A record is nobody's business but the data's user's, and a log travels further than they think: messages name file,
//! line and column, and say of a cell what kind of thing it is, never what it holds.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

/// Why a cohort cannot be read.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum EhrError {
    /// The folder was not named.
    #[error("{title}: {variable} is not set")]
    #[diagnostic(help(
        "set {variable} to the folder that holds the tables. How to get them:\n{steps}\nTo see experiments on health \
         records run now, on synthetic data, without any: `--dataset ehr-planted`"
    ))]
    NoFolder {
        /// Full name of the source.
        title: String,
        /// Environment variable that names the folder.
        variable: String,
        /// How to get the data, one step a line.
        steps: String,
    },

    /// Synthetic tables have nowhere to go.
    #[error("there is no place for synthetic tables: neither a cache nor a home folder is known")]
    #[diagnostic(help("set MMCOLLAPSE_CACHE to a folder that can be written"))]
    NoPlace,

    /// What is called synthetic has no mark of it.
    #[error("{} is no folder of planted tables", folder.display())]
    #[diagnostic(help(
        "expected SYNTHETIC.yaml in it, as `mmcollapse data plant FOLDER` writes it, got none: name such a folder in \
         EHR_PLANTED_DIR or unset it"
    ))]
    NotPlanted {
        /// The folder.
        folder: PathBuf,
    },

    /// What is to be planted cannot be.
    #[error("cannot plant health records: {reason}")]
    #[diagnostic(help("data/ehr-planted.yaml has values that work, and what they mean"))]
    Plan {
        /// The value, and its range.
        reason: String,
    },

    /// The ranges of laboratory values cannot be read.
    #[error("data/lab-ranges.yaml: {reason}")]
    #[diagnostic(help("the file is built into the program: please report it"))]
    Ranges {
        /// What is wrong.
        reason: String,
    },

    /// Planted tables would mix with what is there.
    #[error("{}: there is something in it already", folder.display())]
    #[diagnostic(help("name a folder that is empty or not there yet: planted tables never lie beside others"))]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },

    /// Planted tables cannot be written.
    #[error("cannot write planted tables to {}: {reason}", folder.display())]
    #[diagnostic(help("name a folder on a disk with room that can be written; nothing was left behind"))]
    NotWritten {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        reason: String,
    },

    /// A table is not there.
    #[error("there is neither {table}.csv.gz nor {table}.csv in {}", folder.display())]
    #[diagnostic(help(
        "expected the folder as PhysioNet lays it out, with `{table}.csv.gz` below it; got another folder, or a download \
         that is not complete: correct the variable or download the table"
    ))]
    NoTable {
        /// The folder of the data set.
        folder: PathBuf,
        /// The table, without ending.
        table: String,
    },

    /// A table lacks a column.
    #[error("{}, line 1: there is no column `{column}`", path.display())]
    #[diagnostic(help(
        "expected a heading with {expected}, got {found} columns without it (their names are not printed: where the heading \
         is missing, a record stands there). Is this the table of another release? Download it again from the release that \
         `data list` names"
    ))]
    NoColumn {
        /// The table.
        path: PathBuf,
        /// What is looked for.
        column: &'static str,
        /// All columns that are looked for.
        expected: String,
        /// How many columns there are.
        found: usize,
    },

    /// A column of a typed table has a type that is not read.
    #[error("{}, column `{column}`: expected {expected}, got {got}", path.display())]
    #[diagnostic(help("write the table again with that type, or take the file that `data list` names"))]
    Typed {
        /// The table.
        path: PathBuf,
        /// Name of the column, or its place where the name is not a known one.
        column: String,
        /// Types that are read.
        expected: &'static str,
        /// The type that is there.
        got: String,
    },

    /// A quote is not closed, or closed in the middle of a cell.
    #[error("{}, line {line}: expected every quote closed at the end of its cell, got {got}", path.display())]
    #[diagnostic(help(
        "a quote that is not closed makes the rows behind it into one cell: download the table again, or double the quote if \
         it belongs to the text"
    ))]
    Quote {
        /// The table.
        path: PathBuf,
        /// Line of the opening quote, from 1.
        line: u64,
        /// What is there.
        got: &'static str,
    },

    /// A table holds a heading only.
    #[error("{}: expected rows below the heading, got none", path.display())]
    #[diagnostic(help("the download was cut off or the table filtered away: download it again"))]
    NoRows {
        /// The table.
        path: PathBuf,
    },

    /// No row of a table belongs to any stay.
    #[error("{}: expected rows of the stays that the other tables name, got none", path.display())]
    #[diagnostic(help(
        "{counts}. The tables are of different releases, or a tool rewrote the stays' numbers: download all of them again \
         from the same release"
    ))]
    NothingMatched {
        /// The table.
        path: PathBuf,
        /// What became of its rows.
        counts: String,
    },

    /// A table is there and gives no admission anything.
    #[error("{}: no admission has {modality}, of which there are tables", folder.display())]
    #[diagnostic(help(
        "what became of their rows:\n{counts}\nDownload the tables again if they were not edited on purpose"
    ))]
    NobodyHas {
        /// The folder of the tables.
        folder: PathBuf,
        /// The modality.
        modality: &'static str,
        /// What became of the rows, one table a line.
        counts: String,
    },

    /// Codes lost their leading zeros, and it cannot be told which.
    #[error(
        "{}: expected codes as its release has them, got codes whose leading zeros are lost (ICD-{version})",
        path.display()
    )]
    #[diagnostic(help(
        "{lost} rows hold a code that is known with leading zeros only; of {unclear} it cannot be told which of several codes \
         is meant, so none is restored. Spreadsheets do this: download the table again"
    ))]
    LostZeros {
        /// The table of events.
        path: PathBuf,
        /// Version of the classification.
        version: u32,
        /// Rows that could be restored.
        lost: u64,
        /// Rows that could not.
        unclear: u64,
    },

    /// A cell does not hold what its column should.
    #[error("{}, line {line}, column `{column}`: expected {expected}, got {got}", path.display())]
    #[diagnostic(help(
        "look at that line of the file (its content is not printed here, as records do not belong into logs); download \
         the table again if it was not edited on purpose"
    ))]
    Cell {
        /// The table.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column.
        column: &'static str,
        /// What should be there.
        expected: &'static str,
        /// What kind of thing is there.
        got: String,
    },

    /// Two rows, of one table or two, contradict each other.
    #[error("{}, line {line}: expected {expected}, got {got}", path.display())]
    #[diagnostic(help(
        "the tables are of different releases or were edited: download all of them again from the same release"
    ))]
    Contradiction {
        /// The table.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        got: &'static str,
    },

    /// A line is no row.
    #[error("{}, line {line}: expected {expected} cells, got {got}", path.display())]
    #[diagnostic(help("the line is cut off or a quote is missing: download the table again"))]
    Row {
        /// The table.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Cells of the heading.
        expected: u64,
        /// Cells of the line.
        got: u64,
    },

    /// The file ends early, is damaged or cannot be read.
    #[error("{}, after line {line}: expected the rest of the table, got: {reason}", path.display())]
    #[diagnostic(help(
        "an interrupted download or a full disk leaves such a file: download the table again and compare it with the \
         SHA256SUMS.txt of its release"
    ))]
    Broken {
        /// The table.
        path: PathBuf,
        /// Last line that was read, from 1; 0 if none was.
        line: u64,
        /// What the reader says.
        reason: String,
    },

    /// The cohort rules leave nobody.
    #[error("{}: no admission is left of {rows}", path.display())]
    #[diagnostic(help("expected stays of at most 10 days of adults that left the hospital alive, got none"))]
    Empty {
        /// The table of admissions.
        path: PathBuf,
        /// Admissions in it.
        rows: usize,
    },
}
