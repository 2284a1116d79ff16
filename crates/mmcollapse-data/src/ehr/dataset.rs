//! From a cohort to what models are trained on: one label, each modality as numbers, cut in three.
//!
//! Everything that is estimated (which codes there are, means and deviations, the directions of the notes) comes from the
//! training admissions, labelled or not. Samples are known by their place only, so that nothing of a record can reach a
//! result by its name.

use std::collections::BTreeMap;

use super::cohort::{Admission, CodeEvent, Cohort, Modality, Task};
use super::labs::LabStatistics;
use super::note_embeddings::NoteEmbeddings;
use super::split::Split;
use super::text::TextEmbedding;
use crate::{DataError, Dataset, Ids, Kind, ModalitySpec, Presence, Rows, Samples};

/// Codes that a sample has of a modality at most: the number of MUSE's whole sequence.
pub const CODES: usize = 50;
/// Time steps of laboratory values that a sample has at most, the last ones: MUSE's number.
pub const LAB_ROWS: usize = 50;
/// Training admissions that a code must occur in to be told from other rare ones.
const COMMON: usize = 5;
/// Numbers of an embedded note.
const NOTE_WIDTH: usize = 64;

/// The admissions of `cohort` whose label of `task` is known, class 1 where it happened, cut as `split` says.
///
/// Modalities, those that no training admission has being left out:
///
/// - demographics: standardised age, and one column a gender and an ethnicity;
/// - diagnoses, procedures, medications: up to [`CODES`] different codes each, diagnoses by importance, the others by the
///   time of their first use, the last ones; 1 stands for all codes that fewer than five training admissions have;
/// - labs: up to [`LAB_ROWS`] of MUSE's rows ([`LabStatistics::rows`]);
/// - notes: a [`TextEmbedding`] or, where there are some of the cohort, its `embedded` notes, each number standardised.
///
/// # Errors
/// When the training part has no admission of one of the two classes.
pub fn dataset(
    name: &str,
    cohort: &Cohort,
    task: Task,
    split: &Split,
    embedded: Option<&NoteEmbeddings>,
) -> Result<Dataset, DataError> {
    let training: Vec<&Admission> = split.train.iter().map(|&i| &cohort.admissions[i]).collect();
    let inputs: Vec<Input<'_>> = Modality::ALL
        .into_iter()
        .filter_map(|modality| Input::fit(modality, cohort, &training, embedded))
        .collect();
    let [train, validation, test] = [&split.train, &split.validation, &split.test].map(|part| {
        let known = cohort.labelled(part, task);
        samples(&inputs, cohort, &known, task)
    });
    if let Some(class) = train.class_counts(2).iter().position(|&n| n == 0) {
        return Err(DataError::Recipe {
            name: name.to_owned(),
            reason: format!(
                "none of the {} labelled training admissions is of class {class} ({})",
                train.len(),
                task.name()
            ),
        });
    }
    Ok(Dataset::new(
        name,
        inputs.iter().map(|input| input.spec.clone()).collect(),
        ["no".to_owned(), task.name().to_owned()].to_vec(),
        train,
        validation,
        test,
    ))
}

fn samples(inputs: &[Input<'_>], cohort: &Cohort, index: &[usize], task: Task) -> Samples {
    let admissions: Vec<&Admission> = index.iter().map(|&i| &cohort.admissions[i]).collect();
    let mut present = Presence::all(index.len(), inputs.len());
    let rows = inputs.iter().enumerate().map(|(m, input)| {
        let rows = admissions.iter().enumerate().map(|(i, admission)| {
            let row = input.row(admission);
            present.set(i, m, row.is_some());
            row.unwrap_or_default()
        });
        Rows::packed(input.spec.width(), rows)
    });
    let inputs = rows.collect();
    Samples {
        ids: Ids::Numbered(index.len()),
        inputs,
        labels: admissions
            .iter()
            .map(|admission| u32::from(admission.label(task) == Some(true)))
            .collect(),
        present,
    }
}

/// A modality, and what it takes to turn an admission into it.
struct Input<'a> {
    modality: Modality,
    spec: ModalitySpec,
    fitted: Fitted<'a>,
}

enum Fitted<'a> {
    Demographics {
        age: (f64, f64),
        genders: Vec<String>,
        ethnicities: Vec<String>,
    },
    /// By place in [`Cohort::codes`]: number among the codes of the modality that are common.
    Codes(BTreeMap<u32, usize>),
    Labs(LabStatistics),
    Notes(TextEmbedding),
    /// With mean and deviation of each number.
    Embedded(&'a NoteEmbeddings, Vec<(f32, f32)>),
}

impl<'a> Input<'a> {
    /// None if no training admission has the modality.
    fn fit(
        modality: Modality,
        cohort: &Cohort,
        training: &[&Admission],
        embedded: Option<&'a NoteEmbeddings>,
    ) -> Option<Self> {
        let having: Vec<&Admission> = training.iter().copied().filter(|a| a.has(modality)).collect();
        if having.is_empty() {
            return None;
        }
        let named = |shape: &[usize]| ModalitySpec::new(modality.name(), shape);
        let (spec, fitted) = match modality {
            Modality::Demographics => {
                let people: Vec<_> = having.iter().filter_map(|a| a.demographics.as_ref()).collect();
                let n = people.len() as f64;
                let mean = people.iter().map(|p| f64::from(p.age)).sum::<f64>() / n;
                let variance = people.iter().map(|p| (f64::from(p.age) - mean).powi(2)).sum::<f64>() / n;
                let genders = distinct(people.iter().map(|p| p.gender.as_str()));
                let ethnicities = distinct(people.iter().map(|p| p.ethnicity.as_str()));
                let age = (mean, if variance > 0. { variance.sqrt() } else { 1. });
                let width = 1 + genders.len() + ethnicities.len();
                let fitted = Fitted::Demographics {
                    age,
                    genders,
                    ethnicities,
                };
                (named(&[width]), fitted)
            }
            Modality::Diagnoses | Modality::Procedures | Modality::Medications => {
                let common = common_codes(modality, &having);
                // One more for all the others.
                let vocabulary = common.len() + 1;
                (named(&[CODES]).of(Kind::Codes { vocabulary }), Fitted::Codes(common))
            }
            Modality::Labs => {
                let statistics = LabStatistics::new(cohort.lab_items.len(), having.iter().copied());
                if statistics.width() == 0 {
                    return None;
                }
                let shape = [LAB_ROWS, 1 + statistics.width()];
                (named(&shape).of(Kind::Series), Fitted::Labs(statistics))
            }
            Modality::Notes => {
                if let Some(embedded) = embedded {
                    let rows: Vec<&[f32]> = having.iter().filter_map(|a| embedded.get(a.id)).collect();
                    let scales = (0..embedded.width()).map(|j| scale(&rows, j)).collect();
                    (named(&[embedded.width()]), Fitted::Embedded(embedded, scales))
                } else {
                    let notes = having.iter().filter_map(|a| a.notes.as_deref());
                    let embedding = TextEmbedding::fit(notes, NOTE_WIDTH);
                    if embedding.width() == 0 {
                        return None;
                    }
                    (named(&[embedding.width()]), Fitted::Notes(embedding))
                }
            }
        };
        Some(Self { modality, spec, fitted })
    }

    /// The admission's numbers, zeros at the end left out; none if it lacks the modality.
    fn row(&self, admission: &Admission) -> Option<Vec<f32>> {
        match &self.fitted {
            Fitted::Demographics {
                age,
                genders,
                ethnicities,
            } => {
                let person = admission.demographics.as_ref()?;
                let one_hot = |known: &[String], own: &str| -> Vec<f32> {
                    known.iter().map(|name| f32::from(u8::from(name == own))).collect()
                };
                let mut row = vec![((f64::from(person.age) - age.0) / age.1) as f32];
                row.extend(one_hot(genders, &person.gender));
                row.extend(one_hot(ethnicities, &person.ethnicity));
                Some(row)
            }
            Fitted::Codes(common) => {
                let events = codes(self.modality, admission);
                let mut seen: Vec<u32> = Vec::new();
                for event in events {
                    if !seen.contains(&event.code) {
                        seen.push(event.code);
                    }
                }
                // Diagnoses come by importance, events by time, of which the latest count.
                let kept = match self.modality {
                    Modality::Diagnoses => &seen[..seen.len().min(CODES)],
                    _ => &seen[seen.len().saturating_sub(CODES)..],
                };
                let number = |code: &u32| common.get(code).map_or(1, |place| place + 2);
                (!kept.is_empty()).then(|| kept.iter().map(|code| number(code) as f32).collect())
            }
            Fitted::Labs(statistics) => {
                let rows = statistics.rows(&admission.labs, LAB_ROWS);
                let steps = rows.chunks(statistics.width());
                let table: Vec<f32> = steps.flat_map(|step| [&[1.], step].concat()).collect();
                (!table.is_empty()).then_some(table)
            }
            Fitted::Notes(embedding) => admission.notes.as_deref().map(|note| embedding.embed(note)),
            Fitted::Embedded(embedded, scales) => {
                let row = embedded.get(admission.id)?.iter().zip(scales);
                Some(row.map(|(x, (mean, deviation))| (x - mean) / deviation).collect())
            }
        }
    }
}

fn codes(modality: Modality, admission: &Admission) -> &[CodeEvent] {
    match modality {
        Modality::Diagnoses => &admission.diagnoses,
        Modality::Procedures => &admission.procedures,
        Modality::Medications => &admission.medications,
        _ => &[],
    }
}

/// The codes that at least [`COMMON`] of the admissions have, numbered in the order of the cohort's codes.
fn common_codes(modality: Modality, admissions: &[&Admission]) -> BTreeMap<u32, usize> {
    let mut having: BTreeMap<u32, usize> = BTreeMap::new();
    for admission in admissions {
        let mut own: Vec<u32> = codes(modality, admission).iter().map(|event| event.code).collect();
        own.sort_unstable();
        own.dedup();
        for code in own {
            *having.entry(code).or_default() += 1;
        }
    }
    let common = having.into_iter().filter(|(_, n)| *n >= COMMON);
    common.enumerate().map(|(place, (code, _))| (code, place)).collect()
}

/// Mean and deviation of number `j`, 1 where it is the same in all.
fn scale(rows: &[&[f32]], j: usize) -> (f32, f32) {
    let n = rows.len() as f64;
    let mean = rows.iter().map(|row| f64::from(row[j])).sum::<f64>() / n;
    let variance = rows.iter().map(|row| (f64::from(row[j]) - mean).powi(2)).sum::<f64>() / n;
    (mean as f32, if variance > 1e-12 { variance.sqrt() as f32 } else { 1. })
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ehr::{Code, CodeKind, Coverage, Demographics, LabEvent, LabItem, Outcome};

    /// Ten admissions: everybody has demographics and diagnosis 0; the even ones have labs; the fifth has no label.
    fn cohort() -> Cohort {
        let admission = |i: u64| Admission {
            subject: i,
            id: i,
            minutes: 60,
            outcome: Outcome {
                mortality: (i != 4).then_some(i.is_multiple_of(3)),
                readmission: None,
            },
            demographics: Some(Demographics {
                age: 40 + i as u32,
                gender: if i.is_multiple_of(2) { "F" } else { "M" }.to_owned(),
                ethnicity: "X".to_owned(),
            }),
            diagnoses: vec![event(0, 0), event(0, 1 + (i as u32 % 2)), event(0, 0)],
            procedures: Vec::new(),
            medications: (0..60).map(|k| event(k, 3 + k as u32)).collect(),
            labs: if i.is_multiple_of(2) {
                vec![lab(1, i as f32), lab(2, -(i as f32))]
            } else {
                Vec::new()
            },
            notes: (i == 9).then(|| "a test note".to_owned()),
        };
        Cohort {
            source: "test".to_owned(),
            codes: (0..70)
                .map(|k| Code {
                    kind: CodeKind::Diagnosis,
                    code: k.to_string(),
                    title: k.to_string(),
                })
                .collect(),
            lab_items: vec![LabItem {
                id: 7,
                label: "item".to_owned(),
            }],
            coverage: Coverage::default(),
            admissions: (0..10).map(admission).collect(),
        }
    }

    fn event(minute: i32, code: u32) -> CodeEvent {
        CodeEvent { minute, code }
    }

    fn lab(minute: i32, value: f32) -> LabEvent {
        LabEvent {
            minute,
            item: 0,
            value,
            abnormal: value < 0.,
        }
    }

    fn split() -> Split {
        Split {
            train: (0..7).collect(),
            validation: vec![7, 8],
            test: vec![9],
        }
    }

    #[test]
    fn modalities_presence_and_labels() {
        let data = dataset("test", &cohort(), Task::Mortality, &split(), None).unwrap();
        let names: Vec<&str> = data.modalities.iter().map(|m| m.name.as_str()).collect();
        // No training admission has a procedure or a note.
        assert_eq!(names, ["demographics", "diagnoses", "medications", "labs"]);
        assert_eq!(data.modalities[0].shape, [4]);
        // Codes 0 (all seven) is common; 1 has four of the seven, 2 three.
        assert_eq!(data.modalities[1].kind, Kind::Codes { vocabulary: 2 });
        assert_eq!(data.modalities[2].kind, Kind::Codes { vocabulary: 61 });
        assert_eq!(
            (data.modalities[3].shape.as_slice(), data.modalities[3].kind),
            (&[LAB_ROWS, 3][..], Kind::Series)
        );

        // The fifth has no label.
        assert_eq!(data.train.len(), 6);
        assert_eq!(data.train.labels, [1, 0, 0, 1, 0, 1]);
        assert_eq!(data.train.present.rows(3), [0, 2, 5]);
        assert!(data.train.ids.iter().eq(["0", "1", "2", "3", "4", "5"]));
        // Diagnosis 0 is number 2, each code once, padded with 0.
        assert_eq!(data.train.row(1, 1)[..3], [2., 1., 0.]);
        // The last fifty of sixty medications: codes 13 to 62, numbered from 2.
        assert_eq!((data.train.row(2, 0)[0], data.train.row(2, 0)[49]), (12., 61.));
        // Two steps, a mark that they are there, z-score and flag; the rest is nothing.
        let labs = data.train.row(3, 2);
        assert_eq!((labs[0], labs[2], labs[3], labs[5], labs[6]), (1., 0., 1., 1., 0.));
        assert!(labs[1] > 0. && labs[4] < 0. && labs[6..].iter().all(|x| *x == 0.));
        assert!(data.train.row(3, 1).iter().all(|x| *x == 0.));
        // Training ages (all seven, labelled or not) are 40 to 46: mean 43, deviation 2.
        assert_eq!(data.train.row(0, 0), [-1.5, 1., 0., 1.]);
        // The test is measured with the training's statistics.
        assert_eq!(data.test.for_final_evaluation().row(0, 0), [3., 0., 1., 1.]);
    }

    #[test]
    fn a_class_without_training_samples_is_refused() {
        let one = Split {
            train: vec![1, 2],
            ..split()
        };
        let error = dataset("test", &cohort(), Task::Mortality, &one, None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("2 labelled training admissions") && error.contains("class 1"),
            "{error}"
        );
        assert!(dataset("test", &cohort(), Task::Readmission, &split(), None).is_err());
    }
}
