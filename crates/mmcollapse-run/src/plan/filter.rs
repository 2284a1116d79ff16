//! Which cells of a plan: filters as they stand on the command line.

use mmcollapse_record::ProtocolKind;
use std::collections::BTreeMap;

use miette::Diagnostic;
use thiserror::Error;

use crate::spec::Row;

/// Conditions on cells: those on the same field are alternatives, those on different fields must all hold.
#[derive(Clone, Debug, Default)]
pub struct Filter(BTreeMap<Field, Vec<String>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    Row,
    Fusion,
    Reallocation,
    Protocol,
    Rate,
    Seed,
}

/// A filter that selects nothing or cannot be read.
#[derive(Debug, Error, Diagnostic)]
#[error("--only {filter}: {what}")]
#[diagnostic(help(
    "a filter is a row's name or FIELD=VALUE with the fields row, fusion, reallocation, protocol, rate, seed; \
     for example --only shaspec+ebr, --only fusion=concat --only seed=0, --only seed=0..5; \
     `--dry-run` lists the cells"
))]
pub struct FilterError {
    pub(super) filter: String,
    pub(super) what: String,
}

impl Filter {
    /// Reads filters as they stand on the command line.
    ///
    /// # Errors
    /// A field that is not known.
    pub fn parse<S: AsRef<str>>(filters: &[S]) -> Result<Self, FilterError> {
        let mut conditions: BTreeMap<Field, Vec<String>> = BTreeMap::new();
        for filter in filters {
            for term in filter.as_ref().split(',') {
                let (field, value) = match term.split_once('=') {
                    None => (Field::Row, term),
                    Some((name, value)) => {
                        let field = match name.trim() {
                            "row" => Field::Row,
                            "fusion" => Field::Fusion,
                            "reallocation" => Field::Reallocation,
                            "protocol" => Field::Protocol,
                            "rate" => Field::Rate,
                            "seed" => Field::Seed,
                            other => {
                                return Err(FilterError {
                                    filter: term.to_owned(),
                                    what: format!("`{other}` is no field of a cell"),
                                });
                            }
                        };
                        (field, value)
                    }
                };
                let value = value.trim();
                let readable = match field {
                    Field::Seed => seeds(value).is_some(),
                    Field::Rate => value.parse::<f64>().is_ok(),
                    _ => !value.is_empty(),
                };
                if !readable {
                    return Err(FilterError {
                        filter: term.to_owned(),
                        what: format!("`{value}` is no {}", format!("{field:?}").to_lowercase()),
                    });
                }
                conditions.entry(field).or_default().push(value.to_owned());
            }
        }
        Ok(Self(conditions))
    }

    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn admits(&self, row: &Row, protocol: ProtocolKind, rates: &[f64], seed: u64) -> bool {
        self.0.iter().all(|(field, values)| {
            values.iter().any(|value| match field {
                Field::Row => row.name == *value,
                Field::Fusion => row.fusion == *value,
                Field::Reallocation => row.reallocation == *value,
                Field::Protocol => protocol.to_string() == *value,
                Field::Rate => value
                    .parse()
                    .is_ok_and(|value: f64| rates.iter().any(|rate| (rate - value).abs() < 1e-9)),
                Field::Seed => seeds(value).is_some_and(|seeds| seeds.contains(&seed)),
            })
        })
    }

    pub(super) fn text(&self) -> String {
        let terms: Vec<String> = self
            .0
            .iter()
            .flat_map(|(field, values)| {
                values
                    .iter()
                    .map(move |value| format!("{}={value}", format!("{field:?}").to_lowercase()))
            })
            .collect();
        terms.join(",")
    }
}

/// `3` or `0..5`.
fn seeds(text: &str) -> Option<std::ops::Range<u64>> {
    if let Some((from, to)) = text.split_once("..") {
        return Some(from.trim().parse().ok()?..to.trim().parse().ok()?);
    }
    let seed: u64 = text.parse().ok()?;
    Some(seed..seed.checked_add(1)?)
}
