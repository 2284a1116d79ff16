//! Words of a test that stand for several values: `each` for several tests, `all_of` for the parts of one conjunction.

use serde_yaml::{Mapping, Value};

/// Fields whose text is a number once a word is replaced.
const NUMBERS: [&str; 3] = ["level", "from", "to"];

/// A test, with `each` replaced: the fields that its comparisons share, and the comparisons with their names.
pub(super) struct Expanded {
    /// The test as it stands, with the parts still under `all_of`.
    pub written: Mapping,
    /// Each with the name of its words' values; one without a name where there is no `all_of`.
    pub parts: Vec<(Mapping, String)>,
}

/// The tests that one entry of the file stands for.
///
/// # Errors
/// Words that no field has, fields with a word that is nowhere, values of another form.
pub(super) fn expanded(mut written: Mapping) -> Result<Vec<Expanded>, String> {
    let each = taken(&mut written, "each")?;
    let mut tests = Vec::new();
    for (test, _) in combined(written, &each, "each")? {
        let mut shared = test.clone();
        let all_of = taken(&mut shared, "all_of")?;
        let parts = combined(shared, &all_of, "all_of")?;
        if let Some(text) = parts.iter().find_map(|(part, _)| open(part)) {
            return Err(format!(
                "`{text}` has a word that stands under neither `each` nor `all_of`"
            ));
        }
        tests.push(Expanded { written: test, parts });
    }
    Ok(tests)
}

fn open(test: &Mapping) -> Option<&str> {
    test.values().filter_map(Value::as_str).find(|text| text.contains('{'))
}

/// The map from words to values under `key`, removed.
fn taken(test: &mut Mapping, key: &str) -> Result<Mapping, String> {
    match test.remove(key) {
        None => Ok(Mapping::new()),
        Some(Value::Mapping(words)) => Ok(words),
        Some(_) => Err(format!("`{key}` has to be a map from words to their values")),
    }
}

/// The test with every combination of the words' values, the first word's outermost, and the values' names.
fn combined(test: Mapping, words: &Mapping, key: &str) -> Result<Vec<(Mapping, String)>, String> {
    let mut tests = vec![(test, String::new())];
    for (word, values) in words {
        let word = word
            .as_str()
            .ok_or_else(|| format!("a word under `{key}` has to be a text"))?;
        let values = values_of(values).ok_or_else(|| {
            format!(
                "the values of `{word}` under `{key}` have to be a list, a map from values to their names, or one to names \
                 with margins, `[NAME, MARGIN]`"
            )
        })?;
        let place = format!("{{{word}}}");
        if !tests.iter().any(|(test, _)| uses(test, &place)) {
            return Err(format!("no field has the word {place} that stands under `{key}`"));
        }
        tests = tests
            .iter()
            .flat_map(|(test, name)| {
                values.iter().map(move |value| {
                    let parts = [name.as_str(), &value.name];
                    let named: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                    (test, named.join(", "), value)
                })
            })
            .map(|(test, name, value)| (replaced(test, &place, value), name))
            .collect();
    }
    Ok(tests)
}

/// A value of a word.
struct Named {
    value: String,
    /// For readers.
    name: String,
    /// The margin of the tests that have it, if it brings one.
    margin: Option<f64>,
}

fn values_of(values: &Value) -> Option<Vec<Named>> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let plain = |value: &Value| {
        let value = text(value)?;
        Some(Named {
            name: value.clone(),
            value,
            margin: None,
        })
    };
    let named = |(value, name): (&Value, &Value)| {
        let (name, margin) = match name {
            Value::Sequence(both) => match &both[..] {
                [name, margin] => (text(name)?, Some(margin.as_f64()?)),
                _ => return None,
            },
            name => (text(name)?, None),
        };
        Some(Named {
            value: text(value)?,
            name,
            margin,
        })
    };
    match values {
        Value::Sequence(values) => values.iter().map(plain).collect(),
        Value::Mapping(values) => values.iter().map(named).collect(),
        _ => None,
    }
}

/// Whether a field, also one within `all_of`, has the word.
fn uses(test: &Mapping, place: &str) -> bool {
    test.values().any(|field| match field {
        Value::String(text) => text.contains(place),
        _ => false,
    })
}

/// The test with a value in `place`, in `says` with the value's name, and with the value's margin.
fn replaced(test: &Mapping, place: &str, value: &Named) -> Mapping {
    let field = |(key, field): (&Value, &Value)| {
        let name = key.as_str().unwrap_or_default();
        let by = if name == "says" { &value.name } else { &value.value };
        let field = match field.as_str() {
            Some(text) if text == place && NUMBERS.contains(&name) => {
                by.parse::<f64>().map_or_else(|_| by.clone().into(), Value::from)
            }
            Some(text) => text.replace(place, by).into(),
            None => field.clone(),
        };
        (key.clone(), field)
    };
    let mut test: Mapping = test.iter().map(field).collect();
    if let Some(margin) = value.margin {
        test.insert("margin".into(), margin.into());
    }
    test
}
