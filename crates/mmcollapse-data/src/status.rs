//! What `data list` says of data sets and sources, and what `data fetch` and `data verify` find.

mod details;
mod listing;
mod verified;
mod verify;

pub use details::{describe, describe_in};
pub use listing::{Listing, Row, list, list_in};
pub use verified::{Verdict, Verified};
pub use verify::{fetch, verify, verify_in};
