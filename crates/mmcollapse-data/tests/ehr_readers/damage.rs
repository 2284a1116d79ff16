//! Damaged tables end in an error or a cohort, never in a panic, and soon.

use mmcollapse_data::ehr::{EhrSource, Eicu, MimicIv};
use mmcollapse_files::write_atomic;
use proptest::prelude::*;

use crate::mimic_tables::{csv_bytes, gz, tables, write};
use crate::{eicu_tables, fixtures};

/// A change of a file's bytes.
#[derive(Clone, Debug)]
enum Change {
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let pieces = prop_oneof![
        Just(b"\"".to_vec()),
        Just(b",".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r\n\r".to_vec()),
        Just(b"\0".to_vec()),
        Just(b"99999999999999999999".to_vec()),
        Just(b"-9223372036854775808".to_vec()),
        Just(b"1e300".to_vec()),
        Just(b"nan".to_vec()),
        Just(b"\xff".to_vec()),
        Just(b"9999-12-31 23:59:59".to_vec()),
        prop::collection::vec(any::<u8>(), 1..6),
    ];
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Flip(at, byte)),
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), pieces).prop_map(|(at, piece)| Change::Insert(at, piece)),
        (any::<usize>(), 1_usize..40).prop_map(|(at, n)| Change::Remove(at, n)),
        (any::<usize>(), 1_usize..80).prop_map(|(at, n)| Change::Repeat(at, n)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let n = bytes.len().max(1);
        match change {
            Change::Flip(at, byte) if !bytes.is_empty() => bytes[at % n] ^= byte,
            Change::Flip(..) => {}
            Change::Cut(at) => bytes.truncate(at % n),
            Change::Insert(at, piece) => {
                let at = (at % n).min(bytes.len());
                bytes.splice(at..at, piece.iter().copied());
            }
            Change::Remove(at, many) => {
                let from = (at % n).min(bytes.len());
                let to = (from + many).min(bytes.len());
                bytes.drain(from..to);
            }
            Change::Repeat(at, many) => {
                let from = (at % n).min(bytes.len());
                let piece = bytes[from..(from + many).min(bytes.len())].to_vec();
                bytes.splice(from..from, piece);
            }
        }
    }
    bytes
}

fn cases(n: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(n)
    }
}

proptest! {
    #![proptest_config(cases(200))]
    #[test]
    fn tables_of_mimic_iv(which: usize, packed: bool, inside: bool, changes in prop::collection::vec(change(), 1..4)) {
        let tables = tables();
        let (name, rows) = tables.iter().nth(which % tables.len()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &tables, |_| false);
        let bytes = csv_bytes(rows);
        let (ending, bytes) = match (packed, inside) {
            (true, true) => ("csv.gz", gz(&changed(bytes, &changes))),
            (true, false) => ("csv.gz", changed(gz(&bytes), &changes)),
            (false, _) => ("csv", changed(bytes, &changes)),
        };
        write_atomic(&folder.path().join(format!("{name}.{ending}")), &bytes).unwrap();
        let _ = MimicIv::FULL.read(folder.path());
    }

    #[test]
    fn tables_of_eicu(which in 0_usize..6, changes in prop::collection::vec(change(), 1..4)) {
        let name = ["patient", "diagnosis", "treatment", "medication", "note", "lab"][which];
        let folder = eicu_tables::folder(&[]);
        let path = folder.path().join(format!("{name}.csv"));
        let bytes = changed(std::fs::read(&path).unwrap(), &changes);
        write_atomic(&path, &bytes).unwrap();
        let _ = Eicu::FULL.cohort(folder.path(), None);
    }

    #[test]
    fn hourly_values(which: usize, changes in prop::collection::vec(change(), 1..4)) {
        let names = ["duration-ms", "groups", "hours-float32", "pandas", "polars-us", "values-uint32"];
        let file = fixtures().join(format!("right-{}.parquet", names[which % names.len()]));
        let folder = eicu_tables::folder(&[]);
        std::fs::remove_file(folder.path().join("lab.csv")).unwrap();
        let path = folder.path().join("dyn.parquet");
        write_atomic(&path, &changed(std::fs::read(file).unwrap(), &changes)).unwrap();
        let _ = Eicu::FULL.cohort(folder.path(), Some(&path));
    }
}
