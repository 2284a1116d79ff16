//! What a spec that can be read may still get wrong: names that are not there, rows twice, levels without a meaning.

use mmcollapse_record::{Definition, Levels, ProtocolKind, same_level};
use std::collections::BTreeSet;

use super::{PresetSpec, Row, RowGroup, Spec};

/// What is wrong, and the word of the spec it is found near.
pub(super) struct Fault {
    pub word: String,
    pub what: String,
}

type Checked = Result<(), Fault>;

fn fault(word: &str, what: String) -> Checked {
    Err(Fault {
        word: word.to_owned(),
        what,
    })
}

/// Whether everything that a spec names is there and means something.
pub(super) fn check(spec: &Spec) -> Checked {
    let of_preset = spec.presets.values().filter_map(|preset| preset.rows.as_ref());
    let of_dataset = spec.presets.values().flat_map(PresetSpec::rows_elsewhere);
    for group in of_preset.chain(of_dataset).chain([&spec.rows]).flatten() {
        row_group(spec, group)?;
    }
    for (name, preset) in &spec.presets {
        let own = preset.rows.as_ref().unwrap_or(&spec.rows);
        for groups in preset.rows_elsewhere().chain([own]) {
            rows(spec, preset, groups)?;
        }
        self::preset(spec, &name.to_string(), preset)?;
    }
    twins(spec)?;
    measures(spec)?;
    levels(spec)
}

/// Measures that there are.
fn measures(spec: &Spec) -> Checked {
    let known: Vec<&str> = Definition::of_representation()
        .map(|definition| definition.key)
        .collect();
    let elsewhere = spec.datasets.values().filter_map(|differs| differs.measures.as_ref());
    match elsewhere
        .chain([&spec.measures])
        .flatten()
        .find(|key| !known.contains(&key.as_str()))
    {
        Some(key) => fault(
            key,
            format!(
                "there is no measure `{key}` of a representation; there are {}",
                known.join(", ")
            ),
        ),
        None => Ok(()),
    }
}

/// A control is there, and doses are amounts.
fn twins(spec: &Spec) -> Checked {
    for (name, method) in spec.fusions.iter().chain(&spec.reallocations) {
        if let Some(got) = method.dose.as_ref().map(|dose| dose.at)
            && !(got.is_finite() && got > 0.0)
        {
            return fault(
                name,
                format!("the dose of `{name}` must be a number above 0, got {got}: a control is 0"),
            );
        }
    }
    for (axis, methods) in [("fusion", &spec.fusions), ("reallocation", &spec.reallocations)] {
        for (name, method) in methods {
            if let Some(twin) = method.twin.as_ref().filter(|twin| !methods.contains_key(*twin)) {
                return fault(
                    &format!("{axis}s"),
                    format!("{axis} `{name}` has the twin `{twin}`, which is not there"),
                );
            }
        }
    }
    Ok(())
}

/// Names of methods, and seeds.
fn row_group(spec: &Spec, group: &RowGroup) -> Checked {
    if group.seeds == Some(0) {
        return fault("rows", "a row has no seeds".to_owned());
    }
    for (kind, named, there) in [
        ("fusion", &group.fusion, &spec.fusions),
        ("reallocation", &group.reallocation, &spec.reallocations),
    ] {
        if let Some(name) = named.iter().find(|name| !there.contains_key(*name)) {
            let known = there.keys().cloned().collect::<Vec<_>>().join(", ");
            return fault(
                "rows",
                format!("a row names {kind} `{name}`, but `{kind}s` has only {known}"),
            );
        }
    }
    Ok(())
}

/// Each row once, on levels that the preset has.
fn rows(spec: &Spec, preset: &PresetSpec, groups: &[RowGroup]) -> Checked {
    let (_, levels) = spec.levels(Some(preset));
    let mut names = BTreeSet::new();
    for row in Row::of(groups) {
        let odd = |rate: &&f64| !levels.iter().any(|level| same_level(*level, **rate));
        if let Some(rate) = row.rates.iter().flatten().find(odd) {
            return fault(
                "rows",
                format!(
                    "row `{}` wants the level {rate}, which is not among {levels:?}",
                    row.name
                ),
            );
        }
        if let Some(twice) = names.replace(row.name) {
            return fault("rows", format!("row `{twice}` is there twice"));
        }
    }
    Ok(())
}

/// What a preset changes is there to be changed.
fn preset(spec: &Spec, name: &str, preset: &PresetSpec) -> Checked {
    if preset.seeds == 0 {
        return fault(name, format!("preset `{name}` has no seeds"));
    }
    for (kind, changed, there) in [
        ("fusion", &preset.fusions, &spec.fusions),
        ("reallocation", &preset.reallocations, &spec.reallocations),
    ] {
        if let Some(method) = changed.keys().find(|method| !there.contains_key(*method)) {
            return fault(
                name,
                format!("preset `{name}` changes {kind} `{method}`, which is not there"),
            );
        }
    }
    Ok(())
}

/// Each level is what its protocols take for one.
fn levels(spec: &Spec) -> Checked {
    let presets = || spec.presets.values();
    let own_protocols = presets().filter_map(|preset| preset.protocols.as_ref());
    let protocols: Vec<ProtocolKind> = own_protocols.chain([&spec.protocols]).flatten().copied().collect();
    if let Some(protocol) = protocols.iter().find(|protocol| protocol.of_one_modality())
        && spec.modality.is_none()
    {
        return fault(
            "protocols",
            format!("`{protocol}` is about one modality, and `modality` does not say which"),
        );
    }
    let most = spec.modalities.len();
    let rates = presets().filter_map(|preset| preset.rates.as_ref());
    for rate in rates.chain([&spec.rates]).flatten() {
        for levels in protocols.iter().map(|protocol| protocol.levels()) {
            let (means_something, expected) = match levels {
                Levels::Weights => (
                    rate.is_finite() && *rate >= 0.0,
                    "a level of beta is a number of at least 0".to_owned(),
                ),
                Levels::Counts => (
                    rate.fract() == 0.0 && (1.0..=most as f64).contains(rate),
                    format!("a number of modalities is from 1 to the {most} that `modalities` names"),
                ),
                Levels::Amounts => (
                    rate.fract() == 0.0 && *rate >= 1.0,
                    "what planted data have is counted, from 1".to_owned(),
                ),
                Levels::Shares => (
                    (0.0..=1.0).contains(rate),
                    "a rate is a share of samples in [0, 1]".to_owned(),
                ),
            };
            if !means_something {
                return fault("rates", format!("{expected}, got {rate}"));
            }
        }
    }
    Ok(())
}
