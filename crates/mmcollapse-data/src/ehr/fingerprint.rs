//! What this build makes of a few invented admissions, as a digest: part of the key of kept data sets, so that one is made
//! again when the code that made it, or the arithmetic below it, has changed.

use std::sync::LazyLock;

use super::cohort::{Admission, Code, CodeEvent, CodeKind, Cohort, Demographics, LabEvent, LabItem, Outcome, Task};
use super::coverage::Coverage;
use super::split::{SPLIT_SEED, Split, SplitBy};
use crate::cache::key;

/// Raised with every change in how a cohort becomes a data set that the invented admissions are too few to show.
const REVISION: &str = "1";

/// Invented admissions.
const ADMISSIONS: u32 = 60;

/// The digest.
pub fn fingerprint() -> &'static str {
    static FINGERPRINT: LazyLock<String> = LazyLock::new(|| {
        let cohort = invented();
        let split = Split::new(&cohort.admissions, SplitBy::Patient, SPLIT_SEED);
        let digests = Task::ALL.map(|task| {
            // What is refused has no digest; the text says why.
            super::dataset("invented", &cohort, task, &split, None).map_or_else(|error| error.to_string(), |d| d.digest)
        });
        key(&[REVISION, &digests[0], &digests[1]])
    });
    &FINGERPRINT
}

fn invented() -> Cohort {
    let codes = (0..30).map(|i| Code {
        kind: CodeKind::Diagnosis,
        code: i.to_string(),
        title: i.to_string(),
    });
    let items = (0..4).map(|id| LabItem {
        id,
        label: id.to_string(),
    });
    Cohort {
        source: "invented".to_owned(),
        codes: codes.collect(),
        lab_items: items.collect(),
        coverage: Coverage::default(),
        admissions: (0..ADMISSIONS).map(admission).collect(),
    }
}

/// Numbers without a pattern that the recipe could miss, from multiples of primes.
fn admission(i: u32) -> Admission {
    let events = |step: u32| {
        let event = |k: u32| CodeEvent {
            minute: k as i32,
            code: (i * step + k * k) % 30,
        };
        (0..(i * step) % 70).map(event).collect()
    };
    let lab = |k: u32| LabEvent {
        minute: (k / 3) as i32,
        item: ((i + k) % 4) as u16,
        value: ((i * 31 + k * 17) % 101) as f32 / 7.,
        abnormal: (i + k).is_multiple_of(5),
    };
    let word = |k: u32| format!("w{}", (i * k + k) % 23);
    Admission {
        subject: u64::from(i / 2),
        id: u64::from(i),
        minutes: 60,
        outcome: Outcome {
            mortality: Some(i.is_multiple_of(3)),
            readmission: (!i.is_multiple_of(7)).then_some(i.is_multiple_of(2)),
        },
        demographics: (!i.is_multiple_of(11)).then(|| Demographics {
            age: 20 + (i * 13) % 60,
            gender: (i % 2).to_string(),
            ethnicity: (i % 3).to_string(),
        }),
        diagnoses: events(3),
        procedures: events(7),
        medications: events(11),
        labs: (0..(i * 5) % 200).map(lab).collect(),
        notes: (!i.is_multiple_of(4)).then(|| (1..12).map(word).collect::<Vec<_>>().join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_invented_admissions_show_every_modality_and_both_labels() {
        let cohort = invented();
        let split = Split::new(&cohort.admissions, SplitBy::Patient, SPLIT_SEED);
        for task in Task::ALL {
            let data = crate::ehr::dataset("invented", &cohort, task, &split, None).unwrap();
            assert_eq!(data.modalities.len(), 6);
            assert!(!data.train.present.is_complete());
        }
        assert_eq!(fingerprint().len(), 64);
    }
}
