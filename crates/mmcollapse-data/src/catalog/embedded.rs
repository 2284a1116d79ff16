//! Excerpts that are built into the program as sources.

use std::path::PathBuf;
use std::time::Instant;

use super::{About, Access, Need, Place, Source};
use crate::DataError;
use crate::embedded::Excerpt;
use crate::hub::Hub;
use crate::status::{Verdict, Verified};

impl Source for Excerpt {
    fn about(&self) -> About<'_> {
        About {
            name: &self.name,
            title: &self.title,
            licence: &self.licence,
            citation: &self.citation,
            access: Access::BuiltIn,
            need: Need::Required,
            content: "images, recordings".to_owned(),
            size: self.content.values().map(|part| part.rows).sum::<usize>().to_string(),
        }
    }

    fn place(&self, _hub: &Hub) -> Place {
        Place::BuiltIn
    }

    fn details(&self, _hub: &Hub) -> Vec<(&'static str, String)> {
        let from = self.from.values().map(|place| ("made from", place.to_string()));
        let content = self.content.iter();
        let content = content.map(|(part, content)| ("content", format!("{part}: {} rows", content.rows)));
        from.chain(content).collect()
    }

    fn local_files(&self, _hub: &Hub) -> Option<Vec<PathBuf>> {
        Some(Vec::new())
    }

    fn verify(&self, _hub: &Hub) -> Result<Vec<Verified>, DataError> {
        let start = Instant::now();
        let excerpted = self.decode()?;
        let verified = excerpted.parts().into_iter().filter_map(|(part, records)| {
            Some(Verified {
                rows: records.len(),
                digest: self.content.get(part)?.digest.clone(),
                verdict: Verdict::Expected,
                seconds: start.elapsed().as_secs_f64(),
                ..Verified::new(&self.name, part)
            })
        });
        Ok(verified.collect())
    }
}
