//! Files that anyone may download, each known by its digest, kept in a folder of the cache.
//!
//! Some data are open but not on the hub. Where the user has not named a folder with them, they are downloaded from where
//! their authors keep them. A file enters its folder once its digest is that of the manifest, so what lies there is right.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;

use mmcollapse_nn::files::{AtomicFile, FileLock};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::content::hex;
use crate::hub::{Patience, bar};
use crate::manifest::folder_in;
use crate::{DataError, LoadOptions, cache, sources};

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
}

impl OpenFolder {
    /// Says what is wrong with it, if anything: no path may lead out of the folder.
    pub(crate) fn check(&self) -> Result<(), String> {
        let leaves = |path: &str| path.split('/').any(|step| step.is_empty() || step.starts_with('.'));
        let below = Some(self.below.as_str()).filter(|below| !below.is_empty());
        let paths = self.files.keys().map(String::as_str);
        if let Some(path) = below.into_iter().chain(paths).find(|path| leaves(path)) {
            return Err(format!("file path `{path}` leaves the folder"));
        }
        if !self.base.starts_with("http") || !self.base.ends_with('/') {
            return Err(format!("`{}` is no address of a folder", self.base));
        }
        match self.files.iter().find(|(_, digest)| digest.len() != 64) {
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
        let mut answered = false;
        for (path, address, digest) in self.folders.iter().flat_map(OpenFolder::each) {
            let path = folder.join(path);
            if !path.is_file() {
                web.fetch(&address, digest, &path, &mut answered)?;
            }
        }
        Ok(folder)
    }
}

/// What a try ended with.
struct Trouble {
    reason: String,
    /// Whether another try may succeed by itself.
    passes: bool,
}

impl Web {
    fn fetch(&self, address: &str, digest: &str, path: &Path, answered: &mut bool) -> Result<(), Failure> {
        let mut wait = self.patience.first_wait;
        for attempt in 1.. {
            let Err(Trouble { reason, passes }) = self.attempt(address, digest, path, answered) else {
                return Ok(());
            };
            if !passes || attempt >= self.patience.attempts {
                return Err(Failure {
                    place: address.to_owned(),
                    reason,
                });
            }
            if self.progress {
                eprintln!(
                    "{address}: {reason}; trying again in {:.0} s",
                    wait.as_secs_f64().ceil()
                );
            }
            thread::sleep(wait);
            wait = (wait * 2).min(self.patience.longest_wait);
        }
        unreachable!("the loop ends by returning")
    }

    fn attempt(&self, address: &str, digest: &str, path: &Path, answered: &mut bool) -> Result<(), Trouble> {
        let passing = |reason: String| Trouble { reason, passes: true };
        let unwritable = |error: io::Error| Trouble {
            reason: format!("cannot write {}: {error}", path.display()),
            passes: false,
        };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("mmcollapse/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(self.patience.answer))
            .timeout_recv_response(Some(self.patience.answer))
            .timeout_per_read(Some(self.patience.silence))
            .build()
            .new_agent();
        // A network that never answered is not there; one that did before may be back in a moment.
        let mut response = agent.get(address).call().map_err(|error| Trouble {
            reason: error.to_string(),
            passes: *answered,
        })?;
        *answered = true;
        match response.status().as_u16() {
            200 => {}
            status => {
                return Err(Trouble {
                    reason: format!("HTTP {status}"),
                    passes: status == 429 || status >= 500,
                });
            }
        }
        let announced = response.body().content_length();
        let bar = self.progress.then(|| bar(announced.unwrap_or(0)));
        let mut file = AtomicFile::create(path).map_err(unwritable)?;
        let mut hash = Sha256::new();
        let mut received = 0;
        let mut body = response.body_mut().as_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = body.read(&mut buffer).map_err(|error| passing(error.to_string()))?;
            if n == 0 {
                break;
            }
            file.write_all(&buffer[..n]).map_err(unwritable)?;
            hash.update(&buffer[..n]);
            received += n as u64;
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
            return Err(Trouble {
                reason: format!(
                    "sha256 of the bytes is {}..., expected {}...",
                    &got[..12],
                    &digest[..12]
                ),
                passes: false,
            });
        }
        file.commit().map_err(unwritable)
    }
}
