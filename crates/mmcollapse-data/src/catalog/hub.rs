//! Repositories of the Hugging Face hub as sources.

use std::path::PathBuf;
use std::time::Instant;

use super::{About, Access, Place, Source};
use crate::hub::{Hub, HubError, Remote};
use crate::manifest::{Manifest, Media, PartContent};
use crate::status::{Verdict, Verified};
use crate::{DataError, LoadOptions, sources};

impl Source for Manifest {
    fn about(&self) -> About<'_> {
        About {
            name: &self.name,
            title: &self.title,
            licence: &self.licence,
            citation: &self.citation,
            access: Access::Open,
            need: self.need,
            content: match self.media {
                Media::Image | Media::ColourImage => "images",
                Media::Audio => "recordings",
            }
            .to_owned(),
            size: self.content.values().map(PartContent::rows).sum::<usize>().to_string(),
        }
    }

    fn place(&self, hub: &Hub) -> Place {
        Place::of_cache(&self.name, self.local_files(hub).is_some())
    }

    fn details(&self, hub: &Hub) -> Vec<(&'static str, String)> {
        let mut details = vec![("hub", self.hub.to_string())];
        for (part, content) in &self.content {
            details.push(("content", format!("{part}: {} rows", content.rows())));
        }
        details.extend(self.remotes().map(|remote| ("file", described(&remote, hub))));
        details
    }

    fn local_files(&self, hub: &Hub) -> Option<Vec<PathBuf>> {
        self.remotes().map(|remote| hub.cached(&remote)).collect()
    }

    fn fetch(&self, options: &LoadOptions) -> Result<(), DataError> {
        let hub = sources::hub(options);
        for remote in self.remotes() {
            hub.fetch(&remote)?;
        }
        Ok(())
    }

    fn verify(&self, hub: &Hub) -> Result<Vec<Verified>, DataError> {
        let parts = self.content.iter().map(|(part, content)| {
            let start = Instant::now();
            let records = sources::records(self, part, hub)?;
            let (digest, verdict, details) = match content {
                PartContent::Digest(content) => (content.digest.clone(), Verdict::Expected, Vec::new()),
                PartContent::Classes(_) => {
                    let digest = sources::digest(&records);
                    let detail = format!("digest of all {} rows: {digest}", records.len());
                    (digest, Verdict::CountsOnly, vec![detail])
                }
            };
            Ok(Verified {
                rows: records.len(),
                digest,
                verdict,
                details,
                seconds: start.elapsed().as_secs_f64(),
                ..Verified::new(&self.name, part)
            })
        });
        parts.collect()
    }

    fn obstacle(&self, hub: &Hub) -> Option<HubError> {
        // Where the hub gives one of the files that are missing, it gives the others.
        let missing = self.remotes().find(|remote| hub.cached(remote).is_none())?;
        hub.obstacle(&missing)
    }
}

/// The path and size of a file of the hub in the cache, or that it is missing.
pub(super) fn described(remote: &Remote, hub: &Hub) -> String {
    let path = hub.cached(remote);
    match path.and_then(|path| Some((std::fs::metadata(&path).ok()?.len(), path))) {
        Some((bytes, path)) => format!("{} ({:.1} MB)", path.display(), bytes as f64 / 1e6),
        None => format!("{} (missing)", remote.file),
    }
}
