//! The paper's claims and their tests, as `experiments/claims.yaml` holds them.
//!
//! Tests that differ in a word or two are written once. `each` gives a word its values, `{word}` stands for it in every field,
//! and a test is made of each combination, the first word's values outermost. In `says`, a value that has a name for
//! readers goes by it:
//!
//! ```yaml
//! - each: {row: {grape: GRAPE, muse: MUSE}, task: [mortality, readmission]}
//!   says: "{row} + KD, {task}"
//!   protocol: "{task}_missing"
//!   row: "{row}+kd"
//!   against: "{row}"
//! ```

use miette::{Result, miette};
use mmcollapse_record::{ExperimentInfo, Metric, RowName, Setting};
use serde::Deserialize;
use serde_yaml::{Mapping, Value};

/// All claims.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// In the paper's order.
    pub claims: Vec<Claim>,
    /// Where the paper's numbers do not fit together, a paragraph each.
    pub inconsistent: Vec<String>,
}

/// One claim.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Short name: `C6`.
    pub id: String,
    /// Where it stands in the paper.
    pub place: String,
    /// What is claimed, in our words.
    pub states: String,
    /// What must come out if it holds; none for a claim that nothing here bears on yet.
    #[serde(deserialize_with = "written")]
    pub tests: Vec<Test>,
}

/// One comparison over seeds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// What is compared, for readers.
    pub says: String,
    /// Name of the experiment.
    pub experiment: String,
    /// The data set that stands in for the paper's: such tests are corrected among themselves and have a verdict of their
    /// own. None for the paper's own data.
    #[serde(default)]
    pub dataset: Option<String>,
    /// Protocol and label.
    pub protocol: Setting,
    /// Name of the metric.
    pub metric: Metric,
    /// Row of the experiment's table.
    pub row: RowName,
    /// Row it is compared with; 0 if none.
    #[serde(default)]
    pub against: Option<RowName>,
    /// The level at which; the mean over all levels if none of `level`, `from` and `to` is there.
    #[serde(default)]
    pub level: Option<f64>,
    /// The change from this level...
    #[serde(default)]
    pub from: Option<f64>,
    /// ...to this one.
    #[serde(default)]
    pub to: Option<f64>,
    /// The direction that is claimed.
    pub claimed: Direction,
    /// A difference worth having, in the metric's unit; more than 0.
    pub margin: f64,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More than the other.
    Higher,
    /// Less than the other.
    Lower,
}

/// Tests as written, each expanded to those that it stands for.
fn written<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Test>, D::Error> {
    use serde::de::Error;
    let mut tests = Vec::new();
    for written in Vec::<Mapping>::deserialize(deserializer)? {
        let says = written
            .get("says")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let refused = |reason: String| D::Error::custom(format!("test \"{says}\": {reason}"));
        for test in expanded(written).map_err(refused)? {
            tests.push(serde_yaml::from_value(Value::Mapping(test)).map_err(|e| refused(e.to_string()))?);
        }
    }
    Ok(tests)
}

/// A test with every combination of the words that it has under `each`.
fn expanded(mut written: Mapping) -> Result<Vec<Mapping>, String> {
    let each = match written.remove("each") {
        None => Mapping::new(),
        Some(Value::Mapping(each)) => each,
        Some(_) => return Err("`each` has to be a map from words to their values".to_owned()),
    };
    let mut tests = vec![written];
    for (word, values) in &each {
        let word = word.as_str().ok_or("a word under `each` has to be a text")?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let values: Option<Vec<(String, String)>> = match values {
            Value::Sequence(values) => values.iter().map(|value| text(value).zip(text(value))).collect(),
            Value::Mapping(values) => values.iter().map(|(value, name)| text(value).zip(text(name))).collect(),
            _ => None,
        };
        let values = values.ok_or_else(|| {
            format!("the values of `{word}` under `each` have to be a list of texts or a map from texts to their names")
        })?;
        let place = format!("{{{word}}}");
        let used = |test: &Mapping| {
            test.values()
                .any(|field| field.as_str().is_some_and(|text| text.contains(&place)))
        };
        if !tests.iter().any(used) {
            return Err(format!("no field has the word {place} that stands under `each`"));
        }
        tests = tests
            .iter()
            .flat_map(|test| values.iter().map(|value| replaced(test, &place, value)))
            .collect();
    }
    let open = |test: &Mapping| {
        test.values()
            .filter_map(Value::as_str)
            .find(|text| text.contains('{'))
            .map(str::to_owned)
    };
    match tests.iter().find_map(open) {
        Some(text) => Err(format!("`{text}` has a word that does not stand under `each`")),
        None => Ok(tests),
    }
}

/// The test with a value in `place`, and in `says` with the value's name.
fn replaced(test: &Mapping, place: &str, (value, name): &(String, String)) -> Mapping {
    let field = |(key, field): (&Value, &Value)| {
        let by = if key.as_str() == Some("says") { name } else { value };
        let field = field
            .as_str()
            .map_or_else(|| field.clone(), |text| text.replace(place, by).into());
        (key.clone(), field)
    };
    test.iter().map(field).collect()
}

impl Claims {
    /// Reads claims.
    ///
    /// # Errors
    /// What is not of this form (with its line), an experiment or a data set that is not there, a margin that is not more than 0, an id
    /// given twice, `from` without `to`.
    pub fn parse(text: &str, experiments: &[ExperimentInfo]) -> Result<Self> {
        let help = "the head of crates/mmcollapse-report/src/report/claims.rs describes the form";
        let refused = |reason: String| miette!(help = help, "experiments/claims.yaml: {reason}");
        let claims: Self = serde_yaml::from_str(text).map_err(|e| refused(e.to_string()))?;
        for (place, claim) in claims.claims.iter().enumerate() {
            if claims.claims[..place].iter().any(|other| other.id == claim.id) {
                return Err(refused(format!("claim {} is there twice", claim.id)));
            }
            for test in &claim.tests {
                let here = format!("claim {}, \"{}\"", claim.id, test.says);
                if !experiments.iter().any(|experiment| experiment.name == test.experiment) {
                    let known: Vec<&str> = experiments.iter().map(|experiment| experiment.name).collect();
                    return Err(refused(format!(
                        "{here}: there is no experiment `{}`; there are {}",
                        test.experiment,
                        known.join(", ")
                    )));
                }
                if !(test.margin > 0.0 && test.margin.is_finite()) {
                    return Err(refused(format!(
                        "{here}: the margin must be a number above 0, got {}",
                        test.margin
                    )));
                }
                let change = test.from.is_some() || test.to.is_some();
                if test.from.is_some() != test.to.is_some() || (change && test.level.is_some()) {
                    return Err(refused(format!(
                        "{here}: expected `level`, or `from` and `to` together, or none of them"
                    )));
                }
            }
        }
        Ok(claims)
    }
}
