//! Files that anyone may download, each known by its digest, kept in a folder of the cache.
//!
//! Some data are open but not on the hub. Where the user has not named a folder with them, they are downloaded from where
//! their authors keep them. A file enters its folder once its digest is that of the manifest, so what lies there is right.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use mmcollapse_files::{AtomicFile, FileLock, hex};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::content::short;
use crate::hub::{Again, Patience, bar, redacted};
use crate::manifest::{folder_in, is_hex, leaves};
use crate::{DataError, LoadOptions, cache, sources};

/// Most bytes of a file that is downloaded; the largest that is known has 9 million.
const LARGEST: u64 = 4 << 30;

/// Files below one address.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct OpenFolder {
    /// Address that a file's path is appended to, with its slash.
    pub base: String,
    /// Folder below the source's that they are kept in.
    #[serde(default)]
    pub below: String,
    /// Their sha256, by path.
    pub files: BTreeMap<String, String>,
    /// The sha256 of their content, by their paths without `.gz`.
    #[serde(default)]
    pub unpacked: BTreeMap<String, String>,
}

impl OpenFolder {
    /// Says what is wrong with it, if anything: no path may lead out of the folder.
    pub(crate) fn check(&self) -> Result<(), String> {
        let below = Some(self.below.as_str()).filter(|below| !below.is_empty());
        let paths = self.files.keys().map(String::as_str);
        if let Some(path) = below.into_iter().chain(paths).find(|path| leaves(path)) {
            return Err(format!("file path `{path}` leaves the folder"));
        }
        if !self.base.starts_with("http") || !self.base.ends_with('/') {
            return Err(format!("`{}` is no address of a folder", self.base));
        }
        if let Some(path) = self
            .unpacked
            .keys()
            .find(|path| !self.files.contains_key(&format!("{path}.gz")))
        {
            return Err(format!("`{path}` is the content of no file of `files`"));
        }
        match self
            .files
            .iter()
            .chain(&self.unpacked)
            .find(|(_, digest)| !is_hex(digest, 64))
        {
            Some((path, _)) => Err(format!("digest of `{path}` is no sha256 (64 hex digits)")),
            None => Ok(()),
        }
    }

    /// Path below the source's folder, address and digest of each file.
    fn each(&self) -> impl Iterator<Item = (PathBuf, String, &str)> {
        self.files.iter().map(|(path, digest)| {
            let place = Path::new(&self.below).join(path);
            (place, format!("{}{path}", self.base), digest.as_str())
        })
    }
}

/// A source that is a folder of files: the user's, or one of downloads.
#[derive(Clone, Debug)]
pub struct Open<'a> {
    /// Name of the source.
    pub name: &'a str,
    /// Its full name.
    pub title: &'a str,
    /// Environment variable that holds the path of the user's folder.
    pub variable: &'a str,
    /// Where a person can get the files.
    pub address: &'a str,
    /// What anyone may download; nothing where the source is not open.
    pub folders: Vec<OpenFolder>,
}

/// How files are downloaded.
#[derive(Clone, Debug)]
pub struct Web {
    /// The cache's folder, usually [`cache::folder`].
    pub cache: PathBuf,
    /// Show a progress bar (where standard error is a terminal).
    pub progress: bool,
    /// Time limits and retries.
    pub patience: Patience,
}

impl Web {
    /// As the environment and `options` say; none where the network is not to be used or no cache is known.
    pub fn new(options: &LoadOptions) -> Option<Self> {
        let hub = sources::hub(options);
        let cache = cache::folder().filter(|_| !hub.offline)?;
        Some(Self {
            cache,
            progress: hub.progress,
            patience: hub.patience,
        })
    }
}

/// Why a file could not be downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was asked for, or the folder that cannot be written.
    pub place: String,
    /// What was expected and got.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl Open<'_> {
    /// The user's folder, if the environment names one, else that of the downloads, if it holds everything.
    pub fn folder(&self) -> Option<PathBuf> {
        folder_in(self.variable).or_else(|| self.kept(&cache::folder()?))
    }

    /// [`Self::folder`], with what is missing downloaded where that is possible; none where it is not.
    ///
    /// # Errors
    /// When a download fails.
    pub fn obtain(&self, options: &LoadOptions) -> Result<Option<PathBuf>, DataError> {
        if let Some(folder) = self.folder() {
            return Ok(Some(folder));
        }
        let Some(web) = Web::new(options).filter(|_| !self.folders.is_empty()) else {
            return Ok(None);
        };
        let fetched = self
            .fetch(&web)
            .map_err(|Failure { place, reason }| DataError::Download {
                title: self.title.to_owned(),
                place,
                reason,
                address: self.address.to_owned(),
                variable: self.variable.to_owned(),
            });
        fetched.map(Some)
    }

    /// What to do for want of the files: `by_hand`, after a download, and what stands `between`, where that is possible.
    pub(crate) fn or_by_hand(&self, between: &str, by_hand: &str) -> String {
        if self.folders.is_empty() {
            return by_hand.to_owned();
        }
        format!(
            "run `data fetch {}` once with a network, or{between}{by_hand}",
            self.name
        )
    }

    fn place(&self, cache: &Path) -> PathBuf {
        cache.join("downloads").join(self.name)
    }

    /// The folder in `cache` that holds everything, if it does.
    pub fn kept(&self, cache: &Path) -> Option<PathBuf> {
        let folder = self.place(cache);
        let mut files = self.folders.iter().flat_map(OpenFolder::each);
        let complete = !self.folders.is_empty() && files.all(|(path, ..)| folder.join(path).is_file());
        complete.then_some(folder)
    }

    /// Downloads what is missing; the folder that then holds everything. One process downloads, others wait for it.
    ///
    /// # Errors
    /// When a file cannot be had, after as many tries as [`Patience`] has, or is another than the manifest says. What came in
    /// before is kept.
    pub fn fetch(&self, web: &Web) -> Result<PathBuf, Failure> {
        let folder = self.place(&web.cache);
        let unwritable = |error: io::Error| Failure {
            place: folder.display().to_string(),
            reason: error.to_string(),
        };
        fs::create_dir_all(&folder).map_err(unwritable)?;
        let _lock = FileLock::acquire(&folder.with_extension("lock")).map_err(unwritable)?;
        let agent = web.agent();
        let mut answered = false;
        for (path, address, digest) in self.folders.iter().flat_map(OpenFolder::each) {
            let path = folder.join(path);
            if !path.is_file() {
                web.patience.retry(web.progress, || {
                    let tried = web.attempt(&agent, &address, digest, &path, &mut answered);
                    tried.map_err(|(reason, again)| {
                        let place = redacted(&address);
                        (Failure { place, reason }, again)
                    })
                })?;
            }
        }
        Ok(folder)
    }
}

impl Web {
    fn agent(&self) -> ureq::Agent {
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("mmcollapse/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(self.patience.answer))
            .timeout_recv_response(Some(self.patience.answer))
            .timeout_per_read(Some(self.patience.silence))
            .build()
            .new_agent()
    }

    /// Downloads the file at `address` to `path`, whole or not at all.
    fn attempt(
        &self,
        agent: &ureq::Agent,
        address: &str,
        digest: &str,
        path: &Path,
        answered: &mut bool,
    ) -> Result<(), (String, Again)> {
        let passing = |reason: String| (reason, Again::Yes);
        let unwritable = |error: io::Error| (format!("cannot write {}: {error}", path.display()), Again::No);
        // A network that never answered is not there; one that did before may be back in a moment.
        let mut response = agent
            .get(address)
            .call()
            .map_err(|error| (redacted(&error.to_string()), Again::when(*answered)))?;
        *answered = true;
        let status = response.status().as_u16();
        if status != 200 {
            return Err((format!("HTTP {status}"), Again::when(status == 429 || status >= 500)));
        }
        let announced = response.body().content_length();
        let bar = self.progress.then(|| bar(announced.unwrap_or(0)));
        let most = announced.unwrap_or(LARGEST).min(LARGEST);
        let mut file = AtomicFile::create(path).map_err(unwritable)?;
        let mut hash = Sha256::new();
        let mut received = 0;
        let mut body = response.body_mut().as_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = body
                .read(&mut buffer)
                .map_err(|error| passing(redacted(&error.to_string())))?;
            if n == 0 {
                break;
            }
            file.write_all(&buffer[..n]).map_err(unwritable)?;
            hash.update(&buffer[..n]);
            received += n as u64;
            if received > most {
                return Err((
                    format!("expected at most {most} bytes, got more; nothing of it was kept"),
                    Again::No,
                ));
            }
            if let Some(bar) = &bar {
                bar.inc(n as u64);
            }
        }
        if let Some(bar) = bar {
            bar.finish();
        }
        if let Some(announced) = announced
            && received < announced
        {
            return Err(passing(format!(
                "the connection broke after {received} of {announced} bytes"
            )));
        }
        let got = hex(&hash.finalize());
        if got != digest {
            let (got, expected) = (short(&got), short(digest));
            return Err((
                format!("sha256 of the bytes is {got}..., expected {expected}..."),
                Again::No,
            ));
        }
        file.commit().map_err(unwritable)
    }
}
