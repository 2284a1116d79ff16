//! One file over the network: asked for, transferred by `hf-hub`, checked, and only then put into the cache.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use hf_hub::Cache;
use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use indicatif::{ProgressBar, ProgressStyle};
use mmcollapse_nn::files::{AtomicFile, FileLock, write_atomic};
use sha2::{Digest, Sha256};

use super::announce::{Announced, announce, refusal};
use super::{Again, Hub, HubError, Remote, is_whole};
use crate::content::hex;

/// Downloads `remote` into the cache and returns its path there.
pub(super) fn download(hub: &Hub, remote: &Remote) -> Result<PathBuf, HubError> {
    let staging = hub.folder(remote).join("mmcollapse-partial");
    let unwritable = |error: io::Error| HubError::Cache {
        path: hub.cache.clone(),
        reason: error.to_string(),
    };
    let _lock = FileLock::acquire(&staging.with_extension("lock")).map_err(unwritable)?;
    // Another process may have finished it while this one waited.
    if let Some(path) = hub.cached(remote) {
        return Ok(path);
    }
    let mut answered = false;
    let staged = hub.patience.retry(hub.progress, || {
        let tried = attempt_download(hub, remote, &staging, &mut answered);
        tried.map_err(|error| {
            let again = again(&error, answered);
            (error, again)
        })
    })?;
    install(hub, remote, &staged, &staging).map_err(unwritable)
}

/// A hub that never answered is not there; one that did before may be back in a moment.
fn again(error: &HubError, answered: bool) -> Again {
    match error {
        HubError::NoNetwork { .. } if !answered => Again::No,
        HubError::Busy {
            retry_after: Some(asked),
            ..
        } => Again::After(*asked),
        error => Again::when(error.passes()),
    }
}

/// A checked file in the staging folder.
struct Staged {
    path: PathBuf,
    etag: String,
}

fn attempt_download(hub: &Hub, remote: &Remote, staging: &Path, answered: &mut bool) -> Result<Staged, HubError> {
    let cache = Cache::new(staging.to_owned());
    let api = ApiBuilder::from_cache(cache.clone())
        .with_endpoint(hub.endpoint.clone())
        .with_token(hub.token.clone())
        // hf-hub's own retry restarts a resumed file at byte 0 and appends; it is done in `download` instead.
        .with_retries(0)
        .build()
        .map_err(|error| HubError::NoNetwork {
            url: hub.endpoint.clone(),
            reason: error.to_string(),
        })?;
    let repo = api.repo(remote.repo());
    let url = repo.url(&remote.file);
    let announced = announce(hub, &repo, &url, answered)?;
    if announced.commit != remote.revision {
        return Err(HubError::Protocol {
            url,
            reason: format!("revision {} instead of {}", announced.commit, remote.revision),
        });
    }
    let blob = cache.repo(remote.repo()).blob_path(&announced.etag);
    let part = blob.with_extension("part");
    // hf-hub fails over a dangling link of an earlier try, and over a partial file that needs no further byte.
    let _ = fs::remove_dir_all(staging.join(remote.repo().folder_name()).join("snapshots"));
    if length(&part).is_some_and(|have| have >= announced.size) {
        let _ = fs::remove_file(&part);
    }
    if length(&blob) != Some(announced.size) {
        transfer(hub, repo, remote, &url, &announced, &part)?;
    }
    check(&url, &announced, &blob, &part, remote)?;
    Ok(Staged {
        path: blob,
        etag: announced.etag,
    })
}

fn length(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|file| file.len())
}

/// Lets hf-hub transfer the file, in a thread so that silence can be noticed.
fn transfer(
    hub: &Hub,
    repo: ApiRepo,
    remote: &Remote,
    url: &str,
    announced: &Announced,
    part: &Path,
) -> Result<(), HubError> {
    const TICK: Duration = Duration::from_millis(200);
    let received = Arc::new(AtomicU64::new(0));
    let meter = Meter {
        received: Arc::clone(&received),
        bar: hub.progress.then(|| bar(announced.size)),
    };
    let broken = |reason: String| HubError::Truncated {
        url: url.to_owned(),
        got: length(part).unwrap_or(0),
        expected: announced.size,
        reason,
    };
    let (sender, receiver) = mpsc::channel();
    let file = remote.file.clone();
    thread::spawn(move || {
        let _ = sender.send(repo.download_with_progress(&file, meter));
    });
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        match receiver.recv_timeout(TICK.min(hub.patience.silence)) {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => return Err(explain(error, url, hub, broken)),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(HubError::Protocol {
                    url: url.to_owned(),
                    reason: "hf-hub could not make sense of it".into(),
                });
            }
            Err(RecvTimeoutError::Timeout) => {
                let now = received.load(Ordering::Relaxed);
                if now != seen {
                    (seen, since) = (now, Instant::now());
                } else if since.elapsed() > hub.patience.silence {
                    let seconds = hub.patience.silence.as_secs();
                    return Err(HubError::Silent {
                        url: url.to_owned(),
                        seconds,
                    });
                }
            }
        }
    }
}

/// What hf-hub's error means here.
fn explain(error: ApiError, url: &str, hub: &Hub, broken: impl Fn(String) -> HubError) -> HubError {
    match error {
        ApiError::RequestError(error) => {
            let text = error.to_string();
            let status = text.strip_prefix("http status: ").and_then(|s| s.parse().ok());
            let refused = status.and_then(|status| refusal(status, None, url, hub.token.is_some()));
            refused.unwrap_or_else(|| broken(text))
        }
        ApiError::IoError(error) if error.kind() == io::ErrorKind::StorageFull => HubError::Cache {
            path: hub.cache.clone(),
            reason: error.to_string(),
        },
        ApiError::IoError(error) => broken(error.to_string()),
        other => HubError::Protocol {
            url: url.to_owned(),
            reason: other.to_string(),
        },
    }
}

/// Whether the staged file is what the hub announced; if not, it is put back as partial or thrown away.
fn check(url: &str, announced: &Announced, blob: &Path, part: &Path, remote: &Remote) -> Result<(), HubError> {
    let url = url.to_owned();
    let got = length(blob).unwrap_or(0);
    if got < announced.size {
        // hf-hub takes a short answer for the file; what came is still its beginning.
        let _ = fs::read(blob).and_then(|bytes| write_atomic(part, &bytes));
        let _ = fs::remove_file(blob);
        let reason = "the server sent less than it announced".into();
        return Err(HubError::Truncated {
            url,
            got,
            expected: announced.size,
            reason,
        });
    }
    let expected = announced.etag.clone();
    let is_sha256 = expected.len() == 64 && expected.bytes().all(|b| b.is_ascii_hexdigit());
    let sha256 = fs::File::open(blob).and_then(|mut file| {
        let mut hash = Sha256::new();
        io::copy(&mut file, &mut hash)?;
        Ok(hex(&hash.finalize()))
    });
    let got = sha256.map_err(|error| HubError::Cache {
        path: blob.to_owned(),
        reason: error.to_string(),
    })?;
    // Small files carry a git hash instead, of another kind; they are judged by length and form.
    let longer = length(blob) != Some(announced.size);
    if longer || (is_sha256 && got != expected.to_ascii_lowercase()) {
        let _ = fs::remove_file(blob);
        return Err(HubError::WrongDigest { url, got, expected });
    }
    if !is_whole(blob, &remote.file) {
        let _ = fs::remove_file(blob);
        return Err(HubError::Protocol {
            url,
            reason: "not a parquet file".into(),
        });
    }
    Ok(())
}

/// Moves a checked file into the cache: blob first, then the link that makes it visible.
fn install(hub: &Hub, remote: &Remote, staged: &Staged, staging: &Path) -> io::Result<PathBuf> {
    let cache = Cache::new(hub.cache.clone()).repo(remote.repo());
    let blob = cache.blob_path(staged.etag.trim_start_matches("W/"));
    let pointer = hub.pointer(remote);
    copy(&staged.path, &blob)?;
    if let Some(parent) = pointer.parent() {
        fs::create_dir_all(parent)?;
    }
    // What is there is a fragment or a dangling link, else nothing would have been downloaded.
    let _ = fs::remove_file(&pointer);
    if link(&blob, &pointer, remote).is_err() {
        copy(&staged.path, &pointer)?;
    }
    write_atomic(
        &hub.folder(remote).join("refs").join(&remote.revision),
        remote.revision.as_bytes(),
    )?;
    // Leftovers only cost room.
    let _ = fs::remove_dir_all(staging);
    Ok(pointer)
}

/// Copies a file, whole or not at all.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut file = AtomicFile::create(to)?;
    io::copy(&mut fs::File::open(from)?, &mut file)?;
    file.commit()
}

/// A relative link to the blob, as the hub's clients make it.
#[cfg(unix)]
fn link(blob: &Path, pointer: &Path, remote: &Remote) -> io::Result<()> {
    let mut target = PathBuf::new();
    for _ in 0..=Path::new(&remote.file).components().count() {
        target.push("..");
    }
    target.push("blobs");
    target.push(blob.file_name().unwrap_or_default());
    std::os::unix::fs::symlink(&target, pointer)
}

/// Links need privileges elsewhere; the file itself takes the link's place, as the hub's clients do then.
#[cfg(not(unix))]
fn link(_: &Path, _: &Path, _: &Remote) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A bar for a file of `size` bytes.
pub(crate) fn bar(size: u64) -> ProgressBar {
    if mmcollapse_nn::output::is_plain() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} ({eta})");
    ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Counts what comes in, for the bar and for the watch over silence.
struct Meter {
    received: Arc<AtomicU64>,
    bar: Option<ProgressBar>,
}

impl Progress for Meter {
    fn init(&mut self, size: usize, filename: &str) {
        if let Some(bar) = &self.bar {
            bar.set_length(size as u64);
            bar.set_position(0);
            bar.set_message(filename.to_owned());
        }
    }

    fn update(&mut self, size: usize) {
        self.received.fetch_add(size as u64, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc(size as u64);
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}
