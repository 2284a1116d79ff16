//! The tables of `data list`: one line a data set, one line a source.

use std::fmt;

use crate::catalog::{self, Access, Place};
use crate::hub::Hub;
use crate::{DataError, DatasetSource, LoadOptions, SETS, sources};

/// Most modalities whose names fit into a line.
const NAMED: usize = 2;

/// A line: a data set or a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its modalities, or what a source holds.
    pub content: String,
    /// How many samples, rows, files or admissions it has; empty where that is not known.
    pub size: String,
    /// Who may have it.
    pub access: Access,
    /// Where it is now, or how to have it.
    pub place: String,
}

/// Everything that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Data sets.
    pub sets: Vec<Row>,
    /// Sources that they are made of.
    pub sources: Vec<Row>,
}

/// Lists every data set and every source, and where its data are now; needs no network.
///
/// # Errors
/// When a manifest is wrong.
pub fn list(options: &LoadOptions) -> Result<Listing, DataError> {
    list_in(&sources::hub(options))
}

/// [`list`] for another hub than the environment's.
///
/// # Errors
/// When a manifest is wrong.
pub fn list_in(hub: &Hub) -> Result<Listing, DataError> {
    let sets = SETS.iter().map(|set| Row::of_set(*set, hub));
    let sources = catalog::listed().map(|listed| {
        let source = listed.open()?;
        let about = source.about();
        Ok(Row {
            name: about.name.to_owned(),
            content: about.content,
            size: about.size,
            access: about.access,
            place: source.place(hub).to_string(),
        })
    });
    Ok(Listing {
        sets: sets.collect::<Result<_, DataError>>()?,
        sources: sources.collect::<Result<_, DataError>>()?,
    })
}

impl Row {
    /// The line of a data set, whose data are where its sources are.
    pub(super) fn of_set(set: &dyn DatasetSource, hub: &Hub) -> Result<Self, DataError> {
        let modalities = set.modalities();
        let mut access = None;
        let mut places = Vec::new();
        for name in set.sources() {
            let source = catalog::source(name)?;
            access = access.max(Some(source.about().access));
            places.push(source.place(hub));
        }
        if places.iter().any(|place| !place.is_ready()) {
            places.retain(|place| !place.is_ready());
        }
        let mut places: Vec<String> = places.iter().map(Place::to_string).collect();
        places.dedup();
        Ok(Self {
            name: set.name().to_owned(),
            content: if modalities.len() > NAMED {
                modalities.len().to_string()
            } else {
                modalities.join(", ")
            },
            size: set.samples().map_or_else(String::new, |n| n.to_string()),
            // What is made of no source, the program makes.
            access: access.unwrap_or(Access::Synthetic),
            place: if places.is_empty() {
                "made when it is loaded".to_owned()
            } else {
                places.join("; ")
            },
        })
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        table(f, ["DATA SET", "MODALITIES", "SAMPLES"], &self.sets)?;
        writeln!(f)?;
        table(f, ["SOURCE", "CONTENT", "COUNT"], &self.sources)
    }
}

fn table(f: &mut fmt::Formatter<'_>, [name, content, size]: [&str; 3], rows: &[Row]) -> fmt::Result {
    let width = |heading: &str, of: fn(&Row) -> &str| {
        let cells = rows.iter().map(|row| of(row).chars().count());
        cells.chain([heading.len()]).max().unwrap_or_default()
    };
    let [names, contents, sizes] = [
        width(name, |row| &row.name),
        width(content, |row| &row.content),
        width(size, |row| &row.size),
    ];
    writeln!(
        f,
        "{name:<names$}  {content:<contents$}  {size:>sizes$}  ACCESS        WHERE"
    )?;
    for row in rows {
        let size = if row.size.is_empty() { "?" } else { &row.size };
        let (name, content, access, place) = (&row.name, &row.content, row.access, &row.place);
        writeln!(
            f,
            "{name:<names$}  {content:<contents$}  {size:>sizes$}  {access:<12}  {place}"
        )?;
    }
    Ok(())
}
