//! The one place that writes files.
//!
//! A file is written whole or not at all: into a temporary file beside the target, synced to the disk, renamed
//! over the target, and the folder synced. A reader therefore sees the old content or the new one, never a
//! part, whenever the process is killed. Logs that grow line by line are the exception ([`LineFile`]): their
//! last line may be torn and readers have to ignore it.
//!
//! A killed process leaves its temporary file; the first write into the folder by a later one sweeps it. What is made
//! inside of a private folder (0700) is private as well, whatever the umask. Clippy's `disallowed-methods` keeps every
//! other way of writing a file out of the workspace.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the module that the others have to use instead"
)]

mod holder;
mod lease;
mod lock;
mod mode;
pub mod output;
mod temporary;
mod text;

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

pub use lock::FileLock;
pub use mode::private_folder;
pub use temporary::sweep_temporaries;
pub use text::{duration_text, hex, plain_words, sha256};

use mode::{create_folders, options_in};
use temporary::{sweep_abandoned, temporary_beside};

/// Writes `bytes` to `path`, whole or not at all; missing parent folders are created.
///
/// # Errors
/// Whatever the file system says, with `path` in the message. The previous content of `path` is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(|error| named(path, &error))?;
    file.commit()
}

/// A file that comes into being at [`AtomicFile::commit`]; dropped before that, it leaves nothing.
///
/// Use it where the content is produced piece by piece (a Parquet table, a safetensors file).
#[derive(Debug)]
pub struct AtomicFile {
    target: PathBuf,
    temporary: PathBuf,
    writer: Option<BufWriter<File>>,
    /// Whether the temporary file has gone to its place.
    moved: bool,
}

impl AtomicFile {
    /// Opens a temporary file beside `path`; missing parent folders are created.
    ///
    /// # Errors
    /// Whatever the file system says, with `path` in the message.
    pub fn create(path: &Path) -> io::Result<Self> {
        let temporary = temporary_beside(path, "file")?;
        let folder = folder_of(path);
        create_folders(folder)?;
        sweep_abandoned(folder);
        // `create` rather than `create_new`: a process id comes round again, and what an earlier owner of it
        // left behind must not be in the way.
        let file = options_in(folder)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)
            .map_err(|error| named(&temporary, &error))?;
        Ok(Self {
            target: path.to_path_buf(),
            temporary,
            writer: Some(BufWriter::new(file)),
            moved: false,
        })
    }

    /// Syncs the content to the disk and puts it in the place of the target.
    ///
    /// # Errors
    /// Whatever the file system says, with the target in the message; the target then keeps its old content.
    pub fn commit(mut self) -> io::Result<()> {
        let target = self.target.clone();
        self.finish().map_err(|error| named(&target, &error))
    }

    /// As [`AtomicFile::commit`], unless something is in the place of the target: then nothing is changed, and it returns
    /// false. Of several processes that do this at once, one puts its file there.
    ///
    /// # Errors
    /// As [`AtomicFile::commit`].
    pub fn commit_new(mut self) -> io::Result<bool> {
        let target = self.target.clone();
        let placed = self.write_out().and_then(|()| {
            match fs::hard_link(&self.temporary, &self.target) {
                Ok(()) => sync_folder(folder_of(&self.target)).map(|()| true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                // A file system without links (FAT, some network ones): looked at just before, it is as good as can be.
                Err(_) if self.target.try_exists()? => Ok(false),
                Err(_) => self.put_in_place().map(|()| true),
            }
        });
        placed.map_err(|error| named(&target, &error))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.write_out()?;
        self.put_in_place()
    }

    fn write_out(&mut self) -> io::Result<()> {
        let writer = self.writer.take().ok_or_else(closed)?;
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()
    }

    fn put_in_place(&mut self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.target)?;
        self.moved = true;
        sync_folder(folder_of(&self.target))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.as_mut().ok_or_else(closed)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().ok_or_else(closed)?.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.writer.as_mut().ok_or_else(closed)?.seek(position)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // Without writing what is left in its buffer.
        drop(self.writer.take().map(BufWriter::into_parts));
        if !self.moved {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// A folder of files that comes into being at [`AtomicFolder::commit`]; dropped before that, it leaves nothing.
#[derive(Debug)]
pub struct AtomicFolder {
    target: PathBuf,
    temporary: PathBuf,
    committed: bool,
}

impl AtomicFolder {
    /// Makes a temporary folder beside `path`, which may be there only as an empty folder; missing parents are created.
    ///
    /// # Errors
    /// Whatever the file system says, with `path` in the message; of the kind `DirectoryNotEmpty` where something is in it.
    pub fn create(path: &Path) -> io::Result<Self> {
        let temporary = temporary_beside(path, "folder")?;
        match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => {
                let error = io::Error::new(io::ErrorKind::DirectoryNotEmpty, "there is something in it already");
                return Err(named(path, &error));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(named(path, &error)),
        }
        // A process id comes round again: what an earlier owner of it left behind must not get into this folder.
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(|error| named(&temporary, &error))?;
        }
        create_folders(&temporary)?;
        sweep_abandoned(folder_of(path));
        Ok(Self {
            target: path.to_path_buf(),
            temporary,
            committed: false,
        })
    }

    /// Where its files are to be written, by [`AtomicFile`], until it is committed.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Puts the folder in the place of the target.
    ///
    /// # Errors
    /// Whatever the file system says, with the target in the message; nothing is left of the folder then.
    pub fn commit(mut self) -> io::Result<()> {
        let moved = sync_folder(&self.temporary).and_then(|()| {
            // Only an empty folder goes; whatever came into it in the meantime stops the commit.
            match fs::remove_dir(&self.target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::rename(&self.temporary, &self.target)
        });
        moved.map_err(|error| named(&self.target, &error))?;
        self.committed = true;
        sync_folder(folder_of(&self.target))
    }
}

impl Drop for AtomicFolder {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// A file that several processes write one after the other, such as a download that is continued: whenever one of them is
/// killed, what it wrote is the file's beginning.
#[derive(Debug)]
pub struct PartFile {
    path: PathBuf,
    writer: BufWriter<File>,
}

impl PartFile {
    /// Opens `path` to go on after its first `keep` bytes; it and its folders are created where missing.
    ///
    /// # Errors
    /// Whatever the file system says, with `path` in the message.
    pub fn open(path: &Path, keep: u64) -> io::Result<Self> {
        let folder = folder_of(path);
        create_folders(folder)?;
        let open = || {
            let mut file = options_in(folder).write(true).create(true).truncate(false).open(path)?;
            file.set_len(keep)?;
            file.seek(SeekFrom::End(0))?;
            io::Result::Ok(file)
        };
        Ok(Self {
            path: path.to_path_buf(),
            writer: BufWriter::new(open().map_err(|error| named(path, &error))?),
        })
    }

    /// Hands everything to the operating system.
    ///
    /// # Errors
    /// Whatever the file system says, with the path in the message.
    pub fn finish(mut self) -> io::Result<()> {
        self.writer.flush().map_err(|error| named(&self.path, &error))
    }
}

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes).map_err(|error| named(&self.path, &error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush().map_err(|error| named(&self.path, &error))
    }
}

/// Moves what is in the way of a file to a name of its own beside it, and returns that.
///
/// # Errors
/// Whatever the file system says, with `path` in the message.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".aside-{}", std::process::id()));
    let place = path.with_file_name(name);
    fs::rename(path, &place).map_err(|error| named(path, &error))?;
    sync_folder(folder_of(path))?;
    Ok(place)
}

/// A log that grows by whole lines, such as `metrics.jsonl`.
///
/// Each line goes to the operating system at once, so that a killed process loses none that it reported. A
/// torn last line (power cut, full disk) is ended when the file is opened again; readers skip what they cannot
/// parse.
#[derive(Debug)]
pub struct LineFile {
    path: PathBuf,
    file: File,
}

impl LineFile {
    /// Opens `path` to add lines at its end, creating it and its folders where missing.
    ///
    /// # Errors
    /// Whatever the file system says, with `path` in the message.
    pub fn append(path: &Path) -> io::Result<Self> {
        let folder = folder_of(path);
        create_folders(folder)?;
        let mut file = options_in(folder)
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(|error| named(path, &error))?;
        let torn = file.seek(SeekFrom::End(0))? > 0 && {
            let mut last = [0_u8];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            last != *b"\n"
        };
        if torn {
            file.write_all(b"\n")?;
        }
        Ok(Self {
            path: path.to_path_buf(),
            file,
        })
    }

    /// Adds one line; `line` must not contain a line break.
    ///
    /// # Errors
    /// Whatever the file system says, with the path in the message, or a line break inside `line`.
    pub fn write_line(&mut self, line: &str) -> io::Result<()> {
        if line.contains('\n') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{}: a line break inside of a line: {line:?}", self.path.display()),
            ));
        }
        // One call to the system a line, so that lines of two processes never mix.
        self.file
            .write_all(format!("{line}\n").as_bytes())
            .map_err(|error| named(&self.path, &error))
    }
}

/// Makes a rename inside `folder` survive a power cut. Only Unix has something to do (and to open) here.
///
/// Some file systems (CIFS, FUSE) cannot sync a folder and say so: a rename is then as lasting as they make it, and no
/// reason to fail.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// The folder of a file; a bare name lies in the current one.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// The same error with the path in its message: the standard library leaves it out.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn closed() -> io::Error {
    io::Error::other("the file was committed already")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn writes_whole_files_and_leaves_nothing_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file.txt");
        write_atomic(&path, b"first").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(&folder.path().join("a/b")), ["file.txt"]);
    }

    #[test]
    fn an_uncommitted_file_leaves_the_target_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.txt");
        write_atomic(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"half of the new").unwrap();
        file.flush().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["file.txt"]);
    }

    #[test]
    fn a_failed_commit_names_the_target_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        write_atomic(&path.join("inside"), b"x").unwrap();
        let error = write_atomic(&path, b"bytes").unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert_eq!(names(folder.path()), ["taken"]);
    }

    #[test]
    fn a_folder_is_there_whole_or_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/tables");
        let folder = AtomicFolder::create(&path).unwrap();
        write_atomic(&folder.path().join("hosp/one"), b"1").unwrap();
        drop(folder);
        assert!(names(&place.path().join("a")).is_empty());

        // An empty folder gives way, a full one does not: neither before nor after the work.
        fs::create_dir(&path).unwrap();
        let (first, second) = (
            AtomicFolder::create(&path).unwrap(),
            AtomicFolder::create(&path).unwrap(),
        );
        write_atomic(&first.path().join("hosp/one"), b"1").unwrap();
        first.commit().unwrap();
        assert_eq!(fs::read(path.join("hosp/one")).unwrap(), b"1");
        assert!(second.commit().unwrap_err().to_string().contains("tables"));
        let error = AtomicFolder::create(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::DirectoryNotEmpty);
        assert_eq!(names(&place.path().join("a")), ["tables"]);
        assert!(AtomicFolder::create(Path::new("..")).is_err());
    }

    #[test]
    fn writers_of_one_target_never_mix() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        thread::scope(|scope| {
            for byte in b'a'..b'e' {
                let path = &path;
                scope.spawn(move || write_atomic(path, &vec![byte; 10_000]).unwrap());
            }
        });
        let content = fs::read(&path).unwrap();
        assert_eq!(content.len(), 10_000);
        assert!(content.iter().all(|&byte| byte == content[0]));
    }

    /// A full disk is told when the buffer is emptied, at the end.
    #[test]
    fn a_write_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomic(&path, b"old").unwrap();
        for new in [false, true] {
            let mut file = AtomicFile::create(&path).unwrap();
            // A file that takes no bytes.
            file.writer = Some(BufWriter::new(File::open(&file.temporary).unwrap()));
            file.write_all(b"new").unwrap();
            if new {
                file.commit_new().unwrap_err();
            } else {
                file.commit().unwrap_err();
            }
            assert_eq!(names(folder.path()), ["file"]);
            assert_eq!(fs::read(&path).unwrap(), b"old");
        }
    }

    #[test]
    fn of_many_that_put_a_new_file_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outcome");
        let placed: usize = thread::scope(|scope| {
            let writers = (0..8).map(|number| {
                let path = &path;
                scope.spawn(move || {
                    let mut file = AtomicFile::create(path).unwrap();
                    write!(file, "{number}").unwrap();
                    usize::from(file.commit_new().unwrap())
                })
            });
            let writers: Vec<_> = writers.collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).sum()
        });
        assert_eq!(placed, 1);
        assert_eq!(names(folder.path()), ["outcome"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_system_that_cannot_sync_folders_is_no_reason_to_fail() {
        // It answers EINVAL, as CIFS does.
        let unsynced = Path::new("/proc/self");
        assert_eq!(
            File::open(unsynced).unwrap().sync_all().unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        sync_folder(unsynced).unwrap();
        // Anything else is told.
        assert!(sync_folder(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn what_is_in_the_way_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outcome.json");
        write_atomic(&path.join("inside"), b"x").unwrap();
        let aside = set_aside(&path).unwrap();
        assert!(!path.exists());
        assert_eq!(fs::read(aside.join("inside")).unwrap(), b"x");
    }

    #[test]
    fn a_part_goes_on_where_it_is_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/part");
        for (keep, bytes, expected) in [(0, "abcd", "abcd"), (4, "ef", "abcdef"), (2, "x", "abx"), (0, "y", "y")] {
            let mut part = PartFile::open(&path, keep).unwrap();
            part.write_all(bytes.as_bytes()).unwrap();
            part.finish().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        }
    }

    #[test]
    fn what_a_killed_writer_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomic(&path, b"kept").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"lost").unwrap();
        // As a kill would: neither commit nor drop.
        std::mem::forget(file);
        assert_eq!(names(folder.path()).len(), 2);
        assert_eq!(sweep_temporaries(folder.path()).unwrap(), 1);
        assert_eq!(names(folder.path()), ["file"]);
        assert_eq!(sweep_temporaries(&folder.path().join("missing")).unwrap(), 0);
    }

    #[test]
    fn lines_are_appended_and_a_torn_one_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = LineFile::append(&path).unwrap();
        log.write_line("{\"epoch\":1}").unwrap();
        assert!(log.write_line("a\nb").is_err());
        drop(log);
        fs::write(&path, b"{\"epoch\":1}\n{\"epo").unwrap();
        LineFile::append(&path).unwrap().write_line("{\"epoch\":2}").unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "{\"epoch\":1}\n{\"epo\n{\"epoch\":2}\n"
        );
    }
}
