//! Named arrays from the files that PyTorch and numpy users write.
//!
//! [`Arrays::open`] reads names, shapes and types of an `.npz`, `.npy`, `.safetensors` or `.parquet` file, or of a folder of
//! `.npy` files; [`Arrays::read`] reads the numbers of one array. Nothing is unpickled.

mod error;
mod npy;
mod npz;
mod number;
mod parquet_lists;
mod safe;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

pub use error::ArrayError;
pub use number::{Dtype, Values};

/// Result of reading.
pub type Result<T> = std::result::Result<T, ArrayError>;

/// What is known of an array before its numbers are read.
#[derive(Clone, Debug, PartialEq)]
pub struct ArrayInfo {
    /// Its name, such as `embedding.image`.
    pub name: String,
    /// Its axes; none of a single number.
    pub shape: Vec<usize>,
    /// How its numbers are stored.
    pub dtype: Dtype,
    /// The file that holds it.
    pub path: PathBuf,
}

impl ArrayInfo {
    /// Length of the first axis; 1 of a single number.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }
}

/// An array in memory, in C order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// What was known of it.
    pub info: ArrayInfo,
    /// Its numbers, the last axis fastest.
    pub values: Values,
}

/// Arrays of one or several files, in the order of the files.
#[derive(Debug)]
pub struct Arrays {
    entries: Vec<Entry>,
}

/// An array and where its numbers are.
#[derive(Debug)]
struct Entry {
    info: ArrayInfo,
    place: Place,
}

/// Where the numbers of an array are.
#[derive(Debug)]
enum Place {
    Npy,
    Npz(npz::Member),
    Safetensors { start: u64 },
    Parquet { column: usize },
    Unread(ArrayError),
}

impl Entry {
    /// An array that is an error only once it is asked for: files hold names of samples and the like beside their numbers.
    fn unread(name: String, path: &Path, error: ArrayError) -> Self {
        Self {
            info: ArrayInfo {
                name,
                shape: Vec::new(),
                dtype: Dtype::Other,
                path: path.to_owned(),
            },
            place: Place::Unread(error),
        }
    }

    fn is_unread(&self) -> bool {
        matches!(self.place, Place::Unread(_))
    }
}

impl Arrays {
    /// Reads what a file, or a folder of `.npy` files, holds.
    ///
    /// # Errors
    /// A file of another kind, one that cannot be read. An array that cannot be read is an error once it is asked for.
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|error| ArrayError::of(path, error.to_string()))?;
        if !metadata.is_dir() && !metadata.is_file() {
            return Err(ArrayError::of(path, "expected a file or a folder, got something else")
                .help("write the arrays to a file: pipes and devices are not read"));
        }
        let entries = if metadata.is_dir() { folder(path)? } else { file(path)? };
        if entries.is_empty() {
            return Err(ArrayError::of(path, "expected at least one array, got none")
                .help("write arrays with numpy.savez; what torch.save writes is no npz, whatever it is called"));
        }
        Ok(Self {
            entries: named_once(entries),
        })
    }

    /// Reads what several files hold together.
    ///
    /// # Errors
    /// Those of [`Arrays::open`]; a name that two files use.
    pub fn open_all<P: AsRef<Path>>(paths: &[P]) -> Result<Self> {
        let mut entries: Vec<Entry> = Vec::new();
        for path in paths {
            for entry in Self::open(path.as_ref())?.entries {
                let is_taken = |known: &&Entry| known.info.name == entry.info.name && !known.is_unread();
                if let Some(known) = entries.iter().find(is_taken).filter(|_| !entry.is_unread()) {
                    let reason = format!("the same name is in {}", known.info.path.display());
                    return Err(ArrayError::of(path.as_ref(), reason)
                        .array(&entry.info.name)
                        .help("give each array once"));
                }
                entries.push(entry);
            }
        }
        Ok(Self {
            entries: named_once(entries),
        })
    }

    /// What is known of each array; one that cannot be read is of type [`Dtype::Other`].
    pub fn infos(&self) -> impl Iterator<Item = &ArrayInfo> {
        self.entries.iter().map(|entry| &entry.info)
    }

    /// What is known of the array called `name`.
    pub fn info(&self, name: &str) -> Option<&ArrayInfo> {
        self.infos().find(|info| info.name == name)
    }

    /// What is known of the array called `name`, which can be read.
    ///
    /// # Errors
    /// No such array; one that holds no numbers or is damaged.
    pub fn readable(&self, name: &str) -> Result<&ArrayInfo> {
        let entry = self.entry(name)?;
        match &entry.place {
            Place::Unread(error) => Err(error.clone().array(name)),
            _ => Ok(&entry.info),
        }
    }

    /// Reads the numbers of the array called `name`.
    ///
    /// # Errors
    /// Those of [`Arrays::readable`]; a file that ends early or fails its checksum; a parquet list of another length than the first.
    pub fn read(&self, name: &str) -> Result<Array> {
        let entry = self.entry(name)?;
        let info = &entry.info;
        let values = match &entry.place {
            Place::Npy => npy::read(&info.path, &mut npy::open(&info.path)?),
            Place::Npz(member) => member.read(&info.path),
            Place::Safetensors { start } => safe::read(info, *start),
            Place::Parquet { column } => parquet_lists::read(info, *column),
            Place::Unread(error) => Err(error.clone()),
        };
        let values = values.map_err(|error| error.array(name))?;
        Ok(Array {
            info: info.clone(),
            values,
        })
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.info.name == name)
            .ok_or_else(|| {
                let names: Vec<&str> = self.infos().map(|info| info.name.as_str()).collect();
                let path = self.entries.first().map_or(Path::new(""), |entry| &entry.info.path);
                ArrayError::of(path, "no such array")
                    .array(name)
                    .help(format!("there are: {}", names.join(", ")))
            })
    }
}

/// Without what cannot be read where another array of its name can be, or stands before it: the same column of text is in each
/// of several tables.
fn named_once(mut entries: Vec<Entry>) -> Vec<Entry> {
    let read = entries.iter().filter(|entry| !entry.is_unread());
    let mut known: HashSet<String> = read.map(|entry| entry.info.name.clone()).collect();
    entries.retain(|entry| !entry.is_unread() || known.insert(entry.info.name.clone()));
    entries
}

fn file(path: &Path) -> Result<Vec<Entry>> {
    match path.extension().and_then(|end| end.to_str()) {
        Some("npy") => Ok(vec![single(path)]),
        Some("npz") => npz::entries(path),
        Some("safetensors") => safe::entries(path),
        Some("parquet") => parquet_lists::entries(path),
        _ => Err(ArrayError::of(
            path,
            "expected a file that ends in .npz, .npy, .safetensors or .parquet, or a folder",
        )
        .help(
            "write arrays with numpy.savez or safetensors.torch.save_file; .pt files are pickles, which are not read",
        )),
    }
}

/// The array of an `.npy` file, called as the file.
fn single(path: &Path) -> Entry {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match npy::open(path).and_then(|mut file| npy::header(path, &mut file)) {
        Ok(header) => Entry {
            info: header.info(name, path),
            place: Place::Npy,
        },
        Err(error) => Entry::unread(name, path, error),
    }
}

/// The arrays of the `.npy` files of a folder, by name.
fn folder(path: &Path) -> Result<Vec<Entry>> {
    let listed = fs::read_dir(path).map_err(|error| ArrayError::of(path, error.to_string()))?;
    let mut files = Vec::new();
    for entry in listed {
        let file = entry.map_err(|error| ArrayError::of(path, error.to_string()))?.path();
        if file.extension().is_some_and(|end| end == "npy") {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(ArrayError::of(path, "expected .npy files in the folder, got none"));
    }
    Ok(files.iter().map(|file| single(file)).collect())
}
