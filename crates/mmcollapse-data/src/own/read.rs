//! The arrays of a user's data set, checked against each other.

use std::path::{Path, PathBuf};

use mmcollapse_arrays::{ArrayInfo, Arrays, Dtype, Values};

use super::described::{Description, Form, Named, NotANumber};
use super::error::OwnError;
use super::numbers::Numbers;
use crate::{DataError, Kind, ModalitySpec, Presence};

/// The arrays that a description names.
pub(super) struct Columns<'a> {
    path: &'a Path,
    description: &'a Description,
    arrays: Arrays,
    rows: usize,
}

/// The largest code: samples are numbers of 32 bits, in which larger ones coincide.
const LARGEST_CODE: usize = 1 << 24;

impl<'a> Columns<'a> {
    /// Opens the files, and checks that each array is there with as many rows as there are labels.
    pub fn open(path: &'a Path, description: &'a Description) -> Result<Self, DataError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let files: Vec<PathBuf> = description
            .arrays
            .all()
            .into_iter()
            .map(|file| folder.join(file))
            .collect();
        let arrays = Arrays::open_all(&files).map_err(|error| OwnError::unreadable(path, &error))?;
        let mut columns = Self {
            path,
            description,
            arrays,
            rows: 0,
        };
        columns.rows = columns.of_rows(&description.labels, None)?.rows();
        let single = [&description.groups, &description.split].into_iter().flatten();
        for name in single {
            columns.of_rows(name, Some(columns.rows))?;
        }
        for (m, (_, form)) in description.modalities.iter().enumerate() {
            let info = columns.info(description.array(m))?;
            if info.rows() != columns.rows {
                let (got, expected) = (info.rows(), columns.rows);
                return Err(columns.wrong(
                    &info.name,
                    format!("expected {expected} rows, as many as labels, got {got}"),
                ));
            }
            if let Some(lengths) = &form.lengths {
                columns.of_rows(lengths, Some(columns.rows))?;
            }
        }
        if columns.rows < 10 {
            let reason = format!("expected at least 10 samples, got {}", columns.rows);
            return Err(columns.wrong(&description.labels, reason));
        }
        Ok(columns)
    }

    /// Number of samples.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The description.
    pub fn description(&self) -> &Description {
        self.description
    }

    /// The files that hold the arrays.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = self.arrays.infos().map(|info| info.path.clone()).collect();
        files.sort();
        files.dedup();
        files
    }

    /// What the user says of a modality's array.
    pub fn form(&self, modality: usize) -> &Form {
        &self.description.modalities[modality].1
    }

    /// An error about an array.
    pub fn wrong(&self, array: &str, reason: impl Into<String>) -> DataError {
        OwnError::array(self.path, array, reason).into()
    }

    /// An error about an array, with what to do.
    pub fn advised(&self, array: &str, reason: impl Into<String>, help: &str) -> DataError {
        OwnError::array(self.path, array, reason).advised(help).into()
    }

    fn info(&self, name: &str) -> Result<&ArrayInfo, DataError> {
        if self.arrays.info(name).is_none() {
            let names: Vec<&str> = self.arrays.infos().map(|info| info.name.as_str()).collect();
            let help = format!("the files hold: {}", names.join(", "));
            return Err(self.advised(name, "no file holds it", &help));
        }
        let readable = self.arrays.readable(name);
        Ok(readable.map_err(|error| OwnError::unreadable(self.path, &error))?)
    }

    /// The arrays that the description does not name, those without numbers as such.
    pub fn unused(&self) -> Vec<String> {
        let description = self.description;
        let single = [&description.present, &description.groups, &description.split];
        let mut used: Vec<&str> = single.into_iter().flatten().map(String::as_str).collect();
        used.push(&description.labels);
        for (m, (_, form)) in description.modalities.iter().enumerate() {
            used.push(description.array(m));
            used.extend(form.lengths.as_deref());
        }
        let unused = self.arrays.infos().filter(|info| !used.contains(&info.name.as_str()));
        unused
            .map(|info| match info.dtype {
                Dtype::Other => format!("{} (cannot be read as numbers)", info.name),
                _ => info.name.clone(),
            })
            .collect()
    }

    /// An array of one number a sample; a column of them counts.
    fn of_rows(&self, name: &str, rows: Option<usize>) -> Result<&ArrayInfo, DataError> {
        let info = self.info(name)?;
        let expected = rows.map_or("n".to_owned(), |rows| rows.to_string());
        let is_column = matches!(info.shape[..], [_] | [_, 1]);
        if !is_column || rows.is_some_and(|rows| info.rows() != rows) {
            let reason = format!("expected shape [{expected}], got {:?}", info.shape);
            return Err(match info.shape[..] {
                [_, _] if name == self.description.labels => {
                    self.advised(name, reason, "of a row for each class, `array.argmax(1)` is the class")
                }
                _ => self.wrong(name, reason),
            });
        }
        Ok(info)
    }

    /// The whole numbers of an array; numbers with a fraction of 0 count.
    pub fn whole(&self, name: &str) -> Result<Vec<i64>, DataError> {
        let array = self
            .arrays
            .read(name)
            .map_err(|error| OwnError::unreadable(self.path, &error))?;
        let (dtype, rows) = (array.info.dtype, array.info.rows());
        let numbers = array.info.shape.iter().product();
        let of = |values: &mut dyn Iterator<Item = f64>| -> Result<Vec<i64>, String> {
            let whole = |(place, v): (usize, f64)| {
                let got = match v {
                    v if !v.is_finite() => "one that is not finite",
                    v if v.fract() != 0.0 => "a fraction",
                    v if v.abs() >= 9e15 => "one too large to be exact",
                    v => return Ok(v as i64),
                };
                let row = row_of(place, numbers, rows);
                Err(format!("expected whole numbers, got {got} among {dtype} in row {row}"))
            };
            values.enumerate().map(whole).collect()
        };
        let whole = match array.values {
            Values::Whole(values) => Ok(values),
            Values::Single(values) => of(&mut values.iter().map(|&v| f64::from(v))),
            Values::Double(values) => of(&mut values.iter().copied()),
        };
        whole.map_err(|reason| self.wrong(name, reason))
    }

    /// Class of each sample, and the classes' names.
    pub fn labels(&self) -> Result<(Vec<u32>, Vec<String>), DataError> {
        let name = &self.description.labels;
        let values = self.whole(name)?;
        let mut known: Vec<i64> = values.clone();
        known.sort_unstable();
        known.dedup();
        if known.len() < 2 {
            return Err(self.wrong(name, format!("expected at least 2 classes, got {}", known.len())));
        }
        let most = (self.rows / 2).min(1000);
        if known.len() > most {
            let reason = format!(
                "expected classes, at most {most} of them, got {} different numbers",
                known.len()
            );
            return Err(self.wrong(name, reason));
        }
        let classes = &self.description.classes;
        if classes.is_empty() {
            let place = |value: &i64| known.binary_search(value).unwrap_or_default() as u32;
            return Ok((
                values.iter().map(place).collect(),
                known.iter().map(i64::to_string).collect(),
            ));
        }
        let last = classes.len() as i64 - 1;
        if known.first().is_some_and(|&low| low < 0) || known.last().is_some_and(|&high| high > last) {
            let reason = format!("`classes` names {}, so labels must lie in 0..={last}", classes.len());
            return Err(self.wrong(name, reason));
        }
        Ok((values.iter().map(|&value| value as u32).collect(), classes.clone()))
    }

    /// Shape and kind of each modality.
    pub fn modalities(&self) -> Result<Vec<ModalitySpec>, DataError> {
        (0..self.description.modalities.len())
            .map(|m| self.modality(m))
            .collect()
    }

    fn modality(&self, m: usize) -> Result<ModalitySpec, DataError> {
        let (name, form) = &self.description.modalities[m];
        let array = self.description.array(m);
        let info = self.info(array)?;
        let shape = &info.shape[1.min(info.shape.len())..];
        if shape.contains(&0) {
            return Err(self.wrong(array, format!("has no number: shape {:?}", info.shape)));
        }
        let kind = form
            .kind
            .unwrap_or(if shape.len() == 2 { Named::Series } else { Named::Dense });
        let refused =
            |expected: &str| Err(self.wrong(array, format!("expected {expected}, got shape {:?}", info.shape)));
        if form.lengths.is_some() && kind == Named::Dense {
            return refused("a series [n, steps, features] or codes [n, length], as `lengths` is given");
        }
        match (kind, shape) {
            (Named::Dense, []) => Ok(ModalitySpec::new(name, &[1])),
            (Named::Dense, [_] | [_, _, _]) => Ok(ModalitySpec::new(name, shape)),
            (Named::Dense, _) => refused("[n], [n, features] or [n, channels, height, width]"),
            (Named::Series, &[steps, features]) => Ok(ModalitySpec::new(name, &[steps, 1 + features]).of(Kind::Series)),
            (Named::Series, _) => refused("a series [n, steps, features]"),
            (Named::Codes, &[length]) => {
                let vocabulary = match form.vocabulary {
                    Some(vocabulary) => vocabulary,
                    None => self.whole(array)?.iter().max().map_or(1, |&most| most.max(1) as usize),
                };
                if vocabulary > LARGEST_CODE {
                    let reason = format!("expected codes of at most {LARGEST_CODE}, got larger ones");
                    let help = "number the codes from 1 without gaps, as `numpy.unique(codes, return_inverse=True)[1]` does; 0 \
                                stands for no code";
                    return Err(self.advised(array, reason, help));
                }
                Ok(ModalitySpec::new(name, &[length]).of(Kind::Codes { vocabulary }))
            }
            (Named::Codes, _) => refused("codes [n, length]"),
        }
    }

    /// Who has what, by the array that says so; everybody has everything without one.
    pub fn present(&self) -> Result<Presence, DataError> {
        let modalities = self.description.modalities.len();
        let Some(name) = &self.description.present else {
            return Ok(Presence::all(self.rows, modalities));
        };
        let info = self.info(name)?;
        let expected = [self.rows, modalities];
        if info.shape != expected {
            return Err(self.wrong(name, format!("expected shape {expected:?}, got {:?}", info.shape)));
        }
        let values = self.whole(name)?;
        if values.iter().any(|value| !matches!(value, 0 | 1)) {
            return Err(self.wrong(
                name,
                "expected 1 where a sample has a modality and 0 where it lacks it, got others",
            ));
        }
        Ok(Presence::from_fn(self.rows, modalities, |i, m| {
            values[i * modalities + m] == 1
        }))
    }

    /// The numbers of a modality. A sample that lacks it for what is not finite in it is marked in `present`.
    pub fn numbers(&self, m: usize, spec: &ModalitySpec, present: &mut Presence) -> Result<Numbers, DataError> {
        let name = self.description.array(m);
        let lengths = match &self.form(m).lengths {
            Some(lengths) => Some(self.lengths(lengths, spec)?),
            None => None,
        };
        if let Kind::Codes { vocabulary } = spec.kind {
            let is_stated = self.form(m).vocabulary.is_some();
            return Ok(Numbers::new(self.codes(name, vocabulary, is_stated)?, spec, lengths));
        }
        let array = self
            .arrays
            .read(name)
            .map_err(|error| OwnError::unreadable(self.path, &error))?;
        let numbers = Numbers::new(array.values, spec, lengths);
        let mut bad: Option<(usize, usize)> = None; // first row and count
        for i in 0..self.rows {
            if !present.get(i, m) {
                continue;
            }
            let not_finite = numbers.row(i).iter().filter(|value| !value.is_finite()).count();
            if not_finite == 0 {
                continue;
            }
            match self.form(m).not_a_number {
                NotANumber::Mean => {}
                NotANumber::Missing => present.set(i, m, false),
                NotANumber::Refused => {
                    let (first, count) = bad.unwrap_or((i, 0));
                    bad = Some((first, count + not_finite));
                }
            }
        }
        if let Some((first, count)) = bad {
            let reason = format!("{count} numbers are not finite in 32 bits, the first in row {first}");
            let help = "say `not_a_number: missing` (the sample lacks the modality) or `mean` under the modality, or mark the \
                        samples in the array of `present`";
            return Err(self.advised(name, reason, help));
        }
        Ok(numbers)
    }

    /// How many steps each sample has.
    fn lengths(&self, name: &str, spec: &ModalitySpec) -> Result<Vec<usize>, DataError> {
        let most = spec.shape[0];
        let lengths = self
            .whole(name)?
            .into_iter()
            .map(|length| usize::try_from(length).ok().filter(|length| *length <= most));
        let lengths: Option<Vec<usize>> = lengths.collect();
        lengths.ok_or_else(|| self.wrong(name, format!("expected lengths in 0..={most}, got others")))
    }

    /// Codes up to `vocabulary`, which is a number of the array itself unless the user states it.
    fn codes(&self, name: &str, vocabulary: usize, is_stated: bool) -> Result<Values, DataError> {
        let values = self.whole(name)?;
        let is_code = |&code: &i64| code >= 0 && code <= vocabulary as i64;
        if let Some(place) = values.iter().position(|code| !is_code(code)) {
            let expected = if is_stated {
                format!("expected codes in 0..={vocabulary}, as `vocabulary` says")
            } else {
                "expected codes of at least 0".to_owned()
            };
            let row = row_of(place, values.len(), self.rows);
            return Err(self.wrong(
                name,
                format!("{expected}, 0 where there is none, got another in row {row}"),
            ));
        }
        Ok(Values::Whole(values))
    }
}

/// The row of a number in an array of so many numbers and rows.
fn row_of(place: usize, numbers: usize, rows: usize) -> usize {
    place / (numbers / rows.max(1)).max(1)
}
