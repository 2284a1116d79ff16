//! A large cohort costs each process next to nothing: its samples lie in a file that all of them map.

use std::fs;
use std::path::Path;

use mmcollapse_data::ehr::manifest::RecordsManifest;
use mmcollapse_data::ehr::plant::{PlantConfig, plant};
use mmcollapse_data::ehr::{MimicIv, Task};
use mmcollapse_data::manifest::BuiltIn;
use mmcollapse_data::sets::EhrSet;
use mmcollapse_data::{Batch, Dataset, LoadOptions};
use mmcollapse_files::write_atomic;
use mmcollapse_nn::Device;

fn tables(patients: u64, folder: &Path) {
    let planted = RecordsManifest::find("ehr-planted").unwrap().planted.unwrap();
    plant(&PlantConfig { patients, ..planted }, folder).unwrap();
}

fn load(folder: &Path, kept: Option<&Path>) -> Dataset {
    let set = EhrSet::new(&MimicIv::PLANTED, None, Task::Mortality);
    set.load_below(&LoadOptions::default(), Some(folder), kept).unwrap()
}

fn samples(data: &Dataset) -> usize {
    data.train.len() + data.validation.len() + data.test.len()
}

#[test]
fn a_process_owns_labels_and_presence_and_shares_all_numbers() {
    let place = tempfile::tempdir().unwrap();
    let mut shared = Vec::new();
    for patients in [600, 1200] {
        let (folder, kept) = (
            place.path().join(patients.to_string()),
            place.path().join(format!("kept {patients}")),
        );
        tables(patients, &folder);
        let built = load(&folder, Some(&kept));
        let opened = load(&folder, Some(&kept));
        for data in [&built, &opened] {
            let (own, of_all) = data.memory();
            // A label and whether each of six modalities is there.
            assert_eq!(own, (4 + 6) * samples(data));
            shared.push(of_all);
        }
        assert_eq!(built, opened);
        // In memory, when there is no folder to keep anything in, the numbers are the same.
        let alone = load(&folder, None);
        assert_eq!((alone.memory().1, &alone.digest), (0, &built.digest));
        assert_eq!(alone, opened);
        // Batches take rows from the file.
        let index = [5, 3, 3];
        let [mapped, owned] = [&opened, &alone].map(|data| {
            let batch = Batch::new(&data.train, &data.modalities, &data.train.present, &index, &Device::Cpu).unwrap();
            let numbers = batch.inputs.iter().filter_map(|input| input.x.as_ref());
            let numbers = numbers.map(|x| x.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            numbers.collect::<Vec<_>>()
        });
        assert_eq!(mapped, owned);
        assert!(opened.with(&[0, 4]).memory().0 < 20 * samples(&opened));
    }
    assert_eq!((shared[0], shared[2]), (shared[1], shared[3]));
    assert!(shared[2] > shared[0] * 3 / 2, "{shared:?}");
}

#[test]
fn a_damaged_file_and_other_tables_are_prepared_anew() {
    let place = tempfile::tempdir().unwrap();
    let (folder, kept) = (place.path().join("tables"), place.path().join("kept"));
    tables(100, &folder);
    let first = load(&folder, Some(&kept));
    let path = kept.join("ehr/ehr-planted-mortality-0.samples");
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&whole[..whole.len() / 2], &flipped] {
        write_atomic(&path, damaged).unwrap();
        assert_eq!(load(&folder, Some(&kept)), first);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    let other = place.path().join("other");
    tables(110, &other);
    assert_ne!(load(&other, Some(&kept)).digest, first.digest);
    assert_ne!(fs::read(&path).unwrap(), whole);
}
