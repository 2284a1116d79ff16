//! Whether the hub gives a file: asked once and quickly, before anything is decided on it.

use std::time::Duration;

use super::announce::announce;
use super::request::Client;
use super::{Hub, HubError, Patience, Remote};

/// Longest wait for a connection, and again for the answer to begin.
const QUICK: Duration = Duration::from_secs(5);

impl Hub {
    /// What keeps the file from being had, if something does: it is not in the cache, and the hub, asked once, does not
    /// give it. Downloads nothing and writes nothing.
    pub fn obstacle(&self, remote: &Remote) -> Option<HubError> {
        if self.cached(remote).is_some() {
            return None;
        }
        if self.offline {
            return self.fetch(remote).err();
        }
        let quick = Self {
            patience: Patience {
                answer: self.patience.answer.min(QUICK),
                ..self.patience
            },
            ..self.clone()
        };
        quick.ask(remote).err()
    }

    fn ask(&self, remote: &Remote) -> Result<(), HubError> {
        announce(&Client::new(self)?, &self.address(remote), &mut false).map(|_| ())
    }
}

impl HubError {
    /// Whether the hub itself did not answer: nobody did, it failed, or something between answered in its place. A refused
    /// token and a file that is not there are answers, which the user has to know.
    pub fn is_silence(&self) -> bool {
        match self {
            Self::Offline { .. }
            | Self::Damaged { .. }
            | Self::NoNetwork { .. }
            | Self::Busy { .. }
            | Self::Server { .. }
            | Self::Protocol { .. } => true,
            // The hub refuses no open data set to who gives no token; a firewall does.
            Self::Refused { with_token, .. } => !with_token,
            _ => false,
        }
    }
}
