//! What takes the place of a data set whose files cannot be had: an excerpt that is built into the program.

use std::fmt;
use std::ops::Range;

use crate::hub::{Hub, HubError};
use crate::{DataError, DatasetSource, LoadOptions, catalog, find, sources};

/// A data set in the place of another, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// The data set that was meant.
    pub of: &'static str,
    /// The one that takes its place.
    pub name: &'static str,
    /// What keeps the files of the one that was meant from being had.
    pub reason: String,
}

impl fmt::Display for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, name, reason } = self;
        writeln!(
            f,
            "Data set {name} instead of {of}, which cannot be had here: {reason}."
        )?;
        if let Some(excerpt) = find(name).ok().and_then(DatasetSource::excerpt) {
            write!(f, "{excerpt} ")?;
        }
        write!(f, "`--dataset {of}` insists on {of}.")
    }
}

/// What takes the place of the data set `name`: nothing where it is kept for all `seeds`, where its files are in the hub's
/// cache or the hub gives what is missing, and where nothing can take its place. The hub is asked once, and quickly.
///
/// # Errors
/// When a manifest is wrong.
pub fn stand_in(name: &str, seeds: Range<u64>, options: &LoadOptions) -> Result<Option<StandIn>, DataError> {
    // A source of several labels is no data set by itself.
    let Ok(set) = find(name) else {
        return Ok(None);
    };
    if seeds.clone().all(|seed| set.is_kept(seed)) {
        return Ok(None);
    }
    stand_in_for(set, &sources::hub(options))
}

/// [`stand_in`] for a data set of which nothing is kept, and for another hub than the environment's.
///
/// # Errors
/// When a manifest is wrong.
pub fn stand_in_for(set: &'static dyn DatasetSource, hub: &Hub) -> Result<Option<StandIn>, DataError> {
    let Some(name) = set.stand_in() else {
        return Ok(None);
    };
    for source in set.sources() {
        let source = catalog::source(source)?;
        if !source.place(hub).is_there() {
            let silence = source.obstacle(hub).filter(HubError::is_silence);
            return Ok(silence.map(|error| StandIn {
                of: set.name(),
                name,
                reason: error.to_string(),
            }));
        }
    }
    Ok(None)
}
