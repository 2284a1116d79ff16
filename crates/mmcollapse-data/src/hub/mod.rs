//! Files of the Hugging Face hub, at pinned revisions, in the cache that all its clients share.
//!
//! The transfer, the cache's layout and the login are `hf-hub`'s. Around it stands what it leaves to its caller
//! (`transfer`): it trusts whatever length arrives, appends to a partial file even if the server starts over,
//! knows neither offline mode nor `Retry-After` nor a time limit. So it downloads into a folder of its own beside the
//! blobs, and a file enters the cache by a rename once its length and digest are what the hub announced: whoever
//! reads the cache, and whenever this process is killed, a file there is whole.
//!
//! Environment, as the Python client reads it: `HF_HOME` (cache), `HF_ENDPOINT` (mirror), `HF_TOKEN` (login),
//! `HF_HUB_OFFLINE` (never use the network).

mod announce;
mod error;
mod patience;
mod probe;
mod transfer;

use std::fmt;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};

pub use error::HubError;
pub(crate) use patience::Again;
pub use patience::Patience;
pub(crate) use transfer::bar;

/// What a repository holds; the hub has an address of its own for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepoKind {
    /// A data set.
    Dataset,
    /// The weights of a network.
    Model,
}

/// A file of a repository at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// What the repository holds.
    pub kind: RepoKind,
    /// Repository, `owner/name`.
    pub repo: String,
    /// Commit, 40 hex digits.
    pub revision: String,
    /// Path in the repository.
    pub file: String,
}

impl Remote {
    fn repo(&self) -> Repo {
        let kind = match self.kind {
            RepoKind::Dataset => RepoType::Dataset,
            RepoKind::Model => RepoType::Model,
        };
        Repo::with_revision(self.repo.clone(), kind, self.revision.clone())
    }
}

/// Where the hub and its cache are, and how to behave towards them.
#[derive(Clone)]
pub struct Hub {
    /// The cache's folder `hub`.
    pub cache: PathBuf,
    /// Address of the hub, without a slash at the end.
    pub endpoint: String,
    /// Sent with every request (hf-hub sends it to where the endpoint redirects as well).
    pub token: Option<String>,
    /// Use the cache only.
    pub offline: bool,
    /// Show a progress bar (where standard error is a terminal).
    pub progress: bool,
    /// Time limits and retries.
    pub patience: Patience,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "(set)"))
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// As the environment says; see the module's documentation.
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// As the variables that `get` knows say.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| get(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let cache = match set("HF_HOME") {
            Some(home) => Cache::new(PathBuf::from(home).join("hub")),
            None => match set("HOME").or_else(|| set("USERPROFILE")) {
                Some(home) => Cache::new(PathBuf::from(home).join(".cache/huggingface/hub")),
                None => Cache::new(PathBuf::from(".cache/huggingface/hub")),
            },
        };
        let truth = |v: String| ["1", "true", "yes", "on"].contains(&v.to_lowercase().as_str());
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: set("HF_TOKEN").or_else(|| cache.token()),
            offline: set("HF_HUB_OFFLINE").is_some_and(truth),
            progress: false,
            patience: Patience::default(),
            cache: cache.path().clone(),
        }
    }

    /// The file where it lies in the cache, if it is there and whole. Needs no network and writes nothing.
    pub fn cached(&self, remote: &Remote) -> Option<PathBuf> {
        let path = self.pointer(remote);
        (path.is_file() && is_whole(&path, &remote.file)).then_some(path)
    }

    /// The file in the cache, downloaded if it is not there.
    ///
    /// # Errors
    /// See [`HubError`]; what passes by itself is tried again within [`Patience`] first.
    pub fn fetch(&self, remote: &Remote) -> Result<PathBuf, HubError> {
        if let Some(path) = self.cached(remote) {
            return Ok(path);
        }
        if self.offline {
            let path = self.pointer(remote);
            return Err(if path.is_file() {
                HubError::Damaged { path }
            } else {
                HubError::Offline {
                    file: remote.file.clone(),
                    repo: remote.repo.clone(),
                    cache: self.cache.clone(),
                }
            });
        }
        transfer::download(self, remote)
    }

    /// The repository's folder in the cache.
    pub fn folder(&self, remote: &Remote) -> PathBuf {
        self.cache.join(remote.repo().folder_name())
    }

    fn pointer(&self, remote: &Remote) -> PathBuf {
        let cache = Cache::new(self.cache.clone()).repo(remote.repo());
        cache.pointer_path(&remote.revision).join(&remote.file)
    }
}

/// The sha256 that the hub announced for the file at `path` of a cache, if it announced one: large files are stored under it.
pub fn announced_digest(path: &Path) -> Option<String> {
    let blob = path.canonicalize().ok()?;
    let name = blob.file_name()?.to_str()?.to_ascii_lowercase();
    (name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())).then_some(name)
}

/// Whether the file has the head and the tail that its name `file` asks for: of a parquet file a fragment lacks one
/// of them. Other files pass.
fn is_whole(path: &Path, file: &str) -> bool {
    const SMALLEST: u64 = 12; // magic, length of the footer, magic
    let magic = |from: SeekFrom| {
        let mut bytes = [0; 4];
        let mut file = std::fs::File::open(path)?;
        file.seek(from)?;
        file.read_exact(&mut bytes)?;
        std::io::Result::Ok(bytes == *b"PAR1")
    };
    !file.ends_with(".parquet")
        || (matches!(magic(SeekFrom::Start(0)), Ok(true))
            && matches!(magic(SeekFrom::End(-4)), Ok(true))
            && std::fs::metadata(path).is_ok_and(|file| file.len() >= SMALLEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(variables: &'static [(&str, &str)]) -> Hub {
        Hub::from_variables(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_are_read_as_the_python_client_does() {
        let plain = hub(&[("HOME", "/home/a")]);
        assert_eq!(plain.cache, Path::new("/home/a/.cache/huggingface/hub"));
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert!(!plain.offline && plain.token.is_none());

        let set = hub(&[
            ("HOME", "/home/a"),
            ("HF_HOME", "/data/hf"),
            ("HF_ENDPOINT", "https://mirror.example/"),
            ("HF_TOKEN", " hf_secret\n"),
            ("HF_HUB_OFFLINE", "True"),
        ]);
        assert_eq!(set.cache, Path::new("/data/hf/hub"));
        assert_eq!(set.endpoint, "https://mirror.example");
        assert_eq!(set.token.as_deref(), Some("hf_secret"));
        assert!(set.offline);
        assert!(!format!("{set:?}").contains("secret"));
        assert!(!hub(&[("HF_HUB_OFFLINE", "0")]).offline);
        assert!(hub(&[("HF_TOKEN", "")]).token.is_none());
    }
}
