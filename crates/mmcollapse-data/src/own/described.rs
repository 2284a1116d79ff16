//! The YAML of a user's data set.

use std::path::Path;

use mmcollapse_files::plain_words;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::OwnError;
use crate::Kind;

/// Modalities that a data set has at least and at most: all subsets of more are not scored.
const MODALITIES: std::ops::RangeInclusive<usize> = 2..=8;

/// Letters that a name has at most: names of files are made of it.
const LONGEST: usize = 60;

/// Names that modalities may not have: what export calls its other arrays.
const TAKEN: [&str; 3] = ["labels", "present", "seen"];

/// What a user says of a data set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Its name in results: lower-case letters, digits and hyphens.
    pub name: String,
    /// Files with arrays, or folders of `.npy` files, beside the YAML.
    pub arrays: OneOrMany,
    /// The array of labels, `[n]` whole numbers.
    #[serde(default = "labels")]
    pub labels: String,
    /// Names of the classes, in the order of the labels; without it the labels themselves.
    #[serde(default)]
    pub classes: Vec<String>,
    /// The modalities, in the order of the YAML.
    #[serde(deserialize_with = "in_order")]
    pub modalities: Vec<(String, Form)>,
    /// An array `[n, modalities]` of 1 where a sample has a modality and 0 where it lacks it.
    #[serde(default)]
    pub present: Option<String>,
    /// An array `[n]`: samples of equal numbers (a patient, a speaker) are never in two splits.
    #[serde(default)]
    pub groups: Option<String>,
    /// An array `[n]` of 0 for training, 1 for validation and 2 for test; without it splits are drawn by each seed.
    #[serde(default)]
    pub split: Option<String>,
    /// Shares of the samples that are drawn for validation and test.
    #[serde(default)]
    pub fractions: Fractions,
    /// The modality that experiments on one modality take away or corrupt; without it the last one.
    #[serde(default)]
    pub weak: Option<String>,
    /// Encoders by modality, as in specs; without one the encoder made for the shape.
    #[serde(default)]
    pub encoders: Map<String, Value>,
    /// Training settings instead of the experiment's, as in specs.
    #[serde(default)]
    pub training: Map<String, Value>,
}

fn labels() -> String {
    "labels".to_owned()
}

/// One path or several.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected a file or a list of files")]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl OneOrMany {
    /// All of them.
    pub fn all(&self) -> Vec<&str> {
        match self {
            Self::One(path) => vec![path],
            Self::Many(paths) => paths.iter().map(String::as_str).collect(),
        }
    }
}

/// What an array of a modality is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Form {
    /// The array; called as the modality if not said.
    pub array: Option<String>,
    /// `dense`, `series` or `codes`; by the shape if not said: three axes are a series.
    pub kind: Option<Named>,
    /// Of a series or of codes, the array `[n]` of how many steps each sample has.
    pub lengths: Option<String>,
    /// Of codes, how many there are; the largest if not said.
    pub vocabulary: Option<usize>,
    /// Whether columns (of images channels) are standardised by the training samples.
    pub standardize: Option<bool>,
    /// What a number that is not finite means.
    pub not_a_number: NotANumber,
}

/// The kinds of arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// Measurements: `[n]`, `[n, d]` or `[n, c, h, w]`.
    Dense,
    /// `[n, t, d]`.
    Series,
    /// `[n, t]`, 0 where there is none.
    Codes,
}

/// What a number that is not finite means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotANumber {
    /// A mistake.
    #[default]
    Refused,
    /// The sample lacks the modality.
    Missing,
    /// The column's mean over the training samples; of a series too.
    Mean,
}

/// Shares of the samples.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fractions {
    /// For choices.
    pub validation: f64,
    /// For scores.
    pub test: f64,
}

impl Default for Fractions {
    fn default() -> Self {
        Self {
            validation: 0.15,
            test: 0.2,
        }
    }
}

impl Description {
    /// Reads the YAML.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, OwnError> {
        let description: Self =
            serde_yaml::from_str(text).map_err(|error| OwnError::yaml(path, plain_words(&error.to_string())))?;
        description.check().map_err(|reason| OwnError::yaml(path, reason))?;
        Ok(description)
    }

    fn check(&self) -> Result<(), String> {
        let is_slug = |name: &str| {
            let mut letters = name.chars();
            letters.next().is_some_and(|first| first.is_ascii_lowercase())
                && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        if self.name.len() > LONGEST {
            return Err(format!(
                "`name` has {} letters, expected at most {LONGEST}",
                self.name.len()
            ));
        }
        if !is_slug(&self.name) {
            return Err(format!(
                "`name: {}` must begin with a lower-case letter and hold only those, digits and hyphens",
                self.name
            ));
        }
        if !MODALITIES.contains(&self.modalities.len()) {
            return Err(format!("expected 2 to 8 modalities, got {}", self.modalities.len()));
        }
        for (i, (name, form)) in self.modalities.iter().enumerate() {
            let is_word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !is_word {
                return Err(format!("modality `{name}`: names hold letters, digits and _ only"));
            }
            if name.len() > LONGEST {
                let letters = name.len();
                return Err(format!(
                    "a modality's name has {letters} letters, expected at most {LONGEST}"
                ));
            }
            if TAKEN.contains(&name.as_str()) {
                let taken = TAKEN.join(", ");
                return Err(format!(
                    "modality `{name}`: the names {taken} are of other arrays in what `export` writes; name it otherwise and say \
                     `array: {name}`"
                ));
            }
            if Kind::NAMES.contains(&name.as_str()) && self.encoders.contains_key(name) {
                return Err(format!(
                    "`encoders` names modality `{name}`, which is also a kind of modality: all of the kind would have the encoder; name \
                     it otherwise and say `array: {name}`"
                ));
            }
            if self.modalities[..i].iter().any(|(other, _)| other == name) {
                return Err(format!("modality `{name}` is described twice"));
            }
            if form.vocabulary == Some(0) {
                return Err(format!("modality `{name}`: `vocabulary` must be at least 1, got 0"));
            }
        }
        if let Some(twice) = (1..self.classes.len()).find(|&i| self.classes[..i].contains(&self.classes[i])) {
            return Err(format!("`classes` names class {twice} as another one"));
        }
        self.apart()?;
        let known = |name: &String| self.modalities.iter().any(|(modality, _)| modality == name);
        let names: Vec<&str> = self.modalities.iter().map(|(name, _)| name.as_str()).collect();
        for (what, name) in self
            .weak
            .iter()
            .map(|name| ("weak", name))
            .chain(self.encoders.keys().map(|name| ("encoders", name)))
        {
            if !known(name) {
                return Err(format!(
                    "`{what}` names modality `{name}`; there are {}",
                    names.join(", ")
                ));
            }
        }
        let Fractions { validation, test } = self.fractions;
        if !(validation > 0.0 && test > 0.0 && validation + test < 1.0) {
            return Err(format!(
                "`fractions` must be above 0 and leave something to train on, got validation {validation} and test {test}"
            ));
        }
        if self.arrays.all().is_empty() {
            return Err("`arrays` names no file".to_owned());
        }
        Ok(())
    }

    /// No modality reads what tells the label or the split: it would predict perfectly.
    fn apart(&self) -> Result<(), String> {
        let others = [
            ("labels", Some(&self.labels)),
            ("groups", self.groups.as_ref()),
            ("split", self.split.as_ref()),
            ("present", self.present.as_ref()),
        ];
        for (modality, (name, _)) in self.modalities.iter().enumerate() {
            let array = self.array(modality);
            if let Some((what, _)) = others
                .iter()
                .find(|(_, other)| other.is_some_and(|other| other == array))
            {
                return Err(format!(
                    "modality `{name}` reads array `{array}`, which is that of `{what}`"
                ));
            }
        }
        Ok(())
    }

    /// The place of the modality that experiments on one modality take away or corrupt.
    pub(super) fn weak(&self) -> usize {
        let last = self.modalities.len().saturating_sub(1);
        let named = self.weak.as_ref();
        named
            .and_then(|weak| self.modalities.iter().position(|(name, _)| name == weak))
            .unwrap_or(last)
    }

    /// How samples come into splits.
    pub fn how_it_is_cut(&self) -> String {
        match (&self.split, &self.groups) {
            (Some(split), _) => format!("given by array `{split}`"),
            (None, Some(groups)) => format!("drawn by each seed, groups of `{groups}` kept together"),
            (None, None) => "drawn by each seed within each class".to_owned(),
        }
    }

    /// The array of a modality.
    pub(super) fn array(&self, modality: usize) -> &str {
        let (name, form) = &self.modalities[modality];
        form.array.as_deref().unwrap_or(name)
    }
}

/// A map in the order in which it is written.
fn in_order<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Form)>, D::Error> {
    struct InOrder;
    impl<'de> serde::de::Visitor<'de> for InOrder {
        type Value = Vec<(String, Form)>;

        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("a map of modalities, `image: {array: image}`")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some((name, form)) = map.next_entry::<String, Option<Form>>()? {
                entries.push((name, form.unwrap_or_default()));
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_map(InOrder)
}
