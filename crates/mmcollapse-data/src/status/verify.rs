//! What `data fetch` and `data verify` do: every part of a source is decoded and compared with what is known of it.

use super::Verified;
use crate::catalog::{self, Need};
use crate::hub::Hub;
use crate::{DataError, LoadOptions, sources};

/// Downloads what is missing of the source or data set `name` (`all` for everything) and verifies it.
///
/// # Errors
/// When a file cannot be had or does not decode to what its manifest says.
pub fn fetch(name: &str, options: &LoadOptions) -> Result<Vec<Verified>, DataError> {
    for source in catalog::named(name)? {
        if name != "all" || source.about().need != Need::OnRequest {
            source.fetch(options)?;
        }
    }
    verify_in(name, &sources::hub(options))
}

/// Decodes what is in the cache of the source or data set `name` (`all` for everything) and checks its digests.
///
/// # Errors
/// When a file is not there (nothing is downloaded) or does not decode to what its manifest says.
pub fn verify(name: &str, options: &LoadOptions) -> Result<Vec<Verified>, DataError> {
    let hub = Hub {
        offline: true,
        ..sources::hub(options)
    };
    verify_in(name, &hub)
}

/// [`verify`] for another hub than the environment's; downloads what is missing unless that hub is offline.
///
/// # Errors
/// When a file cannot be had or a hub's file does not decode to what its manifest says. Of folders, the user's or of
/// downloads, every part is reported with its verdict.
pub fn verify_in(name: &str, hub: &Hub) -> Result<Vec<Verified>, DataError> {
    let mut verified = Vec::new();
    for source in catalog::named(name)? {
        if name != "all" || source.about().need == Need::Required || source.place(hub).is_there() {
            verified.extend(source.verify(hub)?);
        }
    }
    Ok(verified)
}
