//! Pretrained text encoders of the hub as sources.

use std::path::PathBuf;
use std::time::Instant;

use super::hub::described;
use super::{About, Access, Need, Place, Source};
use crate::ehr::{PretrainedText, TextEncoder, digests};
use crate::hub::{Hub, announced_digest};
use crate::status::{Verdict, Verified};
use crate::{DataError, LoadOptions, sources};

impl Source for TextEncoder {
    fn about(&self) -> About<'_> {
        About {
            name: &self.name,
            title: &self.title,
            licence: &self.licence,
            citation: &self.citation,
            access: Access::Open,
            // Nothing takes it unless a data set is named by it.
            need: Need::OnRequest,
            content: "text encoder".to_owned(),
            size: String::new(),
        }
    }

    fn place(&self, hub: &Hub) -> Place {
        Place::of_cache(&self.name, self.local_files(hub).is_some())
    }

    fn details(&self, hub: &Hub) -> Vec<(&'static str, String)> {
        let mut details = vec![("hub", self.hub.to_string())];
        details.extend(self.remotes().iter().map(|remote| ("file", described(remote, hub))));
        details
    }

    fn local_files(&self, hub: &Hub) -> Option<Vec<PathBuf>> {
        self.remotes().iter().map(|remote| hub.cached(remote)).collect()
    }

    fn fetch(&self, options: &LoadOptions) -> Result<(), DataError> {
        self.files(&sources::hub(options)).map(drop)
    }

    /// Checks that sizes, tokens and weights fit each other, and that the weights are those that the hub announced, where the
    /// cache knows that.
    fn verify(&self, hub: &Hub) -> Result<Vec<Verified>, DataError> {
        let start = Instant::now();
        let files = self.files(hub)?;
        let [_, _, digest] = digests(&files)?;
        let verdict = match announced_digest(&files.weights) {
            None => Verdict::Unannounced,
            Some(expected) if expected == digest => Verdict::Expected,
            Some(expected) => {
                return Err(DataError::Content {
                    what: self.name.clone(),
                    quantity: "digest",
                    got: digest,
                    expected,
                    at: files.weights,
                });
            }
        };
        PretrainedText::read(self, &files)?;
        Ok(vec![Verified {
            digest,
            verdict,
            seconds: start.elapsed().as_secs_f64(),
            ..Verified::new(&self.name, "weights")
        }])
    }
}
