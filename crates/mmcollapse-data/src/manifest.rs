//! The manifests in `data/*.yaml`: where each source comes from, under which licence, and what it decodes to.
//!
//! They are built into the program, so a binary and the data it was tested with cannot come apart.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::catalog::Need;
use crate::hub::{Remote, RepoKind};
use crate::{DataError, catalog, environment};

/// A source: files of one hub repository and what they decode to.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name on the command line, and of the file.
    pub name: String,
    /// Full name.
    pub title: String,
    /// Licence of the data.
    pub licence: String,
    /// Whom to cite.
    pub citation: String,
    /// Where on the hub.
    pub hub: Repository,
    /// What `all` means for it.
    #[serde(default)]
    pub need: Need,
    /// What a row holds.
    pub media: Media,
    /// Form of every record, where the manifest says one; see [`crate::sources::Record::form`].
    pub form: Option<Vec<u32>>,
    /// The files.
    pub files: Vec<SourceFile>,
    /// What the files of each part decode to.
    pub content: BTreeMap<String, PartContent>,
}

/// A repository at a commit.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// `owner/name`.
    pub repo: String,
    /// Commit, 40 hex digits; branches move.
    pub revision: String,
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revision = self.revision.get(..12).unwrap_or(&self.revision);
        write!(f, "{} @ {revision}", self.repo)
    }
}

impl Repository {
    /// The hub's address of the file at `path`.
    pub(crate) fn remote(&self, kind: RepoKind, path: &str) -> Remote {
        Remote {
            kind,
            repo: self.repo.clone(),
            revision: self.revision.clone(),
            file: path.to_owned(),
        }
    }

    /// Whether the revision is a commit and every path stays in the repository.
    pub(crate) fn check<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
        if !is_hex(&self.revision, 40) {
            return Err(format!("revision `{}` is no commit (40 hex digits)", self.revision));
        }
        match paths.into_iter().find(|path| leaves(path)) {
            Some(path) => Err(format!("file path `{path}` leaves the repository")),
            None => Ok(()),
        }
    }
}

/// Whether a relative path leads out of its folder, or to something hidden.
pub(crate) fn leaves(path: &str) -> bool {
    path.split('/').any(|step| step.is_empty() || step.starts_with('.'))
}

pub(crate) fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Kind of media in the rows of a source.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// PNG of 8-bit grey levels; content is the pixels row by row.
    Image,
    /// PNG of 8-bit red, green and blue; content is these three of each pixel, row by row.
    ColourImage,
    /// WAV of one channel; content is the samples as little-endian 16-bit integers.
    Audio,
}

impl Media {
    /// Name of the parquet struct.
    pub fn column(self) -> &'static str {
        match self {
            Self::Image | Self::ColourImage => "image",
            Self::Audio => "audio",
        }
    }
}

/// One file of a source.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Path in the repository.
    pub path: String,
    /// The part of the source it belongs to: a key of [`Manifest::content`].
    pub part: String,
}

/// What a part of a source of the hub decodes to, as far as it is known.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "Stated")]
pub enum PartContent {
    /// The content itself.
    Digest(Content),
    /// Records of each class, where nobody has computed a digest yet. The pinned revision still fixes the files.
    Classes(Vec<usize>),
}

impl PartContent {
    /// Records.
    pub fn rows(&self) -> usize {
        match self {
            Self::Digest(content) => content.rows,
            Self::Classes(classes) => classes.iter().sum(),
        }
    }
}

/// The keys of a [`PartContent`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    rows: usize,
    digest: Option<String>,
    classes: Option<Vec<usize>>,
}

impl TryFrom<Stated> for PartContent {
    type Error = String;

    fn try_from(Stated { rows, digest, classes }: Stated) -> Result<Self, String> {
        match (digest, classes) {
            (Some(digest), None) => Ok(Self::Digest(Content { rows, digest })),
            (None, Some(classes)) => match classes.iter().sum::<usize>() {
                sum if sum == rows => Ok(Self::Classes(classes)),
                sum => Err(format!("`classes` have {sum} rows, expected the {rows} of `rows`")),
            },
            (Some(_), Some(_)) => Err("expected `digest` or `classes`, got both: a digest says more".to_owned()),
            (None, None) => Err(
                "expected `digest` or, where none is known, `classes` (the rows of each class), got neither".to_owned(),
            ),
        }
    }
}

/// What a collection decodes to.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Records.
    pub rows: usize,
    /// [`crate::content::collection_digest`] of the records.
    pub digest: String,
}

/// Reads the text of a file in `data/`.
pub(crate) fn read_yaml<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, DataError> {
    serde_yaml::from_str(text).map_err(|error| DataError::Manifest {
        name: name.to_owned(),
        reason: error.to_string(),
    })
}

/// A kind of manifest, of which [`catalog::listed`] has some.
pub trait BuiltIn: DeserializeOwned + 'static {
    /// The name that it gives itself.
    fn name(&self) -> &str;

    /// Whether what it says makes sense; if not, why.
    ///
    /// # Errors
    /// The reason.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Lists name and text of each that is built in.
    fn texts() -> impl Iterator<Item = (&'static str, &'static str)> {
        let of_kind = catalog::listed().filter(|listed| listed.is::<Self>());
        of_kind.map(|listed| (listed.name, listed.text))
    }

    /// Each that is built in.
    ///
    /// # Errors
    /// When one is wrong; a test keeps that from happening.
    fn all() -> Result<Vec<Self>, DataError> {
        Self::texts().map(|(name, text)| Self::parse(name, text)).collect()
    }

    /// The one called `name`.
    ///
    /// # Errors
    /// When there is none; the error lists the names there are.
    fn find(name: &str) -> Result<Self, DataError> {
        let found = Self::texts().find(|(known, _)| *known == name);
        let (_, text) = found.ok_or_else(|| DataError::UnknownName {
            name: name.to_owned(),
            known: Self::texts().map(|(name, _)| name).collect::<Vec<_>>().join(", "),
        })?;
        Self::parse(name, text)
    }

    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`DataError::Manifest`], with the place.
    fn parse(name: &str, text: &str) -> Result<Self, DataError> {
        let manifest: Self = read_yaml(name, text)?;
        let checked = match manifest.name() {
            own if own != name => Err(format!("name is `{own}`, expected `{name}`")),
            _ => manifest.check(),
        };
        checked.map_err(|reason| DataError::Manifest {
            name: name.to_owned(),
            reason,
        })?;
        Ok(manifest)
    }
}

/// The folder that an environment variable names, if it does.
pub(crate) fn folder_in(variable: &str) -> Option<PathBuf> {
    environment::path(variable)
}

impl BuiltIn for Manifest {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<(), String> {
        self.hub.check(self.files.iter().map(|file| file.path.as_str()))?;
        for (part, content) in &self.content {
            if matches!(content, PartContent::Digest(content) if !is_hex(&content.digest, 64)) {
                return Err(format!("digest of `{part}` is no sha256 (64 hex digits)"));
            }
        }
        for file in &self.files {
            if !self.content.contains_key(&file.part) {
                let (path, part) = (&file.path, &file.part);
                return Err(format!("{path} belongs to `{part}`, which `content` lacks"));
            }
        }
        Ok(())
    }
}

impl Manifest {
    /// The hub's address of `file`.
    pub fn remote(&self, file: &SourceFile) -> Remote {
        self.hub.remote(RepoKind::Dataset, &file.path)
    }

    /// The hub's addresses of all files, in the manifest's order.
    pub fn remotes(&self) -> impl Iterator<Item = Remote> {
        self.files.iter().map(|file| self.remote(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manifest_reads() {
        for manifest in Manifest::all().unwrap() {
            assert!(
                !manifest.licence.is_empty() && !manifest.files.is_empty(),
                "{}",
                manifest.name
            );
        }
        let help = miette::Diagnostic::help(&Manifest::find("minst").unwrap_err())
            .unwrap()
            .to_string();
        assert!(help.contains("mnist, fsdd"), "{help}");
    }

    #[test]
    fn mistakes_are_named() {
        let (name, good) = Manifest::texts().next().unwrap();
        let change = |from: &str, to: &str| {
            assert!(good.contains(from), "{from}");
            Manifest::parse(name, &good.replace(from, to)).unwrap_err().to_string()
        };
        let unknown = change("licence:", "license:");
        assert!(
            unknown.contains("unknown field `license`") && unknown.contains("line"),
            "{unknown}"
        );
        assert!(change("revision: 77f3", "revision: main").contains("40 hex digits"));
        assert!(change("part: test", "part: tset").contains("`tset`"));
        assert!(change("path: mnist/", "path: ../mnist/").contains("leaves"));
        assert!(change("name: mnist", "name: other").contains("expected `mnist`"));
        let both = change("rows: 10000, digest", "rows: 10000, classes: [10000], digest");
        assert!(both.contains("got both") && both.contains("content"), "{both}");
        let digest = "89289205c25bb9d6974c85d4660f7901e3a4fb3d264bb0c34830d0b2b65e442e";
        assert!(change(&format!(", digest: {digest}"), "").contains("got neither"));
        let classes = change(&format!("digest: {digest}"), "classes: [4000, 5999]");
        assert!(
            classes.contains("`classes` have 9999 rows, expected the 10000"),
            "{classes}"
        );
        assert!(change(digest, "0").contains("digest of `test` is no sha256"));
    }
}
