//! Sources of every kind, by the names that a person gives them.

use std::path::PathBuf;

use super::{encoder, files_sources};
use crate::ehr::manifest::RecordsManifest;
use crate::ehr::{self, TextEncoder};
use crate::embedded::Excerpt;
use crate::files::FilesSource;
use crate::folder::FolderSource;
use crate::hub::Hub;
use crate::manifest::{BuiltIn, Manifest};
use crate::{DataError, SETS, cache, find};

/// Sources of every kind.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(super) hub: Vec<Manifest>,
    pub(super) embedded: Vec<Excerpt>,
    pub(super) folders: Vec<FolderSource>,
    pub(super) files: Vec<FilesSource>,
    pub(super) records: Vec<RecordsManifest>,
    pub(super) encoders: Vec<TextEncoder>,
}

impl Sources {
    fn all() -> Result<Self, DataError> {
        Ok(Self {
            hub: Manifest::all()?,
            embedded: Excerpt::all()?,
            folders: FolderSource::all()?,
            files: files_sources()?,
            records: RecordsManifest::all()?,
            encoders: TextEncoder::all()?,
        })
    }

    fn names(&self) -> Vec<&str> {
        let hub = self.hub.iter().map(|m| m.name.as_str());
        let folders = self.folders.iter().map(|f| f.name.as_str());
        hub.chain(self.embedded.iter().map(|e| e.name.as_str()))
            .chain(folders)
            .chain(self.files.iter().map(|f| f.name.as_str()))
            .chain(self.records.iter().map(|r| r.name.as_str()))
            .chain(self.encoders.iter().map(|e| e.name.as_str()))
            .collect()
    }

    /// The sources that `name` means: itself, those of a data set, or all.
    pub(crate) fn named(name: &str) -> Result<Self, DataError> {
        let mut sources = Self::all()?;
        if name == "all" {
            return Ok(sources);
        }
        let wanted = find(name).map_or_else(|_| vec![name], |set| set.sources().to_vec());
        let known = sources.names();
        if wanted.iter().any(|source| !known.contains(source)) {
            // A data set may be named as its source is.
            let sets = SETS.iter().map(|set| set.name()).filter(|set| !known.contains(set));
            return Err(DataError::UnknownName {
                name: name.to_owned(),
                known: known
                    .iter()
                    .copied()
                    .chain(sets)
                    .chain(["all"])
                    .collect::<Vec<_>>()
                    .join(", "),
            });
        }
        sources.hub.retain(|m| wanted.contains(&m.name.as_str()));
        sources.embedded.retain(|e| wanted.contains(&e.name.as_str()));
        sources.folders.retain(|f| wanted.contains(&f.name.as_str()));
        sources.files.retain(|f| wanted.contains(&f.name.as_str()));
        sources.records.retain(|r| wanted.contains(&r.name.as_str()));
        sources.encoders.retain(|e| wanted.contains(&e.name.as_str()));
        Ok(sources)
    }

    /// Every file that these sources are read from, where all of them are there.
    pub(crate) fn paths(&self, hub: &Hub) -> Option<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for manifest in &self.hub {
            for file in &manifest.files {
                paths.push(hub.cached(&manifest.remote(file))?);
            }
        }
        for source in &self.folders {
            let recordings = source.paths(source.folder().as_deref()).ok()?;
            paths.extend(recordings.into_iter().map(|(_, path)| path));
        }
        for source in &self.files {
            let folder = source.open().folder()?;
            paths.extend(source.files.iter().map(|file| folder.join(&file.name)));
        }
        for manifest in &self.records {
            let source = ehr::find(&manifest.name).ok()?;
            // Synthetic tables are written where there are none; others may have to be downloaded first.
            if manifest.planted.is_none() {
                manifest.open().folder()?;
            }
            let folder = ehr::tables(source, cache::folder().as_deref()).ok()?;
            paths.extend(source.files(manifest, &folder).ok()?);
        }
        for encoder in &self.encoders {
            for remote in encoder.remotes() {
                paths.push(hub.cached(&remote)?);
            }
        }
        Some(paths)
    }

    /// Drops the folders that are not there, and the pretrained encoders, which nothing takes unless it is asked to, that
    /// are not in the cache.
    pub(super) fn retain_there(&mut self, hub: &Hub) {
        self.folders.retain(|folder| folder.folder().is_some());
        self.files.retain(|files| files.open().folder().is_some());
        self.records.retain(|records| records.open().folder().is_some());
        self.encoders.retain(|encoder| encoder::is_cached(encoder, hub));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_sources() {
        let of = |name| {
            let sources = Sources::named(name).unwrap();
            sources.names().into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(of("fsdd"), ["fsdd"]);
        assert_eq!(of("avmnist"), ["mnist", "fsdd"]);
        assert_eq!(of("avmnist-hard"), ["mnist", "fsdd", "esc10"]);
        assert_eq!(of("avmnist-embedded"), ["avmnist-embedded"]);
        assert_eq!(of("mfeat"), ["mfeat"]);
        assert_eq!(of("eicu-demo-mortality"), ["eicu-demo"]);
        assert_eq!(of("eicu-demo+bert-tiny-mortality"), ["eicu-demo", "bert-tiny"]);
        assert!(of("all").starts_with(&["mnist".to_owned(), "fsdd".to_owned()]));
        assert_eq!(of("ehr-planted-readmission"), ["ehr-planted"]);
        assert!(of("planted").is_empty());
        let error = Sources::named("mnits").unwrap_err();
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(
            help.contains(
                "mnist, fsdd, avmnist-embedded, esc10, mfeat, physionet-2012, mimic-iv, mimic-iv-demo, eicu, \
                 eicu-demo, ehr-planted, bert-tiny, bio-clinicalbert, avmnist,"
            ) && help.contains("all"),
            "{help}"
        );
    }
}
