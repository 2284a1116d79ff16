//! What the readers of health records must never do: read wrong numbers without a word, depend on the order of rows, lose a
//! modality in silence, print a cell, panic.

#[path = "../eicu_tables/mod.rs"]
#[allow(dead_code, reason = "not every test file needs all of it")]
mod eicu_tables;
#[path = "../mimic_tables/mod.rs"]
#[allow(dead_code, reason = "not every test file needs all of it")]
mod mimic_tables;

mod damage;
mod joins;
mod order;
mod quotes;
mod secrets;
mod typed;
mod values;

use std::path::Path;

use mmcollapse_data::ehr::{Cohort, Count, EhrError, EhrSource, Eicu, MimicIv};

/// The cohort of MIMIC-IV's tables in small.
fn mimic(tables: &mimic_tables::Tables) -> Result<Cohort, EhrError> {
    let folder = tempfile::tempdir().unwrap();
    mimic_tables::write(folder.path(), tables, |_| false);
    MimicIv::FULL.read(folder.path())
}

/// The cohort of eICU's tables in small, some of them replaced.
fn eicu(replaced: &[(&str, &str)]) -> Result<Cohort, EhrError> {
    Eicu::FULL.cohort(eicu_tables::folder(replaced).path(), None)
}

/// How many rows of `table` were dropped or noted as `count`.
fn counted(cohort: &Cohort, table: &str, count: Count) -> u64 {
    let found = cohort.coverage.tables.iter().find(|of| of.table == table).unwrap();
    let of = |counts: &std::collections::BTreeMap<Count, u64>| counts.get(&count).copied().unwrap_or_default();
    of(&found.dropped) + of(&found.noted)
}

/// Everything that a user may see of `error`.
fn told(error: &EhrError) -> String {
    let help = miette::Diagnostic::help(error).map(|help| help.to_string());
    format!("{error}\n{}\n{error:?}", help.unwrap_or_default())
}

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/yaib")
}
