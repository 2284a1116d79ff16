//! One file over the network: asked for, transferred, checked, and only then put into the cache.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use hf_hub::Cache;
use indicatif::{ProgressBar, ProgressStyle};
use mmcollapse_files::{AtomicFile, FileLock, PartFile, hex, write_atomic};
use sha2::{Digest, Sha256};

use super::address::{redacted, shown};
use super::announce::{Announced, announce};
use super::request::{Client, header};
use super::{Again, Hub, HubError, Remote, is_whole};

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
    let client = Client::new(hub)?;
    let url = hub.address(remote);
    let announced = announce(&client, &url, answered)?;
    if announced.commit != remote.revision {
        return Err(HubError::Protocol {
            url: shown(&url),
            reason: format!("revision {} instead of {}", announced.commit, remote.revision),
        });
    }
    let cache = Cache::new(staging.to_owned()).repo(remote.repo());
    let part = cache.blob_path(&announced.etag).with_extension("part");
    if length(&part) != Some(announced.size) {
        transfer(&client, hub, remote, &url, &announced, &part)?;
    }
    check(&url, &announced, &part, remote)?;
    Ok(Staged {
        path: part,
        etag: announced.etag,
    })
}

fn length(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|file| file.len())
}

/// Loads what is missing of the file into `part`, and never more than was announced.
fn transfer(
    client: &Client<'_>,
    hub: &Hub,
    remote: &Remote,
    url: &str,
    announced: &Announced,
    part: &Path,
) -> Result<(), HubError> {
    let unwritable = |error: io::Error| HubError::Cache {
        path: hub.cache.clone(),
        reason: error.to_string(),
    };
    let have = length(part).filter(|have| *have < announced.size).unwrap_or(0);
    let mut answer = client.get(url, &format!("bytes={have}-"), |_| {})?;
    let start = if answer.status().as_u16() == 206 {
        let range = header(&answer, "Content-Range").unwrap_or_default();
        let first = range.trim_start_matches("bytes").trim_start().split('-').next();
        if first.and_then(|first| first.parse().ok()) != Some(have) {
            return Err(HubError::Protocol {
                url: shown(url),
                reason: format!("a part of the file that does not begin at byte {have}, which was asked for"),
            });
        }
        have
    } else {
        // The server sends all of it, whatever was asked for.
        0
    };
    let mut file = PartFile::open(part, start).map_err(unwritable)?;
    let bar = hub.progress.then(|| bar(announced.size));
    if let Some(bar) = &bar {
        bar.set_message(remote.file.clone());
        bar.set_position(start);
    }
    let mut body = answer.body_mut().as_reader();
    let mut buffer = vec![0; 1 << 16];
    let mut got = start;
    loop {
        let n = match body.read(&mut buffer) {
            Ok(n) => n,
            Err(error) => {
                file.finish().map_err(unwritable)?;
                return Err(broken(&error, hub, url, got, announced.size));
            }
        };
        if n == 0 {
            break;
        }
        got += n as u64;
        if got > announced.size {
            drop(file);
            let _ = fs::remove_file(part);
            return Err(HubError::TooLarge {
                url: shown(url),
                most: announced.size,
            });
        }
        file.write_all(&buffer[..n]).map_err(unwritable)?;
        if let Some(bar) = &bar {
            bar.inc(n as u64);
        }
    }
    file.finish().map_err(unwritable)?;
    if let Some(bar) = bar {
        bar.finish();
    }
    if got < announced.size {
        return Err(HubError::Truncated {
            url: shown(url),
            got,
            expected: announced.size,
            reason: "the server sent less than it announced".into(),
        });
    }
    Ok(())
}

/// What it means that nothing more can be read.
fn broken(error: &io::Error, hub: &Hub, url: &str, got: u64, expected: u64) -> HubError {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<ureq::Error>());
    if matches!(cause, Some(ureq::Error::Timeout(_))) || error.kind() == io::ErrorKind::TimedOut {
        return HubError::Silent {
            url: shown(url),
            seconds: hub.patience.silence.as_secs(),
        };
    }
    HubError::Truncated {
        url: shown(url),
        got,
        expected,
        reason: redacted(&error.to_string()),
    }
}

/// Whether the staged file is what the hub announced; if not, it is thrown away.
fn check(url: &str, announced: &Announced, part: &Path, remote: &Remote) -> Result<(), HubError> {
    let url = shown(url);
    let expected = announced.etag.clone();
    let is_sha256 = expected.len() == 64 && expected.bytes().all(|b| b.is_ascii_hexdigit());
    let sha256 = fs::File::open(part).and_then(|mut file| {
        let mut hash = Sha256::new();
        io::copy(&mut file, &mut hash)?;
        Ok(hex(&hash.finalize()))
    });
    let got = sha256.map_err(|error| HubError::Cache {
        path: part.to_owned(),
        reason: error.to_string(),
    })?;
    // Small files carry a git hash instead, of another kind; they are judged by length and form.
    if is_sha256 && got != expected.to_ascii_lowercase() {
        let _ = fs::remove_file(part);
        return Err(HubError::WrongDigest { url, got, expected });
    }
    if !is_whole(part, &remote.file) {
        let _ = fs::remove_file(part);
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
    if mmcollapse_files::output::is_plain() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} ({eta})");
    ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
