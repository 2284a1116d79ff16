//! Cutting a cohort into what is trained on, what choices are made on and what is tested on: 70, 10 and 20 %.

use mmcollapse_nn::random::Stream;

use super::cohort::Admission;

/// What is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SplitBy {
    /// Patients, with all their admissions: nobody is in two parts, so no part of a history is known from another.
    #[default]
    Patient,
    /// Admissions, as MUSE's code does. A patient's other admissions then help to guess the test's.
    Admission,
}

/// Places of admissions in [`super::Cohort::admissions`], ascending.
///
/// All admissions are cut, labelled or not, so that both tasks share one cut, and an unlabelled admission of a test
/// patient is never learnt from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// What is trained on.
    pub train: Vec<usize>,
    /// What choices are made on.
    pub validation: Vec<usize>,
    /// What the finished model is scored on.
    pub test: Vec<usize>,
}

/// The seed that MUSE and the paper use.
pub const SPLIT_SEED: u64 = 42;

impl Split {
    /// Cuts `admissions`. Of `n` patients (or admissions) the first `7 n / 10` in random order are trained on, those up
    /// to `8 n / 10` validate, the others test, rounded down as MUSE does.
    ///
    /// The order of `admissions` does not matter: a patient's part depends on the set of patients and the seed.
    pub fn new(admissions: &[Admission], by: SplitBy, seed: u64) -> Self {
        let unit = |admission: &Admission| match by {
            SplitBy::Patient => admission.subject,
            SplitBy::Admission => admission.id,
        };
        let purpose = match by {
            SplitBy::Patient => "ehr split by patient",
            SplitBy::Admission => "ehr split by admission",
        };
        let mut units: Vec<u64> = admissions.iter().map(unit).collect();
        units.sort_unstable();
        units.dedup();
        let mut place = vec![0; units.len()];
        for (rank, drawn) in Stream::new(seed, purpose)
            .permutation(units.len())
            .into_iter()
            .enumerate()
        {
            place[drawn] = rank;
        }
        let (train, validation) = (units.len() * 7 / 10, units.len() * 8 / 10);
        let mut split = Self::default();
        for (i, admission) in admissions.iter().enumerate() {
            let rank = units.binary_search(&unit(admission)).map_or(0, |at| place[at]);
            let part = if rank < train {
                &mut split.train
            } else if rank < validation {
                &mut split.validation
            } else {
                &mut split.test
            };
            part.push(i);
        }
        split
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::ehr::Outcome;

    fn admissions(subjects: &[u64]) -> Vec<Admission> {
        let admission = |(id, subject): (u64, &u64)| Admission {
            subject: *subject,
            id,
            minutes: 60,
            outcome: Outcome::default(),
            demographics: None,
            diagnoses: Vec::new(),
            procedures: Vec::new(),
            medications: Vec::new(),
            labs: Vec::new(),
            notes: None,
        };
        (0..).zip(subjects).map(admission).collect()
    }

    proptest! {
        #[test]
        fn every_admission_once_and_no_patient_twice(subjects in prop::collection::vec(0_u64..40, 0..120), seed: u64) {
            let admissions = admissions(&subjects);
            let split = Split::new(&admissions, SplitBy::Patient, seed);
            let parts = [&split.train, &split.validation, &split.test];
            let mut all: Vec<usize> = parts.into_iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..admissions.len()).collect::<Vec<_>>());
            let [a, b, c] = parts.map(|part| part.iter().map(|&i| subjects[i]).collect::<BTreeSet<_>>());
            prop_assert!(a.is_disjoint(&b) && a.is_disjoint(&c) && b.is_disjoint(&c));
            let n = subjects.iter().collect::<BTreeSet<_>>().len();
            prop_assert_eq!((a.len(), a.len() + b.len()), (n * 7 / 10, n * 8 / 10));

            let mut reversed = admissions.clone();
            reversed.reverse();
            let other = Split::new(&reversed, SplitBy::Patient, seed);
            let of = |part: &[usize], all: &[Admission]| part.iter().map(|&i| all[i].id).collect::<BTreeSet<_>>();
            prop_assert_eq!(of(&split.test, &admissions), of(&other.test, &reversed));
        }
    }

    #[test]
    fn by_admission_the_counts_are_exact_and_the_seed_matters() {
        let admissions = admissions(&[7; 135]);
        let split = Split::new(&admissions, SplitBy::Admission, SPLIT_SEED);
        assert_eq!(
            (split.train.len(), split.validation.len(), split.test.len()),
            (94, 14, 27)
        );
        assert_eq!(split, Split::new(&admissions, SplitBy::Admission, SPLIT_SEED));
        assert_ne!(split, Split::new(&admissions, SplitBy::Admission, 43));
        assert_eq!(Split::new(&admissions, SplitBy::Patient, 1).test.len(), 135);
    }
}
