//! What `data list NAME` says of one data set or source.

use std::fmt::Write as _;

use super::Row;
use crate::catalog::{self, Source};
use crate::hub::Hub;
use crate::{DataError, DatasetSource, LoadOptions, find, sources};

/// Describes the data set or source `name` (`all` for every source); needs no network.
///
/// # Errors
/// When nothing is called so, or a manifest is wrong.
pub fn describe(name: &str, options: &LoadOptions) -> Result<String, DataError> {
    describe_in(name, &sources::hub(options))
}

/// [`describe`] for another hub than the environment's.
///
/// # Errors
/// When nothing is called so, or a manifest is wrong.
pub fn describe_in(name: &str, hub: &Hub) -> Result<String, DataError> {
    let mut text = String::new();
    if let Ok(set) = find(name) {
        text += &of_set(set, hub)?;
    }
    for source in catalog::named(name)? {
        if !text.is_empty() {
            text += "\n";
        }
        text += &of_source(&*source, hub);
    }
    Ok(text)
}

fn of_set(set: &dyn DatasetSource, hub: &Hub) -> Result<String, DataError> {
    let row = Row::of_set(set, hub)?;
    let mut lines = vec![("modalities", set.modalities().join(", "))];
    lines.extend(set.samples().map(|n| ("samples", n.to_string())));
    lines.push(("access", row.access.to_string()));
    lines.push(("where", row.place));
    lines.extend(set.excerpt().map(|text| ("excerpt", text.to_owned())));
    lines.extend(set.synthetic().map(|text| ("synthetic", text.to_owned())));
    lines.extend(
        set.stand_in()
            .map(|name| ("stand-in", format!("{name}, where its files cannot be had"))),
    );
    if !set.sources().is_empty() {
        lines.push(("made from", set.sources().join(", ")));
    }
    Ok(block(&format!("Data set {}: {}", set.name(), set.summary()), &lines))
}

fn of_source(source: &dyn Source, hub: &Hub) -> String {
    let about = source.about();
    let mut lines = vec![
        ("access", about.access.to_string()),
        ("where", source.place(hub).to_string()),
        ("licence", about.licence.to_owned()),
        ("citation", about.citation.to_owned()),
    ];
    lines.extend(source.details(hub));
    lines.push(("used by", catalog::sets_of(about.name).join(", ")));
    block(&format!("Source {}: {}", about.name, about.title), &lines)
}

fn block(heading: &str, lines: &[(&str, String)]) -> String {
    let mut text = format!("{heading}\n");
    for (label, line) in lines {
        let _ = writeln!(text, "  {label:<10}  {line}");
    }
    text
}
