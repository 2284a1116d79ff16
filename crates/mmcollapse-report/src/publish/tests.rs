use super::*;
use crate::summary::synthetic::record;
use mmcollapse_record::Status;

fn records(rows: &[&str], seeds: std::ops::Range<u64>) -> Vec<Record> {
    let all = rows.iter().flat_map(|row| seeds.clone().map(move |seed| (row, seed)));
    all.map(|(row, seed)| record(row, (row, "none"), "test_missing", seed, &[(0.9, 400)], Status::Ok))
        .collect()
}

fn extent(rows: &[&str], seeds: std::ops::Range<u64>) -> Extent {
    Extent::of(&records(rows, seeds))
}

#[test]
fn what_is_less_complete_is_told_in_words() {
    let whole = extent(&["a", "b"], 0..3);
    assert_eq!(whole.lacks(&whole), None);
    assert_eq!(extent(&["a", "b", "c"], 0..5).lacks(&whole), None);
    let lacks = |other: &Extent| other.lacks(&whole).unwrap();
    assert_eq!(
        lacks(&extent(&["a", "b"], 0..2)),
        "2 instead of 3 seeds, 4 instead of 6 cells"
    );
    // As many, but others.
    assert_eq!(lacks(&extent(&["a", "b"], 1..4)), "3 instead of 3 seeds");
    assert_eq!(lacks(&extent(&["a", "c"], 0..3)), "no b");
    assert_eq!(
        extent(&["a"], 0..1)
            .lacks(&extent(&["a", "b", "c", "d", "e"], 0..1))
            .unwrap(),
        "no b, c, d and 1 more rows, 1 instead of 5 cells"
    );
    // Every row and every seed is there, yet not each row with each seed.
    let mut uneven = records(&["a", "b"], 0..3);
    uneven.retain(|record| record.row == "a" || record.seed == 0);
    uneven.extend(records(&["c"], 0..3));
    assert_eq!(lacks(&Extent::of(&uneven)), "without 2 of its runs");
}

/// What cannot be read might be more complete than anything.
#[test]
fn a_result_that_cannot_be_judged_stays() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("quick");
    let extent = extent(&["a"], 0..1);
    assert_eq!(place(&own, &extent).folder, own);
    for (name, text) in [("table.md", "a table"), ("runs.provenance.json", "{")] {
        mmcollapse_files::write_atomic(&own.join(name), text.as_bytes()).unwrap();
        let place = place(&own, &extent);
        assert_eq!(place.folder, folder.path().join("quick-partial"));
        let kept = place.kept.unwrap();
        assert!(kept.reason.contains("cannot be judged") && kept.reason.contains("runs.provenance.json"));
    }
}

#[test]
fn a_users_own_file_is_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("quick");
    mmcollapse_files::write_atomic(&own.join("notes.md"), b"mine").unwrap();
    assert_eq!(place(&own, &extent(&["a"], 0..1)).folder, own);
}
