//! What ICD codes mean, and which code a row means that a spreadsheet wrote again.
//!
//! Codes are looked up in capitals and without dots, which loses nothing: no two codes of a release differ in these alone.
//! Leading zeros are another matter. `0331` is a spinal tap and `331` an incision of the lung, so a table whose zeros are lost
//! is read only if no row of the cohort can mean two codes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::super::cohort::{Code, CodeKind};
use super::super::coverage::{Count, TableCoverage};
use super::super::error::EhrError;
use super::super::table::{Form, Table};

/// Version (9 or 10) and code: the same code means different things in the two versions.
type Key = (u32, String);

/// Titles by version and code.
pub(super) struct Titles {
    kind: CodeKind,
    by_code: HashMap<Key, String>,
    /// Codes by what is left of them without leading zeros.
    stripped: HashMap<Key, Vec<String>>,
    /// Versions of which some code has a leading zero.
    whole: BTreeSet<u32>,
}

/// A code as rows write it.
fn plain(code: &str) -> String {
    code.chars()
        .filter(|letter| *letter != '.')
        .map(|letter| letter.to_ascii_uppercase())
        .collect()
}

fn without_zeros(code: &str) -> String {
    code.trim_start_matches('0').to_owned()
}

impl Titles {
    /// Reads the table `name`.
    pub(super) fn read(folder: &Path, name: &'static str, kind: CodeKind) -> Result<(Self, TableCoverage), EhrError> {
        let columns = ["icd_code", "icd_version", "long_title"];
        let (mut table, [code, version, title]) = Table::require(folder, Form::plain(name), columns)?;
        let mut read = Self {
            kind,
            by_code: HashMap::new(),
            stripped: HashMap::new(),
            whole: BTreeSet::new(),
        };
        while table.next()? {
            let Some(title) = table.optional_text(title)?.map(str::to_lowercase) else {
                table.drop(Count::NoValue);
                continue;
            };
            let (version, code) = (table.whole(version)?, plain(table.text(code)?));
            match read.by_code.get(&(version, code.clone())) {
                Some(known) if *known == title => table.drop(Count::Replaced),
                Some(_) => {
                    return Err(table.contradiction("one title of every code and version", "two different ones"));
                }
                None => {
                    let stripped = (version, without_zeros(&code));
                    if code.starts_with('0') {
                        read.whole.insert(version);
                    }
                    read.stripped.entry(stripped).or_default().push(code.clone());
                    read.by_code.insert((version, code), title);
                }
            }
        }
        Ok((read, table.finish(false)?))
    }

    fn code(&self, version: u32, code: &str) -> Option<Code> {
        let title = self.by_code.get(&(version, code.to_owned()))?.clone();
        Some(Code {
            kind: self.kind,
            code: format!("icd{version}:{code}"),
            title,
        })
    }

    /// The codes that `code` may have been before it lost its zeros.
    fn before(&self, version: u32, code: &str) -> &[String] {
        let key = (version, without_zeros(code));
        self.stripped.get(&key).map_or(&[], Vec::as_slice)
    }
}

/// Rows of a table of codes that wait for its end: only then is it known whether zeros were lost.
pub(super) struct Lookup<'a, T> {
    titles: &'a Titles,
    /// Rows whose code has no title as it stands, by version.
    without: BTreeMap<u32, Vec<(String, T)>>,
    /// Rows by version whose code has a title, but would have another one with a zero before it.
    unclear: BTreeMap<u32, u64>,
    /// Versions of which some row has a code with a leading zero.
    whole: BTreeSet<u32>,
}

impl<'a, T> Lookup<'a, T> {
    pub(super) fn new(titles: &'a Titles) -> Self {
        Self {
            titles,
            without: BTreeMap::new(),
            unclear: BTreeMap::new(),
            whole: BTreeSet::new(),
        }
    }

    /// Notices that a row, of the cohort or not, has `code`.
    pub(super) fn see(&mut self, version: u32, code: &str) {
        if code.starts_with('0') {
            self.whole.insert(version);
        }
    }

    /// What `code` of the `row` means; where nothing, the row is kept for [`Lookup::finish`].
    pub(super) fn find(&mut self, version: u32, code: &str, row: T) -> Option<(Code, T)> {
        let code = plain(code);
        let Some(found) = self.titles.code(version, &code) else {
            self.without.entry(version).or_default().push((code, row));
            return None;
        };
        let others = self
            .titles
            .before(version, &code)
            .iter()
            .filter(|other| **other != code);
        if !code.starts_with('0') && others.count() > 0 {
            *self.unclear.entry(version).or_default() += 1;
        }
        Some((found, row))
    }

    /// The rows that mean something with their zeros put back; all others have no title.
    ///
    /// # Errors
    /// When zeros are lost and a row may mean two codes.
    pub(super) fn finish(self, path: &Path, coverage: &mut TableCoverage) -> Result<Vec<(Code, T)>, EhrError> {
        let mut restored = Vec::new();
        for (version, rows) in self.without {
            let (mut found, mut ambiguous) = (Vec::new(), 0);
            for (code, row) in rows {
                let before = self.titles.before(version, &code);
                match before {
                    // Where other rows have their zeros, none were lost, unless it was the titles that lost theirs.
                    _ if self.whole.contains(&version) => {
                        if code.starts_with('0') && !before.is_empty() && !self.titles.whole.contains(&version) {
                            ambiguous += 1;
                        } else {
                            coverage.drop(Count::NoTitle, 1);
                        }
                    }
                    [] => coverage.drop(Count::NoTitle, 1),
                    [only] => found.extend(self.titles.code(version, only).map(|code| (code, row))),
                    [_, ..] => ambiguous += 1,
                }
            }
            let lost = found.len() as u64;
            let unclear = ambiguous + self.unclear.get(&version).copied().unwrap_or_default();
            if lost + ambiguous > 0 && unclear > 0 {
                return Err(EhrError::LostZeros {
                    path: path.to_owned(),
                    version,
                    lost,
                    unclear,
                });
            }
            coverage.note(Count::ZerosRestored, found.len() as u64);
            restored.extend(found);
        }
        Ok(restored)
    }
}
