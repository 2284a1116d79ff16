use mmcollapse_record::{Definition, Preset, Score};
use proptest::prelude::*;

use super::*;
use crate::models::ModelResolver;
use crate::plan::{Planned, Selection};
use crate::tuning::fixture::{EXPERIMENT, put};

fn plan_of(seeds: Option<u64>) -> Plan {
    let selection = Selection {
        seeds,
        ..Selection::default()
    };
    Plan::new(&EXPERIMENT, Preset::Smoke, &selection, &mut ModelResolver::new(true)).unwrap()
}

fn store_of(root: &Path, plan: &Plan, like: impl Fn(&Planned) -> bool) -> Store {
    let store = Store::new(root);
    for planned in plan.cells.iter().filter(|planned| like(planned)) {
        put(&store, planned, None, 0.1 + 0.2 + planned.seed as f64);
    }
    store
}

fn read(results: &Path) -> Result<PublishedCells, PublishedCellsError> {
    PublishedCells::read(results, "table4", "smoke")
}

/// Writes what the store has, and returns the bytes.
fn publish(results: &Path, plan: &Plan, store: &Store) -> Vec<u8> {
    let mut published = read(results).unwrap();
    published.update(plan, store).unwrap();
    published.write().unwrap();
    fs::read(published.path()).unwrap()
}

#[test]
fn an_empty_store_is_filled_with_the_same_outcomes() {
    let folder = tempfile::tempdir().unwrap();
    let (results, plan) = (folder.path().join("results"), plan_of(None));
    let store = store_of(&folder.path().join("a"), &plan, |_| true);
    let bytes = publish(&results, &plan, &store);
    let published = read(&results).unwrap();
    assert!(published.path().ends_with("cells/table4/smoke.jsonl.zst"));

    let other = Store::new(&folder.path().join("b"));
    // What it has stays: here a damaged outcome, and a cell that somebody trains.
    let damaged = other.folder(&plan.cells[0].key).join("outcome.json");
    write_atomic(&damaged, b"{").unwrap();
    let claim = other.claim(&plan.cells[1].cell).unwrap().unwrap();
    assert_eq!(published.fill(&plan, &other).unwrap(), plan.cells.len() - 1);
    drop(claim);
    assert_eq!(published.fill(&plan, &other).unwrap(), 1);
    assert_eq!(published.fill(&plan, &other).unwrap(), 0);
    for planned in &plan.cells {
        let found = other.find(&planned.key).unwrap();
        assert!(matches!(found, Found::Whole(_)));
        assert_eq!(found, store.find(&planned.key).unwrap());
    }
    // Estimates of time rest on them, and what is published of that store is the same, byte by byte.
    assert_eq!(other.durations(), store.durations());
    assert_eq!(publish(&folder.path().join("again"), &plan, &other), bytes);
}

/// Fig. 9 has cells of Table 4, and one of them may be published alone.
#[test]
fn what_another_result_has_published_is_taken_if_it_has_all_measures() {
    let folder = tempfile::tempdir().unwrap();
    let (results, mut plan) = (folder.path().join("results"), plan_of(None));
    plan.cells.iter_mut().for_each(|planned| planned.measures.clear());
    let store = store_of(&folder.path().join("a"), &plan, |planned| planned.seed == 0);
    publish(&results, &plan, &store);
    let empty = Store::new(&folder.path().join("b"));
    let others = |plan: &Plan, store: &Store| {
        let mut own = PublishedCells::read(&results, "fig9", "smoke").unwrap();
        own.add_others(plan, &AllPublished::of(&results), store).unwrap();
        own.cells().count()
    };
    let of_another = |plan: &Plan| others(plan, &empty);
    // Made-up outcomes of EBR lack its check.
    let published: BTreeSet<_> = plan
        .cells
        .iter()
        .filter(|planned| planned.seed == 0 && planned.row.reallocation == "none")
        .map(|planned| &planned.key)
        .collect();
    assert!(!published.is_empty());
    assert_eq!(of_another(&plan), published.len());
    // A store that has them needs none.
    assert_eq!(others(&plan, &store), 0);
    for planned in &mut plan.cells {
        planned.measures = vec!["leading_modality".to_owned()];
    }
    assert_eq!(of_another(&plan), 0);

    let damaged = results.join("cells/table3/quick.jsonl.zst");
    write_atomic(&damaged, b"no").unwrap();
    let mut own = PublishedCells::read(&results, "fig9", "smoke").unwrap();
    let error = own
        .add_others(&plan, &AllPublished::of(&results), &empty)
        .unwrap_err()
        .to_string();
    assert!(error.contains("table3/quick.jsonl.zst"), "{error}");
}

/// Two experiments share their cells, and one asks for more of them.
#[test]
fn measures_are_added_to_a_cell_that_the_store_has() {
    let folder = tempfile::tempdir().unwrap();
    let (results, mut plan) = (folder.path().join("results"), plan_of(Some(1)));
    let plain = store_of(&folder.path().join("a"), &plan, |_| true);
    let bytes = publish(&folder.path().join("plain"), &plan, &plain);
    let measure = Definition::of_representation()
        .find(|measure| measure.key == "leading_modality")
        .unwrap();
    for planned in &mut plan.cells {
        planned.measures = vec![measure.key.to_owned()];
    }
    let more = Store::new(&folder.path().join("b"));
    for planned in &plan.cells {
        let Found::Whole(mut stored) = plain.find(&planned.key).unwrap() else {
            panic!("a cell is missing")
        };
        let score = stored.outcome.scores[0].clone();
        stored.outcome.scores.push(Score {
            metric: measure.key.parse().unwrap(),
            ..score
        });
        stored.outcome.measured.insert(measure.key.to_owned(), measure.revision);
        assert!(more.put(&planned.cell, &stored).unwrap());
    }
    publish(&results, &plan, &more);
    let published = read(&results).unwrap();
    assert_eq!(published.fill(&plan, &plain).unwrap(), 0);
    for planned in &plan.cells {
        assert_eq!(plain.find(&planned.key).unwrap(), more.find(&planned.key).unwrap());
    }
    // Who does not ask for it publishes the same as before.
    assert_eq!(publish(&folder.path().join("again"), &plan_of(Some(1)), &plain), bytes);
}

#[test]
fn published_cells_grow_and_lose_only_what_is_no_longer_planned() {
    let folder = tempfile::tempdir().unwrap();
    let (results, plan) = (folder.path().join("results"), plan_of(None));
    let of_seed = |seed| plan.cells.iter().filter(|planned| planned.seed == seed).count();
    let has =
        |published: &PublishedCells, plan: &Plan| plan.cells.iter().filter(|c| published.has(c.key.as_str())).count();
    publish(
        &results,
        &plan,
        &store_of(&folder.path().join("a"), &plan, |c| c.seed == 0),
    );
    publish(
        &results,
        &plan,
        &store_of(&folder.path().join("b"), &plan, |c| c.seed == 1),
    );
    assert_eq!(has(&read(&results).unwrap(), &plan), plan.cells.len());
    // Fewer seeds are asked for, and a store that has nothing: all stays.
    let empty = Store::new(&folder.path().join("c"));
    let mut published = read(&results).unwrap();
    assert!(!published.update(&plan_of(Some(1)), &empty).unwrap());

    // The revision is another one: cells of that plan only.
    let mut raised = plan_of(Some(1));
    for planned in &mut raised.cells {
        planned.cell.revision.push_str(", raised");
        planned.key = planned.cell.key();
    }
    assert!(published.update(&raised, &empty).unwrap());
    assert!(published.is_empty());
    // Other data: the plan knows those of its own seeds.
    let mut published = read(&results).unwrap();
    let mut changed = plan_of(Some(1));
    for planned in &mut changed.cells {
        planned.cell.data_digest = "other".into();
        planned.key = planned.cell.key();
    }
    assert!(published.update(&changed, &empty).unwrap());
    assert_eq!(has(&published, &plan), of_seed(1));
}

#[test]
fn a_cell_that_its_key_is_not_of_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan_of(Some(1));
    let store = store_of(&folder.path().join("a"), &plan, |_| true);
    publish(folder.path(), &plan, &store);
    let mut published = read(folder.path()).unwrap();
    let kept = published.cells.values_mut().next().unwrap();
    kept.cell.config["training"]["epochs"] = 1.into();
    published.write().unwrap();
    let error = read(folder.path()).unwrap_err();
    assert!(error.to_string().contains("line 2: its key is"), "{error}");
    let help = error.help().unwrap().to_string();
    assert!(help.contains("git checkout"), "{help}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Damage is an error that names the file, or changes nothing of what is read.
    #[test]
    fn no_mutated_file_is_taken_for_another(edits in crate::mutation::edits()) {
        static WHOLE: std::sync::LazyLock<(tempfile::TempDir, Vec<u8>)> = std::sync::LazyLock::new(|| {
            let folder = tempfile::tempdir().unwrap();
            let plan = plan_of(Some(1));
            let bytes = publish(folder.path(), &plan, &store_of(&folder.path().join("a"), &plan, |_| true));
            (folder, bytes)
        });
        let (folder, whole) = &*WHOLE;
        let expected = read(folder.path()).unwrap();
        let damaged = tempfile::tempdir().unwrap();
        let path = damaged.path().join("cells/table4/smoke.jsonl.zst");
        write_atomic(&path, &crate::mutation::mutated(whole, &edits)).unwrap();
        match read(damaged.path()) {
            Ok(found) => prop_assert_eq!(found.cells, expected.cells),
            Err(error) => prop_assert!(error.to_string().contains("smoke.jsonl.zst"), "{}", error),
        }
    }
}
