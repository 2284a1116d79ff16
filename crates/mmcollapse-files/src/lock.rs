//! Locks between processes: the system's where they can be trusted, leases elsewhere.
//!
//! The system's locks (`flock` and its kin) end with the process that holds them. On network file systems they may fail,
//! do nothing, or hold on one machine only (NFS without its lock daemon, Lustre, GPFS), and no test on one machine shows
//! which. Hence they are used on file systems that are known to be local, and only after a second lock of the same file was
//! refused; everywhere else the work is claimed by a lease (see [`lease`](super::lease)). `MMCOLLAPSE_LOCKS` overrides:
//! `flock`, `lease`, or `lease:SECONDS` of silence after which a holder counts as gone. All processes that share a folder
//! must have it alike.

use std::fs::{self, File, TryLockError};
use std::io::{self, Seek, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::holder::Holder;
use super::lease::{self, Lease};
use super::mode::{create_folders, options_in};
use super::{folder_of, named};

/// Says how processes exclude each other, where the file system's kind is not to decide.
const VARIABLE: &str = "MMCOLLAPSE_LOCKS";

/// A wait that lasts longer is told.
const PATIENCE: Duration = Duration::from_secs(2);

/// Pauses between two looks at a lock that another holds: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// File systems of one machine, whose locks the kernel keeps itself.
const LOCAL: [&str; 22] = [
    "aufs", "apfs", "bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "hfsplus", "jfs",
    "nilfs2", "ntfs3", "overlay", "ramfs", "reiserfs", "tmpfs", "vfat", "xfs", "zfs",
];

/// A lock on a file, held until dropped or until the process ends, however it ends.
///
/// The file itself stays: removing it would let two processes hold a lock of the same name on two files.
#[derive(Debug)]
pub struct FileLock(Held);

#[derive(Debug)]
enum Held {
    System(File),
    Lease(Lease),
}

/// How processes exclude each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Means {
    System,
    /// With the silence after which a holder counts as gone.
    Lease(Duration),
}

/// What became of an attempt.
enum Attempt {
    Held(FileLock),
    /// Another has it; who, where that is known.
    Busy(Option<Holder>),
}

impl FileLock {
    /// Waits for the lock on `path`; the file and its folders are created where missing. A wait of more than two seconds is
    /// told on standard error.
    ///
    /// # Errors
    /// Whatever the file system says, with `path` in the message.
    pub fn acquire(path: &Path) -> io::Result<Self> {
        let means = means(path)?;
        Self::wait(path, means, PATIENCE, &mut |text| {
            // A closed standard error is no reason to stop.
            let _ = writeln!(io::stderr(), "{text}");
        })
    }

    /// Takes the lock on `path` if nobody holds it, else `None`.
    ///
    /// # Errors
    /// Whatever the file system says, with `path` in the message.
    pub fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        Ok(match attempt(path, means(path)?)? {
            Attempt::Held(lock) => Some(lock),
            Attempt::Busy(_) => None,
        })
    }

    /// Who holds the lock on `path`, in words, as far as that is known.
    pub fn holder(path: &Path) -> String {
        words(lease::holder(path).or_else(|| read_holder(path)).as_ref())
    }

    /// Whether it has been lost: a lease whose holder was silent for too long (its machine slept, or the file server was not
    /// there) goes to another. Cheap to ask.
    pub fn is_lost(&self) -> bool {
        match &self.0 {
            Held::System(_) => false,
            Held::Lease(lease) => lease.is_lost(),
        }
    }

    /// Whether it is held now, by a look at the file: to be asked before something is written that only its holder may.
    pub fn still_held(&self) -> bool {
        match &self.0 {
            Held::System(_) => true,
            Held::Lease(lease) => lease.still_held(),
        }
    }

    pub(super) fn wait(path: &Path, means: Means, patience: Duration, tell: &mut dyn FnMut(&str)) -> io::Result<Self> {
        let since = Instant::now();
        let (mut pause, longest) = PAUSES;
        let mut told = false;
        loop {
            let holder = match attempt(path, means)? {
                Attempt::Held(lock) => return Ok(lock),
                Attempt::Busy(holder) => holder,
            };
            if !told && since.elapsed() >= patience {
                let holder = words(holder.as_ref());
                tell(&format!("waiting for {}, which {holder} holds", path.display()));
                told = true;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(longest);
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        if let Held::System(file) = &self.0 {
            // Closing the file releases the lock as well; this only makes it immediate where a child process
            // inherited the descriptor.
            let _ = file.unlock();
        }
    }
}

fn attempt(path: &Path, means: Means) -> io::Result<Attempt> {
    create_folders(folder_of(path))?;
    let expiry = match means {
        Means::System => match by_system(path)? {
            Some(attempt) => return Ok(attempt),
            None => lease::EXPIRY,
        },
        Means::Lease(expiry) => expiry,
    };
    Ok(match Lease::claim(path, expiry)? {
        Ok(lease) => Attempt::Held(FileLock(Held::Lease(lease))),
        Err(holder) => Attempt::Busy(holder),
    })
}

/// None where the system's locks fail, or do not exclude.
fn by_system(path: &Path) -> io::Result<Option<Attempt>> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Ok(Some(Attempt::Busy(read_holder(path))));
        }
        Err(TryLockError::Error(error)) if has_no_locks(&error) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(named(path, &error)),
    }
    if !matches!(open(path)?.try_lock(), Err(TryLockError::WouldBlock)) {
        return Ok(None);
    }
    // For those who wait; the lock does not need it.
    let mut writer = &file;
    let _ = file
        .set_len(0)
        .and_then(|()| writer.rewind())
        .and_then(|()| writeln!(writer, "{}", Holder::here()));
    Ok(Some(Attempt::Held(FileLock(Held::System(file)))))
}

fn read_holder(path: &Path) -> Option<Holder> {
    Holder::parse(&fs::read_to_string(path).ok()?)
}

fn words(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "another process".to_owned(), Holder::words)
}

/// Whether the error means that there are no locks here (ENOSYS, ENOTSUP, ENOLCK), not that one is held.
fn has_no_locks(error: &io::Error) -> bool {
    const ENOLCK: i32 = if cfg!(target_os = "linux") { 37 } else { 77 };
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(ENOLCK)
}

fn open(path: &Path) -> io::Result<File> {
    options_in(folder_of(path))
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| named(path, &error))
}

/// How processes exclude each other at `path`.
fn means(path: &Path) -> io::Result<Means> {
    match std::env::var_os(VARIABLE) {
        Some(asked) => {
            let asked = asked.to_string_lossy();
            asked_for(&asked).ok_or_else(|| {
                let what = format!("{VARIABLE} is `{asked}`, expected `flock`, `lease` or `lease:SECONDS`");
                io::Error::new(io::ErrorKind::InvalidInput, what)
            })
        }
        None => Ok(by_kind(path)),
    }
}

fn asked_for(text: &str) -> Option<Means> {
    match text {
        "flock" => Some(Means::System),
        "lease" => Some(Means::Lease(lease::EXPIRY)),
        _ => {
            let seconds: f64 = text.strip_prefix("lease:")?.parse().ok()?;
            let expiry = Duration::try_from_secs_f64(seconds).ok()?;
            (!expiry.is_zero()).then_some(Means::Lease(expiry))
        }
    }
}

/// Leases on every file system that is not known to be of one machine. Where the system does not say what is mounted (it is
/// not Linux), its locks are trusted if they exclude.
fn by_kind(path: &Path) -> Means {
    let nearest = folder_of(path)
        .ancestors()
        .find_map(|folder| folder.canonicalize().ok());
    let mounts = fs::read_to_string("/proc/self/mountinfo");
    match (nearest, mounts) {
        (Some(folder), Ok(mounts)) if !is_local(&mounts, &folder) => Means::Lease(lease::EXPIRY),
        _ => Means::System,
    }
}

/// Whether `folder` lies on a file system of one machine, by the text of `mountinfo` (`man 5 proc`).
fn is_local(mounts: &str, folder: &Path) -> bool {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let (Some(place), Some(kind)) = (left.split(' ').nth(4), right.split(' ').next()) else {
            continue;
        };
        let place = unescaped(place);
        // A later mount hides an earlier one in the same place.
        if folder.starts_with(&place) && best.is_none_or(|(length, _)| length <= place.len()) {
            best = Some((place.len(), kind));
        }
    }
    best.is_some_and(|(_, kind)| LOCAL.contains(&kind))
}

/// Space, tab, line break and backslash stand as `\040` and so on.
fn unescaped(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    let all = escapes.iter();
    all.fold(text.to_owned(), |text, (escape, character)| {
        text.replace(escape, character)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEANS: [Means; 2] = [Means::System, Means::Lease(Duration::from_mins(1))];

    fn taken(path: &Path, means: Means) -> Option<FileLock> {
        match attempt(path, means).unwrap() {
            Attempt::Held(lock) => Some(lock),
            Attempt::Busy(_) => None,
        }
    }

    #[test]
    fn a_lock_has_one_holder() {
        for means in MEANS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("locks/lock");
            let held = taken(&path, means).unwrap();
            assert!(taken(&path, means).is_none(), "{means:?}");
            assert!(taken(&folder.path().join("locks/other"), means).is_some(), "{means:?}");
            assert!(held.still_held() && !held.is_lost(), "{means:?}");
            drop(held);
            assert!(taken(&path, means).is_some(), "{means:?}");
        }
    }

    #[test]
    fn of_many_threads_one_holds_it_at_a_time() {
        for means in MEANS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("lock");
            let count = folder.path().join("count");
            fs::write(&count, "0").unwrap();
            thread::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|| {
                        for _ in 0..5 {
                            let _lock = FileLock::wait(&path, means, PATIENCE, &mut |_| ()).unwrap();
                            let before: u32 = fs::read_to_string(&count).unwrap().parse().unwrap();
                            thread::yield_now();
                            fs::write(&count, (before + 1).to_string()).unwrap();
                        }
                    });
                }
            });
            assert_eq!(fs::read_to_string(&count).unwrap(), "30", "{means:?}");
        }
    }

    #[test]
    fn a_long_wait_says_for_which_file_and_for_whom() {
        for means in MEANS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("lock");
            let held = taken(&path, means).unwrap();
            let (sender, said) = std::sync::mpsc::channel();
            thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    let mut tell = move |text: &str| sender.send(text.to_owned()).unwrap();
                    FileLock::wait(&path, means, Duration::from_millis(30), &mut tell).unwrap()
                });
                let text = said.recv().unwrap();
                assert!(text.contains(&path.display().to_string()), "{text}");
                assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
                drop(held);
                waiter.join().unwrap();
            });
            assert!(said.recv().is_err(), "said once");
        }
    }

    #[test]
    fn only_known_local_file_systems_are_trusted() {
        let mounts = "\
            22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            23 22 0:40 / /home rw - nfs4 server:/home rw,local_lock=none\n\
            24 23 0:41 / /home/scratch\\040disk rw master:1 - xfs /dev/sdb rw\n\
            25 22 0:42 / /lustre rw - lustre mds:/fs rw,localflock\n\
            26 22 0:43 / /gpfs rw - gpfs gpfs rw\n\
            27 22 0:44 / /share rw - cifs //server/share rw\n\
            28 22 0:45 / /mnt rw - fuse.sshfs host: rw\n\
            29 22 0:46 / /late rw - ext4 /dev/sdc rw\n\
            30 29 0:47 / /late rw - beegfs_nodev beegfs rw\n";
        for (folder, local) in [
            ("/", true),
            ("/var/tmp", true),
            ("/homestead", true),
            ("/home/someone", false),
            ("/home/scratch disk/runs", true),
            ("/lustre/runs", false),
            ("/gpfs", false),
            ("/share", false),
            ("/mnt/a", false),
            ("/late/runs", false),
        ] {
            assert_eq!(is_local(mounts, Path::new(folder)), local, "{folder}");
        }
        assert!(!is_local("", Path::new("/")));
    }

    #[test]
    fn the_variable_is_read_or_refused() {
        assert_eq!(asked_for("flock"), Some(Means::System));
        assert_eq!(asked_for("lease"), Some(Means::Lease(lease::EXPIRY)));
        assert_eq!(asked_for("lease:2.5"), Some(Means::Lease(Duration::from_millis(2500))));
        for wrong in ["", "none", "lease:", "lease:-1", "lease:0", "lease:x", "lease:inf"] {
            assert_eq!(asked_for(wrong), None, "{wrong}");
        }
    }
}
