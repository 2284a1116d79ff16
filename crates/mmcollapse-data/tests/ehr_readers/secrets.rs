//! No message of any reader quotes a cell.

use mmcollapse_data::ehr::{EhrSource, MimicIv};
use mmcollapse_files::write_atomic;

use crate::eicu_tables::{self, TABLES};
use crate::mimic_tables::{csv_bytes, tables, write};
use crate::told;

/// What stands in a cell of the damaged tables, and nowhere else.
const CANARIES: [&str; 5] = [
    "CanaryBird",
    "-777123",
    "777123.25",
    "2777-12-31 07:31:23",
    "777123\u{fffd}",
];

/// Texts that a table of `rows` may come as once `canary` is in its cells.
fn damages(rows: &[Vec<String>], canary: &str) -> Vec<Vec<Vec<String>>> {
    let mut all = Vec::new();
    let columns = rows[0].len();
    for column in 0..columns {
        // In a cell of the first and of the last row.
        for row in [1, rows.len() - 1] {
            let mut damaged = rows.to_vec();
            canary.clone_into(&mut damaged[row][column]);
            all.push(damaged);
        }
        // A row twice, but for one cell.
        let mut damaged = rows.to_vec();
        let mut twice = rows[1].clone();
        canary.clone_into(&mut twice[column]);
        damaged.push(twice);
        all.push(damaged);
        // Without one column.
        let mut damaged = rows.to_vec();
        for row in &mut damaged {
            row.remove(column);
        }
        canary.clone_into(&mut damaged[1][0]);
        all.push(damaged);
    }
    // Without a heading; with a heading of cells; rows of other lengths.
    let mut damaged = rows[1..].to_vec();
    damaged[0] = vec![canary.to_owned(); columns];
    all.push(damaged);
    let mut damaged = rows.to_vec();
    damaged[0] = vec![canary.to_owned(); columns];
    all.push(damaged);
    let mut damaged = rows.to_vec();
    damaged[1] = vec![canary.to_owned(); columns];
    all.push(damaged);
    all
}

fn text(rows: &[Vec<String>]) -> String {
    String::from_utf8(csv_bytes(rows)).unwrap()
}

/// More damage, of the text itself.
fn texts(rows: &[Vec<String>], canary: &str) -> Vec<String> {
    let mut all: Vec<String> = damages(rows, canary).iter().map(|rows| text(rows)).collect();
    let whole = text(rows);
    all.push(format!("{whole}{canary}\n"));
    all.push(format!(
        "{whole}{canary},{canary},{canary},{canary},{canary},{canary},{canary},{canary},{canary},1,1,1\n"
    ));
    all.push(format!("{whole}\"{canary}\n"));
    all.push(whole.replacen('\n', &format!("\n\"{canary}\" {canary}"), 1));
    all.push(whole.replacen('\n', &format!("\n\"{canary}\n"), 1));
    all.push(canary.to_owned());
    all.push(format!("\"{canary}"));
    all
}

#[test]
fn no_message_quotes_a_cell() {
    let mut errors = 0;
    let mut hold = |told: String, canary: &str| {
        assert!(!told.contains(canary), "{told}");
        errors += 1;
    };
    for canary in CANARIES {
        for (name, rows) in tables() {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), &tables(), |_| false);
            for text in texts(&rows, canary) {
                write_atomic(&folder.path().join(format!("{name}.csv")), text.as_bytes()).unwrap();
                if let Err(error) = MimicIv::FULL.read(folder.path()) {
                    hold(told(&error), canary);
                }
            }
        }
        for (name, whole) in TABLES {
            let rows = whole.lines().map(|line| line.split(',').map(str::to_owned).collect());
            let folder = eicu_tables::folder(&[]);
            for text in texts(&rows.collect::<Vec<_>>(), canary) {
                write_atomic(&folder.path().join(format!("{name}.csv")), text.as_bytes()).unwrap();
                if let Err(error) = mmcollapse_data::ehr::Eicu::FULL.cohort(folder.path(), None) {
                    hold(told(&error), canary);
                }
            }
        }
    }
    assert!(errors > 500, "only {errors} of the damaged tables are errors");
}
