//! The arrays of a model, by their names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mmcollapse_arrays::{Array, Arrays, Values};
use mmcollapse_probes::Matrix;

use crate::doubts;
use crate::error::{Result, input};
use crate::features::{Features, View, refused};
use crate::outputs::Outputs;

/// The most modalities: all subsets of them are scored.
const MOST_MODALITIES: usize = 6;

const NAMES: &str = "arrays are embedding.<modality> [n, width], fused [n, width], labels [n], and optional: split, groups, \
                     logits, logits.<modality>, logits.<modality>+<modality>, alone.<modality>, weight, weight.<modality>";

/// A modality of the model.
#[derive(Clone, Debug)]
pub struct Modality {
    /// Its name, such as `image`.
    pub name: String,
    /// `[n, width]` what its encoder gives inside the multimodal model.
    pub embedding: Features,
    /// `[n, width]` what a model of this modality alone gives.
    pub alone: Option<Features>,
}

/// What is known of a model.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// In the order of their names.
    pub modalities: Vec<Modality>,
    /// `[n, width]` the fused representation.
    pub fused: Option<Features>,
    /// `[n, classes]` what the model says with all modalities.
    pub logits: Option<Features>,
    /// `[n, classes]` what it says with some of them; bit i says whether modality i is given.
    pub subsets: Vec<(usize, Features)>,
    /// `[neurons, all widths]` the fusion layer's weights.
    pub weight: Option<Matrix>,
    /// Class of each sample, as the file has it.
    pub labels: Vec<i64>,
    /// Whether a sample evaluates the probes (else they are fitted to it).
    pub split: Option<Vec<bool>>,
    /// Samples of a group are never split apart and are drawn together.
    pub groups: Option<Vec<i64>>,
    /// What a reader should know of the arrays.
    pub notes: Vec<String>,
    /// Files of `labels`, `split` and `groups`, which errors name.
    pub files: BTreeMap<String, PathBuf>,
}

impl Input {
    /// Takes the arrays of a model by their names.
    ///
    /// # Errors
    /// A missing array, shapes that do not fit each other, numbers that are not finite, a single class, fewer than two modalities.
    pub fn read(arrays: &Arrays) -> Result<Self> {
        let names: Vec<String> = arrays.infos().map(|info| info.name.clone()).collect();
        let has = |name: &str| names.iter().any(|known| known == name);
        let read = files(arrays);
        if !has("labels") {
            return Err(input(
                format!("{read}: expected an array `labels`, got {}", names.join(", ")),
                NAMES,
            ));
        }
        let known = ["labels", "split", "groups"].into_iter();
        let files: BTreeMap<String, PathBuf> = known
            .filter_map(|name| Some((name.to_owned(), arrays.info(name)?.path.clone())))
            .collect();
        let labels = wholes(&arrays.read("labels")?, None)?;
        let n = labels.len();
        if labels.iter().all(|label| *label == labels[0]) {
            return Err(input(
                format!(
                    "{}: expected at least two classes, got one in {n} samples",
                    named(&files, "labels")
                ),
                "diagnose samples of all classes",
            ));
        }
        let features = |name: &str| -> Result<Option<Features>> {
            has(name)
                .then(|| Features::new(arrays.read(name)?, Some(n)))
                .transpose()
        };
        let mut of: Vec<&str> = names
            .iter()
            .filter_map(|name| name.strip_prefix("embedding."))
            .collect();
        of.sort_unstable();
        if of.first().is_some_and(|name| name.is_empty()) {
            let reason = format!("{read}: array `embedding.`: expected the name of a modality behind the dot");
            return Err(input(reason, NAMES));
        }
        if !(2..=MOST_MODALITIES).contains(&of.len()) {
            let found = if of.is_empty() { "none".into() } else { of.join(", ") };
            let reason = format!("{read}: expected 2 to {MOST_MODALITIES} arrays `embedding.<modality>`, got {found}");
            return Err(input(reason, NAMES));
        }
        let mut notes = Vec::new();
        let mut modalities = Vec::new();
        for name in &of {
            let embedding = Features::new(arrays.read(&format!("embedding.{name}"))?, Some(n))?;
            let alone = features(&format!("alone.{name}"))?;
            notes.extend(
                [Some(&embedding), alone.as_ref()]
                    .into_iter()
                    .flatten()
                    .flat_map(Features::notes),
            );
            modalities.push(Modality {
                name: (*name).to_owned(),
                embedding,
                alone,
            });
        }
        let fused = features("fused")?;
        notes.extend(fused.iter().flat_map(Features::notes));
        let Outputs { logits, subsets } = Outputs::read(arrays, &of, &labels)?;
        if fused.is_none() && logits.is_none() {
            return Err(input(
                format!("{read}: expected an array `fused` or `logits`, got neither"),
                NAMES,
            ));
        }
        notes.extend(doubts::of_arrays(
            &modalities,
            fused.as_ref(),
            logits.as_ref(),
            has("groups"),
        ));
        let weight = weights(arrays, &modalities, &has)?;
        let known = |name: &str| {
            let alone = name.strip_prefix("alone.");
            let weight = name
                .strip_prefix("weight.")
                .filter(|_| weight.is_some() && !has("weight"));
            ["labels", "fused", "logits", "split", "groups", "weight"].contains(&name)
                || name.starts_with("embedding.")
                || name.starts_with("logits.")
                || alone.or(weight).is_some_and(|modality| of.contains(&modality))
        };
        let ignored: Vec<&str> = names.iter().map(String::as_str).filter(|name| !known(name)).collect();
        if !ignored.is_empty() {
            notes.push(format!("arrays not used: {}", ignored.join(", ")));
        }
        let split = has("split").then(|| split(&arrays.read("split")?, n)).transpose()?;
        let groups = has("groups")
            .then(|| wholes(&arrays.read("groups")?, Some(n)))
            .transpose()?;
        if let (Some(split), Some(groups)) = (&split, &groups) {
            apart(split, groups, &files)?;
        }
        Ok(Self {
            modalities,
            fused,
            logits,
            subsets,
            weight,
            labels,
            split,
            groups,
            notes,
            files,
        })
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.labels.len()
    }

    /// An array of numbers a sample, by file and name.
    pub(crate) fn named(&self, array: &str) -> String {
        named(&self.files, array)
    }
}

fn named(files: &BTreeMap<String, PathBuf>, array: &str) -> String {
    match files.get(array) {
        Some(path) => format!("{}: array `{array}`", path.display()),
        None => format!("array `{array}`"),
    }
}

/// The files that were read; of many the first and how many more.
fn files(arrays: &Arrays) -> String {
    let mut paths: Vec<String> = arrays.infos().map(|info| info.path.display().to_string()).collect();
    paths.sort();
    paths.dedup();
    match paths.as_slice() {
        [] => "no array".into(),
        [only] => only.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

/// Whole numbers, one a sample. Floats that are whole are taken too.
fn wholes(array: &Array, rows: Option<usize>) -> Result<Vec<i64>> {
    let shape = &array.info.shape;
    let fits = matches!(shape.as_slice(), [_] | [_, 1]) && rows.is_none_or(|rows| rows == array.info.rows());
    if !fits || array.values.is_empty() {
        let expected = rows.map_or("[samples]".to_owned(), |rows| format!("[{rows}]"));
        let reason = format!("expected shape {expected}, got {shape:?}");
        return Err(refused(array, reason, "give one whole number a sample"));
    }
    let whole = |value: f64| (value.fract() == 0.0 && value.abs() < 1e15).then_some(value as i64);
    let read: Option<Vec<i64>> = match &array.values {
        Values::Whole(values) => Some(values.clone()),
        Values::Single(values) => values.iter().map(|&value| whole(f64::from(value))).collect(),
        Values::Double(values) => values.iter().map(|&value| whole(value)).collect(),
    };
    if let Some(row) = (0..array.values.len()).find(|&at| array.values.get(at).is_some_and(|value| !value.is_finite()))
    {
        let reason = format!("row {row}: expected a whole number, got NaN or an infinity");
        return Err(refused(array, reason, "leave this sample out of every array"));
    }
    read.ok_or_else(|| {
        let reason = format!("expected whole numbers, got {} with fractions", array.info.dtype);
        refused(
            array,
            reason,
            "give one whole number a sample: its class, its group or its side of the split; regression is not diagnosed",
        )
    })
}

fn split(array: &Array, n: usize) -> Result<Vec<bool>> {
    let values = wholes(array, Some(n))?;
    if let Some(row) = values.iter().position(|value| !(0..=1).contains(value)) {
        let reason = format!("row {row}: expected 0 (fit probes) or 1 (evaluate)");
        return Err(refused(array, reason, "leave out `split` for a stratified split"));
    }
    for side in [0, 1] {
        if !values.contains(&side) {
            let reason = format!("expected rows of 0 and of 1, got no {side}");
            return Err(refused(array, reason, "leave out `split` for a stratified split"));
        }
    }
    Ok(values.iter().map(|&value| value == 1).collect())
}

/// Refuses a group on both sides of the split: what a probe learns of a patient would count as skill.
fn apart(split: &[bool], groups: &[i64], files: &BTreeMap<String, PathBuf>) -> Result<()> {
    let mut sides = std::collections::HashMap::new();
    for (row, (side, group)) in split.iter().zip(groups).enumerate() {
        if sides.entry(group).or_insert(side) != &side {
            return Err(input(
                format!(
                    "{} and {}: the group of row {row} is on both sides of the split",
                    named(files, "split"),
                    named(files, "groups")
                ),
                "split by group, or leave out `split`",
            ));
        }
    }
    Ok(())
}

/// Weights `[neurons, all widths]`, of one array or of one a modality.
fn weights(arrays: &Arrays, modalities: &[Modality], has: &impl Fn(&str) -> bool) -> Result<Option<Matrix>> {
    let widths: Vec<usize> = modalities.iter().map(|modality| modality.embedding.columns()).collect();
    let own: Vec<String> = modalities
        .iter()
        .map(|modality| format!("weight.{}", modality.name))
        .collect();
    let parts = if has("weight") {
        let array = arrays.read("weight")?;
        let total: usize = widths.iter().sum();
        if array.info.shape.get(1) != Some(&total) {
            let reason = format!("expected shape [neurons, {total}], got {:?}", array.info.shape);
            return Err(refused(
                &array,
                reason,
                "its columns are those of the embeddings, in the order of their names",
            ));
        }
        vec![Features::new(array, None)?]
    } else if own.iter().all(|name| has(name)) {
        let mut parts: Vec<Features> = Vec::new();
        for (name, width) in own.iter().zip(&widths) {
            let array = arrays.read(name)?;
            let neurons = parts.first().map(Features::rows);
            if array.info.shape.get(1) != Some(width) {
                let reason = format!("expected shape [neurons, {width}], got {:?}", array.info.shape);
                return Err(refused(
                    &array,
                    reason,
                    "its columns are those of the modality's embedding",
                ));
            }
            parts.push(Features::new(array, neurons)?);
        }
        parts
    } else {
        return Ok(None);
    };
    let rows: Vec<usize> = (0..parts[0].rows()).collect();
    Features::beside(&parts.iter().collect::<Vec<_>>(), &rows, View::Raw).map(Some)
}
