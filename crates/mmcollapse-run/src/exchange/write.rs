//! Writes what a plan gives its models, for a model of another program.
//!
//! ```text
//! FOLDER/index.json                            what there is: files, arrays, shapes, protocols, levels, conditions, digests
//! FOLDER/seed-100/avmnist.safetensors          inputs, labels of training and validation
//! FOLDER/seed-100/avmnist.ids.json             names of the training and validation samples, where the source has any
//! FOLDER/seed-100/test_missing.safetensors     masks of a training and of each of its conditions
//! ```
//!
//! Test labels are not in it. Nor are the names of test samples, since names of recordings tell the digit; and test samples
//! come in a drawn order, since data sets come class by class.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use mmcollapse_data::{Dataset, LoadOptions, ModalitySpec, Samples};
use mmcollapse_files::{private_folder, sha256, write_atomic};
use mmcollapse_nn::{Device, Tensor, safetensors};
use mmcollapse_record::{Commit, Preset, Protocol, Split};
use serde::Serialize;

use super::{Offer, Training, bits, is_required, load, order, trainings};
use crate::plan::Plan;
use crate::provenance::{Build, VERSION};

/// Name of the file that says what an export holds; it is written last.
pub const INDEX: &str = "index.json";

/// Raised when the form of the export changes.
const FORMAT: u32 = 1;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The index.
    pub index: PathBuf,
    /// Number of seeds.
    pub seeds: usize,
    /// Names of the conditions that a method has to predict.
    pub required: Vec<String>,
    /// Names of those that it may predict.
    pub optional: Vec<String>,
    /// Bytes of all arrays.
    pub bytes: usize,
}

#[derive(Serialize)]
struct Index {
    format: u32,
    version: &'static str,
    commit: Option<Commit>,
    experiment: String,
    preset: Preset,
    draws: Vec<Draw>,
}

/// A data set as a seed draws it.
#[derive(Serialize)]
struct Draw {
    seed: u64,
    dataset: String,
    classes: Vec<String>,
    modalities: Vec<ModalitySpec>,
    samples: BTreeMap<&'static str, usize>,
    #[serde(flatten)]
    file: Saved,
    ids: Option<String>,
    trainings: Vec<Trained>,
}

/// A file of arrays.
#[derive(Serialize)]
struct Saved {
    /// Path below the export's folder.
    file: String,
    sha256: String,
    /// Shape of each array.
    arrays: BTreeMap<String, Array>,
}

#[derive(Serialize)]
struct Array {
    dtype: String,
    shape: Vec<usize>,
}

#[derive(Serialize)]
struct Trained {
    name: String,
    protocol: Protocol,
    in_words: String,
    #[serde(flatten)]
    file: Saved,
    conditions: Vec<Conditioned>,
}

#[derive(Serialize)]
struct Conditioned {
    name: String,
    split: Split,
    level: f64,
    /// Name of the mask: 1 where the model may see the modality of the sample.
    seen: String,
    /// How many samples are asked of: all of the split, or those whose mask is not all 0.
    samples: usize,
    required: bool,
    /// What the column `data` of its predictions has to hold.
    data: String,
}

/// Writes the export of a plan into a folder that is empty or not there.
///
/// # Errors
/// A plan whose protocols are not of the data alone, a folder that holds something, data that cannot be had, a file that cannot be
/// written.
pub fn write(plan: &Plan, options: &LoadOptions, folder: &Path) -> Result<Written> {
    let trainings = trainings(plan)?;
    let is_empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    if !is_empty {
        return Err(miette!(
            help = "name a folder that is empty or not there yet",
            "{}: expected an empty folder, got one that holds something",
            folder.display()
        ));
    }
    // Inputs may derive from data that are credentialed.
    private_folder(folder).into_diagnostic()?;
    let mut index = Index {
        format: FORMAT,
        version: VERSION,
        commit: Build::here().commit(),
        experiment: plan.experiment.clone(),
        preset: plan.preset,
        draws: Vec::new(),
    };
    let mut bytes = 0;
    let mut rest = &trainings[..];
    while let Some(first) = rest.first() {
        // Several labels of the same patients are data sets of their own.
        let of_draw = |training: &Training| (training.seed, training.config.dataset.clone());
        let (seed, dataset) = of_draw(first);
        if index
            .draws
            .iter()
            .any(|draw| (draw.seed, &draw.dataset) == (seed, &dataset))
        {
            rest = &rest[1..];
            continue;
        }
        let own: Vec<&Training> = rest.iter().filter(|t| of_draw(t) == of_draw(first)).collect();
        let loaded = load(first, options)?;
        let (draw, size) = drawn(&own, &loaded, folder)?;
        index.draws.push(draw);
        bytes += size;
        rest = &rest[1..];
    }
    let conditions = || {
        let draws = index.draws.iter();
        draws.flat_map(|draw| draw.trainings.iter().flat_map(|training| &training.conditions))
    };
    let named = |required: bool| {
        let mut names: Vec<String> = Vec::new();
        for condition in conditions().filter(|condition| condition.required == required) {
            if !names.contains(&condition.name) {
                names.push(condition.name.clone());
            }
        }
        names
    };
    let seeds = trainings.iter().map(|t| t.seed).collect::<BTreeSet<_>>();
    let written = Written {
        index: folder.join(INDEX),
        seeds: seeds.len(),
        required: named(true),
        optional: named(false),
        bytes,
    };
    let json = serde_json::to_string_pretty(&index).into_diagnostic()?;
    put(&written.index, format!("{json}\n").as_bytes())?;
    Ok(written)
}

/// Writes the data of a seed and the masks of its trainings.
fn drawn(trainings: &[&Training], loaded: &Dataset, folder: &Path) -> Result<(Draw, usize)> {
    let first = trainings[0];
    let positions: Vec<usize> = match &first.config.modalities[..] {
        [] => (0..loaded.modalities.len()).collect(),
        named => named.iter().filter_map(|name| loaded.modality(name)).collect(),
    };
    let clean = loaded.with(&positions);
    let test = clean.test.for_final_evaluation();
    let test = test.select(&order(first.seed, test.len()));
    let splits = [
        ("train", &clean.train),
        ("validation", &clean.validation),
        ("test", &test),
    ];
    let mut arrays = BTreeMap::new();
    for (split, samples) in splits {
        for (m, modality) in clean.modalities.iter().enumerate() {
            arrays.insert(format!("{split}.{}", modality.name), inputs(samples, m, modality)?);
        }
        arrays.insert(format!("{split}.present"), mask(&samples.present)?);
        if split != "test" {
            let labels: Vec<i64> = samples.labels.iter().map(|label| i64::from(*label)).collect();
            let n = labels.len();
            arrays.insert(
                format!("{split}.labels"),
                tensor(Tensor::from_vec(labels, n, &Device::Cpu))?,
            );
        }
    }
    let below = format!("seed-{}", first.seed);
    let stem = file_name(&first.config.dataset);
    let (file, mut bytes) = save(folder, format!("{below}/{stem}.safetensors"), &arrays)?;
    let names = BTreeMap::from([
        ("train", clean.train.ids.names()),
        ("validation", clean.validation.ids.names()),
    ]);
    // Samples of records are numbered: nothing else may be said of them.
    let ids = if names.values().all(|names| !names.is_empty()) {
        let path = format!("{below}/{stem}.ids.json");
        let json = serde_json::to_string_pretty(&names).into_diagnostic()?;
        put(&folder.join(&path), json.as_bytes())?;
        Some(path)
    } else {
        None
    };
    let mut trained = Vec::new();
    for training in trainings {
        let offer = Offer::of(training, loaded)?;
        let (one, size) = masks(&offer, &clean, &below, folder)?;
        trained.push(one);
        bytes += size;
    }
    let draw = Draw {
        seed: first.seed,
        dataset: first.config.dataset.clone(),
        classes: clean.class_names.clone(),
        modalities: clean.modalities.clone(),
        samples: splits.map(|(split, samples)| (split, samples.len())).into(),
        file,
        ids,
        trainings: trained,
    };
    Ok((draw, bytes))
}

/// Writes the masks of a training and its conditions, and the inputs that its protocol changed.
fn masks(offer: &Offer, clean: &Dataset, below: &str, folder: &Path) -> Result<(Trained, usize)> {
    let (training, given) = (offer.training, &offer.given);
    let mut arrays = BTreeMap::from([
        ("train.seen".to_owned(), mask(&given.train)?),
        ("validation.seen".to_owned(), mask(&given.validation)?),
    ]);
    let learnt_from = [
        ("train", &given.dataset.train, &clean.train),
        ("validation", &given.dataset.validation, &clean.validation),
    ];
    for (split, samples, before) in learnt_from {
        for (m, modality) in clean.modalities.iter().enumerate() {
            if samples.inputs[m].numbers() != before.inputs[m].numbers() {
                arrays.insert(format!("{split}.{}", modality.name), inputs(samples, m, modality)?);
            }
        }
    }
    let mut conditions = Vec::new();
    for condition in &given.conditions {
        let seen = format!("{}.seen", mask_name(&offer.what(condition)));
        let exported = match condition.split() {
            Split::Test => condition.seen.select(&offer.order),
            _ => condition.seen.clone(),
        };
        arrays.insert(seen.clone(), mask(&exported)?);
        conditions.push(Conditioned {
            name: offer.name(condition),
            split: condition.split(),
            level: condition.level,
            seen,
            samples: condition.rows().len(),
            required: is_required(condition),
            data: offer.digest(condition),
        });
    }
    let path = format!("{below}/{}.safetensors", file_name(&training.name));
    let (file, bytes) = save(folder, path, &arrays)?;
    let levels = training.protocol.levels(training.modalities.len());
    let modality = training.protocol.modality().unwrap_or_default();
    let trained = Trained {
        name: training.name.clone(),
        protocol: training.protocol.clone(),
        in_words: training.setting.in_words(modality, &levels),
        file,
        conditions,
    };
    Ok((trained, bytes))
}

/// A condition's name among the arrays of its training. What validation keeps at test is not what it keeps in training.
fn mask_name(what: &str) -> String {
    match what {
        "validation" => "validation_as_tested".to_owned(),
        _ => what.to_owned(),
    }
}

/// A name of a data set or training as that of a file.
fn file_name(name: &str) -> String {
    name.replace(['/', ':'], "-")
}

/// `[samples, shape..]`.
fn inputs(samples: &Samples, m: usize, modality: &ModalitySpec) -> Result<Tensor> {
    let mut shape = vec![samples.len()];
    shape.extend(&modality.shape);
    let numbers = samples.inputs[m].numbers().into_owned();
    tensor(Tensor::from_vec(numbers, shape, &Device::Cpu))
}

/// `[samples, modalities]`.
fn mask(presence: &mmcollapse_data::Presence) -> Result<Tensor> {
    let shape = (presence.len(), presence.modalities());
    tensor(Tensor::from_vec(bits(presence), shape, &Device::Cpu))
}

fn tensor(made: mmcollapse_nn::Result<Tensor>) -> Result<Tensor> {
    made.map_err(|error| miette!("an array cannot be made: {error}"))
}

fn save(folder: &Path, path: String, arrays: &BTreeMap<String, Tensor>) -> Result<(Saved, usize)> {
    let bytes = tensor_bytes(arrays)?;
    put(&folder.join(&path), &bytes)?;
    let array = |(name, tensor): (&String, &Tensor)| {
        let array = Array {
            dtype: format!("{:?}", tensor.dtype()),
            shape: tensor.dims().to_vec(),
        };
        (name.clone(), array)
    };
    let file = Saved {
        file: path,
        sha256: sha256(&bytes),
        arrays: arrays.iter().map(array).collect(),
    };
    Ok((file, bytes.len()))
}

fn tensor_bytes(arrays: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    safetensors::to_bytes(arrays, &BTreeMap::new()).map_err(|error| miette!("arrays cannot be written: {error}"))
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic(path, bytes)
        .into_diagnostic()
        .wrap_err("cannot write the export")
}
