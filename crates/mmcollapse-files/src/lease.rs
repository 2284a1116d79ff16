//! Leases: claims by files that are created exclusively, where the system's locks cannot be trusted.
//!
//! `NAME.lease-1`, `NAME.lease-2`, ...: who creates the file of the highest number holds the lease; that creation succeeds
//! for one process, whatever the file system. The holder writes to the file again and again, so that the file server dates
//! it. A lease is free when its file says so, when its holder is known to have ended (a process of the same machine and
//! boot), or when the holder was silent for too long, by the file server's clock on both sides. A new holder removes lower
//! numbers and leaves the highest in place for ever: if numbers came round again, somebody slow could take one for new.
//!
//! A holder that was silent and comes back sees a higher number and has lost its lease. What it wrote by then must do no
//! harm; hence it looks again before it writes what only the holder may.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use super::holder::Holder;
use super::mode::options_in;
use super::temporary::temporary_beside;
use super::{folder_of, named};

/// Silence after which a holder counts as gone: file servers are out of reach for a minute now and then.
pub(super) const EXPIRY: Duration = Duration::from_mins(2);

/// Signs of life in that time.
const BEATS: u32 = 6;

/// What the file of a free lease says.
const FREE: &str = "free";

/// How often the highest number is looked for before somebody else is taken to have it.
const ATTEMPTS: usize = 3;

/// A lease that this process holds, kept alive by a thread.
#[derive(Debug)]
pub(super) struct Lease {
    file: Numbered,
    lost: Arc<AtomicBool>,
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

/// A lease's file.
#[derive(Clone, Debug)]
struct Numbered {
    /// The file that is locked.
    path: PathBuf,
    number: u64,
}

impl Lease {
    /// Takes the lease on `path`, or says who has it, if that is known.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn claim(path: &Path, expiry: Duration) -> io::Result<Result<Self, Option<Holder>>> {
        for _ in 0..ATTEMPTS {
            let highest = highest(path)?;
            if highest > 0 {
                match Numbered::new(path, highest).state(expiry)? {
                    State::Free => {}
                    State::Held(holder) => return Ok(Err(holder)),
                    // Removed by the holder of a higher number, which is to be looked for.
                    State::Gone => continue,
                }
            }
            let file = Numbered::new(path, highest + 1);
            if !file.create()? {
                continue;
            }
            // Somebody slow creates a number that is long gone.
            if self::highest(path)? > file.number {
                file.remove();
                continue;
            }
            for lower in numbers(path)?.into_iter().filter(|number| *number < file.number) {
                Numbered::new(path, lower).remove();
            }
            return Ok(Ok(Self::keep(file, expiry)));
        }
        Ok(Err(None))
    }

    fn keep(file: Numbered, expiry: Duration) -> Self {
        let lost = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = mpsc::channel::<()>();
        let keeper = {
            let (file, lost) = (file.clone(), Arc::clone(&lost));
            thread::spawn(move || {
                while matches!(stopped.recv_timeout(expiry / BEATS), Err(RecvTimeoutError::Timeout)) {
                    // A beat that fails is tried again: the server may come back before others lose patience.
                    if file.is_superseded() {
                        lost.store(true, Ordering::SeqCst);
                        break;
                    }
                    let _ = file.write(&Holder::here().to_string());
                }
            })
        };
        Self {
            file,
            lost,
            stop: Some(stop),
            keeper: Some(keeper),
        }
    }

    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    pub fn still_held(&self) -> bool {
        // Writing dates the file anew, so that nobody takes the lease in the next moment.
        !self.is_lost() && !self.file.is_superseded() && self.file.write(&Holder::here().to_string()).is_ok()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
        if !self.is_lost() {
            let _ = self.file.write(FREE);
        }
    }
}

/// Who holds the lease on `path`, if that can be read.
pub(super) fn holder(path: &Path) -> Option<Holder> {
    let place = Numbered::new(path, highest(path).ok()?).place();
    Holder::parse(&fs::read_to_string(place).ok()?)
}

enum State {
    Free,
    Held(Option<Holder>),
    Gone,
}

impl Numbered {
    fn new(path: &Path, number: u64) -> Self {
        Self {
            path: path.to_path_buf(),
            number,
        }
    }

    fn place(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        folder_of(&self.path).join(format!("{name}{MARK}{}", self.number))
    }

    /// Creates it for this process; false if somebody else has.
    fn create(&self) -> io::Result<bool> {
        let place = self.place();
        let created = options_in(folder_of(&place)).write(true).create_new(true).open(&place);
        match created {
            Ok(mut file) => {
                // Without the text nobody knows the holder, who holds it all the same.
                let _ = put(&mut file, &Holder::here().to_string());
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(named(&place, &error)),
        }
    }

    /// Writes to the file that is there.
    fn write(&self, text: &str) -> io::Result<()> {
        put(&mut OpenOptions::new().write(true).open(self.place())?, text)
    }

    fn remove(&self) {
        let _ = fs::remove_file(self.place());
    }

    /// Whether somebody holds a higher number. Not if the folder cannot be read: that says nothing.
    fn is_superseded(&self) -> bool {
        highest(&self.path).is_ok_and(|highest| highest != self.number)
    }

    fn state(&self, expiry: Duration) -> io::Result<State> {
        let place = self.place();
        let mut text = String::new();
        // Opening makes network file systems ask the server anew.
        let dated = File::open(&place).and_then(|mut file| {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            text = String::from_utf8_lossy(&bytes).into_owned();
            file.metadata()?.modified()
        });
        let dated = match dated {
            Ok(dated) => dated,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Gone),
            Err(error) => return Err(named(&place, &error)),
        };
        if text.trim() == FREE {
            return Ok(State::Free);
        }
        let holder = Holder::parse(&text);
        if holder.as_ref().is_some_and(Holder::is_gone) {
            return Ok(State::Free);
        }
        // The clock may have been set back: then the file is from the future and its holder alive.
        let silence = now_at(&place)?.duration_since(dated).unwrap_or_default();
        Ok(if silence > expiry {
            State::Free
        } else {
            State::Held(holder)
        })
    }
}

/// Between the name of what is locked and the number.
const MARK: &str = ".lease-";

/// The numbers of the leases on `path` that are there.
fn numbers(path: &Path) -> io::Result<Vec<u64>> {
    let folder = folder_of(path);
    let start = format!("{}{MARK}", path.file_name().unwrap_or_default().to_string_lossy());
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| named(folder, &error))? {
        let name = entry.map_err(|error| named(folder, &error))?.file_name();
        let number: Option<u64> = name.to_str().and_then(|name| name.strip_prefix(&start)?.parse().ok());
        numbers.extend(number);
    }
    Ok(numbers)
}

/// The highest of them; 0 if there is none.
fn highest(path: &Path) -> io::Result<u64> {
    Ok(numbers(path)?.into_iter().max().unwrap_or(0))
}

/// Replaces what the file says, so that the server dates it.
fn put(file: &mut File, text: &str) -> io::Result<()> {
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

/// What time the file server has: that of a file just written beside `place`.
fn now_at(place: &Path) -> io::Result<SystemTime> {
    let clock = temporary_beside(place, "file")?;
    let dated = options_in(folder_of(place))
        .write(true)
        .create(true)
        .truncate(true)
        .open(&clock)
        .and_then(|mut file| {
            put(&mut file, "now")?;
            file.metadata()?.modified()
        });
    let _ = fs::remove_file(&clock);
    dated.map_err(|error| named(&clock, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(10);

    fn claimed(path: &Path, expiry: Duration) -> Option<Lease> {
        Lease::claim(path, expiry).unwrap().ok()
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        (folder, path)
    }

    /// A lease of somebody else, who last wrote so long ago.
    fn foreign(path: &Path, number: u64, text: &str, silence: Duration) {
        let file = File::create(Numbered::new(path, number).place()).unwrap();
        (&file).write_all(text.as_bytes()).unwrap();
        file.set_modified(SystemTime::now() - silence).unwrap();
    }

    #[test]
    fn numbers_only_grow_and_one_file_stays() {
        let (_folder, path) = folder();
        for number in 1..4 {
            let lease = claimed(&path, LONG).unwrap();
            assert_eq!((lease.file.number, numbers(&path).unwrap()), (number, vec![number]));
            drop(lease);
            assert_eq!(numbers(&path).unwrap(), [number], "a free lease keeps its number");
        }
    }

    #[test]
    fn a_silent_holder_is_superseded_and_one_that_lives_is_not() {
        let (_folder, path) = folder();
        let elsewhere = "host=other machine=00000000 pid=1 started=1";
        foreign(&path, 7, elsewhere, Duration::from_secs(50));
        let holder = Lease::claim(&path, Duration::from_mins(1)).unwrap().unwrap_err();
        assert_eq!(holder.unwrap().host, "other");
        let lease = claimed(&path, Duration::from_secs(40)).unwrap();
        assert_eq!((lease.file.number, numbers(&path).unwrap()), (8, vec![8]));
        // From the future: clocks differ, so it is alive.
        drop(lease);
        let file = File::create(Numbered::new(&path, 9).place()).unwrap();
        (&file).write_all(elsewhere.as_bytes()).unwrap();
        file.set_modified(SystemTime::now() + LONG).unwrap();
        assert!(claimed(&path, Duration::from_millis(1)).is_none());
    }

    #[test]
    fn a_lease_without_a_holder_expires_as_well() {
        let (_folder, path) = folder();
        // Killed between the file's creation and its text.
        foreign(&path, 1, "", Duration::from_secs(50));
        assert!(claimed(&path, LONG).is_none());
        assert!(claimed(&path, Duration::from_secs(40)).is_some());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_lease_of_an_ended_process_of_this_machine_is_free_at_once() {
        let (_folder, path) = folder();
        let here = Holder::here();
        let gone = format!("host={} machine={} pid={} started=1", here.host, here.machine, here.pid);
        foreign(&path, 1, &gone, Duration::ZERO);
        assert_eq!(claimed(&path, LONG).unwrap().file.number, 2);
    }

    #[test]
    fn a_holder_keeps_its_lease_beyond_its_expiry() {
        let (_folder, path) = folder();
        let expiry = Duration::from_millis(400);
        let lease = claimed(&path, expiry).unwrap();
        let until = std::time::Instant::now() + expiry * 4;
        while std::time::Instant::now() < until {
            assert!(claimed(&path, expiry).is_none());
            thread::sleep(expiry / 10);
        }
        assert!(lease.still_held());
    }

    #[test]
    fn a_superseded_holder_knows_that_it_lost() {
        let (_folder, path) = folder();
        let lease = claimed(&path, Duration::from_millis(60)).unwrap();
        assert!(lease.still_held());
        foreign(&path, 2, "host=other machine=00000000 pid=1 started=1", Duration::ZERO);
        assert!(!lease.still_held());
        while !lease.is_lost() {
            thread::yield_now();
        }
        drop(lease);
        assert!(claimed(&path, LONG).is_none(), "the other's lease is as it was");
    }

    #[test]
    fn a_number_that_is_long_gone_is_given_back() {
        let (_folder, path) = folder();
        let holder = claimed(&path, LONG).unwrap();
        foreign(&path, 5, "host=other machine=00000000 pid=1 started=1", Duration::ZERO);
        // Somebody slow who saw number 1 free creates number 2: not the highest.
        let slow = Numbered::new(&path, 2);
        assert!(slow.create().unwrap());
        assert!(slow.is_superseded());
        drop(holder);
    }
}
