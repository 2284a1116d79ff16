//! Files of the Hugging Face hub, at pinned revisions, in the cache that all its clients share.
//!
//! The cache's layout is `hf-hub`'s. Its transfer is not used: it sends the token to whatever host a redirect names, trusts
//! whatever length arrives, appends to a partial file even if the server starts over, and knows neither offline mode nor
//! `Retry-After` nor a time limit. A file is loaded into a folder beside the blobs (`transfer`) and enters the cache by a
//! rename once its length and digest are what the hub announced: whoever reads the cache, and whenever this process is
//! killed, a file there is whole.
//!
//! Environment, as the Python client reads it (huggingface_hub, `constants.py` and `utils/_auth.py`); the first that is set
//! counts:
//!
//! | what | variables |
//! |---|---|
//! | home | `HF_HOME`, `$XDG_CACHE_HOME/huggingface`, `~/.cache/huggingface` |
//! | cache | `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `hub` below home |
//! | token | none where `HF_HUB_DISABLE_IMPLICIT_TOKEN`; `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, the file `HF_TOKEN_PATH`, the file `token` below home |
//! | offline | `HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE`, where `1`, `on`, `yes` or `true` in any case are yes |
//! | mirror | `HF_ENDPOINT` |
//!
//! Paths may begin with `~` and hold `$NAME`. Unlike there, a variable that is set to nothing is not set.

mod address;
mod announce;
mod error;
mod patience;
mod probe;
mod request;
mod transfer;

use std::ffi::OsString;
use std::fmt;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};

use crate::caps;
use crate::environment::{self, Environment};
pub(crate) use address::redacted;
pub use error::HubError;
pub(crate) use patience::Again;
pub use patience::Patience;
pub(crate) use transfer::bar;

/// Most bytes of a file that holds a token.
const LONGEST_TOKEN: u64 = 4096;

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
    /// Sent with every request to the endpoint's scheme, host and port, and to no other that it redirects to.
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
            .field("endpoint", &address::shown(&self.endpoint))
            .field("token", &self.token.as_ref().map(|_| "(set)"))
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// As the environment says; see the module's documentation.
    pub fn from_env() -> Self {
        Self::of(&environment::process())
    }

    /// As the variables that `get` knows say.
    pub fn from_variables<V: Into<OsString>>(get: impl Fn(&str) -> Option<V>) -> Self {
        Self::of(&Environment::of(|name: &str| get(name).map(Into::into)))
    }

    fn of(environment: &Environment<impl Fn(&str) -> Option<OsString>>) -> Self {
        let path = |name: &str| environment.path_of_variables(name);
        let home = path("HF_HOME").unwrap_or_else(|| {
            let caches = path("XDG_CACHE_HOME");
            let caches = caches.unwrap_or_else(|| environment.home().unwrap_or_default().join(".cache"));
            caches.join("huggingface")
        });
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let truth = |name: &str| {
            let word = environment.text(name)?.to_lowercase();
            Some(["1", "true", "yes", "on"].contains(&word.as_str()))
        };
        let token = || {
            let set = environment
                .text("HF_TOKEN")
                .or_else(|| environment.text("HUGGING_FACE_HUB_TOKEN"));
            set.or_else(|| {
                let file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
                let token = String::from_utf8(caps::read(&file, LONGEST_TOKEN).ok()?).ok()?;
                Some(token.trim().to_owned()).filter(|token| !token.is_empty())
            })
        };
        let no_token = truth("HF_HUB_DISABLE_IMPLICIT_TOKEN").unwrap_or(false);
        let endpoint = environment.text("HF_ENDPOINT");
        let endpoint = endpoint.unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: if no_token { None } else { token() },
            offline: truth("HF_HUB_OFFLINE")
                .or_else(|| truth("TRANSFORMERS_OFFLINE"))
                .unwrap_or(false),
            progress: false,
            patience: Patience::default(),
            cache: cache.unwrap_or_else(|| home.join("hub")),
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

    /// The address that `remote` is loaded from.
    fn address(&self, remote: &Remote) -> String {
        let repo = remote.repo();
        let (kind, revision) = (repo.url(), repo.url_revision());
        format!("{}/{kind}/resolve/{revision}/{}", self.endpoint, remote.file)
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

    fn hub(variables: &[(&str, &str)]) -> Hub {
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
            ("XDG_CACHE_HOME", "/data/xdg"),
            ("HF_ENDPOINT", "https://u:password@mirror.example/"),
            ("HF_TOKEN", " hf_secret\n"),
            ("HF_HUB_OFFLINE", "True"),
        ]);
        assert_eq!(set.cache, Path::new("/data/hf/hub"));
        assert_eq!(set.endpoint, "https://u:password@mirror.example");
        assert_eq!(set.token.as_deref(), Some("hf_secret"));
        assert!(set.offline);
        let shown = format!("{set:?}");
        assert!(!shown.contains("secret") && !shown.contains("password"), "{shown}");
        assert!(hub(&[("HF_TOKEN", "")]).token.is_none());
    }
    // python3 -c 'from huggingface_hub import constants as c; print(c.HF_HUB_CACHE, c.HF_TOKEN_PATH, c.HF_HUB_OFFLINE)'
    #[test]
    fn the_caches_variables_have_the_python_clients_order() {
        let cache = |variables: &[(&str, &str)]| hub(variables).cache;
        let (home, xdg) = (("HOME", "/home/a"), ("XDG_CACHE_HOME", "/x"));
        assert_eq!(cache(&[home, xdg]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[home, xdg, ("HF_HOME", "~/hf")]), Path::new("/home/a/hf/hub"));
        let legacy = ("HUGGINGFACE_HUB_CACHE", "$HOME/legacy");
        assert_eq!(cache(&[home, ("HF_HOME", "/hf"), legacy]), Path::new("/home/a/legacy"));
        assert_eq!(cache(&[home, legacy, ("HF_HUB_CACHE", "/new")]), Path::new("/new"));
        assert_eq!(
            cache(&[home, ("HF_HOME", "")]),
            Path::new("/home/a/.cache/huggingface/hub")
        );
    }

    #[test]
    fn offline_is_said_by_either_variable() {
        let offline = |variables: &[(&str, &str)]| hub(variables).offline;
        assert!(offline(&[("TRANSFORMERS_OFFLINE", "yes")]));
        assert!(offline(&[("HF_HUB_OFFLINE", ""), ("TRANSFORMERS_OFFLINE", "ON")]));
        assert!(!offline(&[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")]));
        assert!(!offline(&[("HF_HUB_OFFLINE", "2")]) && !offline(&[]));
    }

    #[test]
    fn the_token_may_stand_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            mmcollapse_files::write_atomic(&path, text.as_bytes()).unwrap();
            path.into_os_string()
        };
        write("token", "hf_home\n");
        let other = write("other", "hf_other");
        let of = |more: &[(&str, &str)], path: bool| {
            let hub = Hub::from_variables(|name| {
                let found = more.iter().find(|(key, _)| *key == name);
                match name {
                    "HF_HOME" => Some(folder.path().as_os_str().to_owned()),
                    "HF_HUB_CACHE" => Some(OsString::from("/elsewhere/cache")),
                    "HF_TOKEN_PATH" if path => Some(other.clone()),
                    _ => found.map(|(_, value)| OsString::from(value)),
                }
            });
            hub.token
        };
        assert_eq!(of(&[], false).unwrap(), "hf_home");
        assert_eq!(of(&[], true).unwrap(), "hf_other");
        assert_eq!(of(&[("HUGGING_FACE_HUB_TOKEN", "hf_old")], true).unwrap(), "hf_old");
        assert_eq!(
            of(&[("HF_TOKEN", "hf_new"), ("HUGGING_FACE_HUB_TOKEN", "hf_old")], true).unwrap(),
            "hf_new"
        );
        assert_eq!(
            of(&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"), ("HF_TOKEN", "hf_new")], true),
            None
        );
    }
}
