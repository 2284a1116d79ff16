//! Within which range a laboratory value counts: `data/lab-ranges.yaml`, whose limits come from published tables.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::coverage::Count;
use super::error::EhrError;

const TEXT: &str = include_str!("../../../../data/lab-ranges.yaml");

/// Lower and upper limit, each as far as there is one.
type Range = (Option<f32>, Option<f32>);

/// The file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct LabRanges {
    /// Where limits come from, by the short name that [`Analyte::source`] gives.
    sources: BTreeMap<String, String>,
    /// What is measured.
    analytes: BTreeMap<String, Analyte>,
    /// Range of what has none of its own, and limits where an analyte has none.
    others: (f32, f32),
    /// Items of MIMIC-IV by their number.
    mimic_iv: BTreeMap<u32, String>,
    /// Items of eICU's table by their name in small letters.
    eicu: BTreeMap<String, String>,
    /// Columns of YAIB's table of hourly values; all there are.
    yaib: BTreeMap<String, Option<String>>,
    planted: Planted,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Analyte {
    range: Range,
    /// Units that the range is of, as a table may write them.
    #[serde(default)]
    units: Vec<String>,
    source: String,
}

/// Numbers of planted items, which are none of MIMIC-IV's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Planted {
    first: u32,
    last: u32,
    analyte: String,
}

/// What a value of an item may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits<'a> {
    low: f32,
    high: f32,
    units: &'a [String],
}

impl Limits<'_> {
    /// Whether `value` counts, else why not. A unit counts in any capitals; where a row names none, it is the item's.
    pub(super) fn check(&self, value: f32, unit: Option<&str>) -> Result<(), Count> {
        let same = |unit: &str| self.units.iter().any(|known| known.eq_ignore_ascii_case(unit));
        if !self.units.is_empty() && unit.is_some_and(|unit| !same(unit)) {
            return Err(Count::OtherUnit);
        }
        if (self.low..=self.high).contains(&value) {
            Ok(())
        } else {
            Err(Count::OutOfRange)
        }
    }
}

impl LabRanges {
    /// The built-in file.
    pub(super) fn read() -> Result<Self, EhrError> {
        let parsed = serde_yaml::from_str(TEXT).map_err(|error| error.to_string());
        let checked = parsed.and_then(|ranges: Self| ranges.check().map(|()| ranges));
        checked.map_err(|reason| EhrError::Ranges { reason })
    }

    fn check(&self) -> Result<(), String> {
        for (name, analyte) in &self.analytes {
            if !self.sources.contains_key(&analyte.source) {
                return Err(format!(
                    "analytes, {name}: the source `{}` is not listed",
                    analyte.source
                ));
            }
            let limits = self.limits(Some(name));
            if limits.low.is_nan() || limits.low >= limits.high {
                return Err(format!("analytes, {name}: the lower limit is not below the upper one"));
            }
        }
        let named = self.mimic_iv.values().chain(self.eicu.values());
        let mut named = named.chain(self.yaib.values().flatten()).chain([&self.planted.analyte]);
        match named.find(|name| !self.analytes.contains_key(*name)) {
            Some(name) => Err(format!("`{name}` is no analyte")),
            None => Ok(()),
        }
    }

    fn limits(&self, analyte: Option<&str>) -> Limits<'_> {
        let analyte = analyte.and_then(|name| self.analytes.get(name));
        let (low, high) = analyte.map_or((None, None), |analyte| analyte.range);
        Limits {
            low: low.unwrap_or(self.others.0),
            high: high.unwrap_or(self.others.1),
            units: analyte.map_or(&[], |analyte| &analyte.units),
        }
    }

    /// Limits of the item `id` of MIMIC-IV.
    pub(super) fn mimic_iv(&self, id: u32) -> Limits<'_> {
        let planted = Some(&self.planted).filter(|planted| (planted.first..=planted.last).contains(&id));
        let analyte = planted
            .map(|planted| &planted.analyte)
            .or_else(|| self.mimic_iv.get(&id));
        self.limits(analyte.map(String::as_str))
    }

    /// Limits of the item `name` of eICU's table, in small letters.
    pub(super) fn eicu(&self, name: &str) -> Limits<'_> {
        self.limits(self.eicu.get(name).map(String::as_str))
    }

    /// Limits of the column `name` of YAIB's table, if it is an item.
    pub(super) fn hourly(&self, name: &str) -> Option<Limits<'_>> {
        let analyte = self.yaib.get(&name.to_lowercase())?;
        Some(self.limits(analyte.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_units_and_numbers_that_say_nothing() {
        let ranges = LabRanges::read().unwrap();
        let potassium = ranges.mimic_iv(50_971);
        assert_eq!(potassium.check(4.1, Some("meq/l")), Ok(()));
        assert_eq!(potassium.check(4.1, None), Ok(()));
        assert_eq!(potassium.check(4.1, Some("mg/dL")), Err(Count::OtherUnit));
        assert_eq!(potassium.check(999_999., None), Err(Count::OutOfRange));
        assert_eq!(potassium.check(f32::NAN, None), Err(Count::OutOfRange));
        // No range of its own, and one without an upper limit.
        assert_eq!(ranges.mimic_iv(1).check(999_999., None), Err(Count::OutOfRange));
        assert_eq!(ranges.eicu("ptt").check(999_999., None), Err(Count::OutOfRange));
        assert_eq!(ranges.eicu("ptt").check(180., Some("sec")), Ok(()));
        assert_eq!(ranges.mimic_iv(61_003).check(250., None), Err(Count::OutOfRange));
        assert!(ranges.hourly("K").is_some() && ranges.hourly("potassium").is_none());
        assert!(ranges.eicu.keys().all(|name| *name == name.to_lowercase()));
    }
}
