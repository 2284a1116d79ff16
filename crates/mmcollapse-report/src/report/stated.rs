//! Whether a test was stated before its runs, as the history of the repository shows it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mmcollapse_record::Provenance;

use super::claims::{Claims, FamilyRule, Test};
use super::results::Measured;

/// Where the claims stand in the repository.
const CLAIMS: &str = "experiments/claims.yaml";

/// What the history says of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was stated, word by word, at every commit that trained its cells, and no result committed by then had its seeds.
    Confirmatory,
    /// So it was, but its claim had more tests then or asked for another check: its level or its check was chosen later.
    OtherFamily,
    /// It was not.
    Exploratory,
    /// Its seeds are not run yet; the numbers are of others, which were run before.
    OtherSeeds,
    /// A commit of its cells is not known or not at hand.
    NotKnown,
    /// It has not been run.
    NotRun,
    /// Its runs are of an earlier revision.
    Stale,
}

impl Standing {
    /// For readers.
    pub fn text(self) -> &'static str {
        match self {
            Self::Confirmatory => "before its runs",
            Self::OtherFamily => "before its runs, its family or check after",
            Self::Exploratory => "after its runs",
            Self::OtherSeeds => "its seeds are not run yet: earlier ones",
            Self::NotKnown => "not known",
            Self::NotRun => "not run yet",
            Self::Stale => "its runs are stale",
        }
    }
}

/// The history of the repository that holds the results.
pub struct Stated {
    repository: PathBuf,
    /// The primary tests at each commit; none where the commit is not at hand.
    tests: RefCell<HashMap<String, Option<BTreeMap<String, FamilyRule>>>>,
    /// The results at each commit.
    runs: RefCell<HashMap<String, Vec<Seen>>>,
}

/// What the claims of an earlier commit say of a test.
enum Then {
    /// The commit is not at hand.
    NotKnown,
    /// They do not have it.
    Absent,
    /// They have it, in this family.
    In(FamilyRule),
}

/// A result that was committed: its data sets and its seeds.
struct Seen {
    data: BTreeSet<String>,
    seeds: BTreeSet<u64>,
}

impl Stated {
    /// The history of the repository that has the folder `results`.
    pub fn beside(results: &Path) -> Self {
        Self {
            repository: results.to_owned(),
            tests: RefCell::default(),
            runs: RefCell::default(),
        }
    }

    /// What the history says of a test, given its family today and the result that it rests on.
    pub fn standing(&self, test: &Test, today: FamilyRule, measured: &Measured) -> Standing {
        // Cells of other rows, such as a row that was added later, have nothing to do with it.
        let rows = test.rows();
        let origins = measured.provenance.origins.iter();
        let mut commits = BTreeSet::new();
        for origin in origins.filter(|origin| rows.iter().any(|row| origin.has(row))) {
            match &origin.origin.commit {
                Some(commit) => commits.insert(commit.hash.as_str()),
                None => return Standing::NotKnown,
            };
        }
        if commits.is_empty() {
            return Standing::NotKnown;
        }
        let mut standing = Standing::Confirmatory;
        for commit in commits {
            match self.stated(commit, &test.written) {
                Then::NotKnown => return Standing::NotKnown,
                Then::In(then) if !self.seen(commit, test, &measured.provenance) => {
                    // Tests that were added leave the others less. A check is asked of rows with a reallocation alone.
                    let same = then.tests <= today.tests && (then.needs == today.needs || !test.is_reallocated());
                    if !same && standing == Standing::Confirmatory {
                        standing = Standing::OtherFamily;
                    }
                }
                Then::In(_) | Then::Absent => standing = Standing::Exploratory,
            }
        }
        standing
    }

    /// What the claims at a commit say of the test.
    fn stated(&self, commit: &str, written: &str) -> Then {
        let mut known = self.tests.borrow_mut();
        let tests = known.entry(commit.to_owned()).or_insert_with(|| {
            self.git(&["cat-file", "-e", &format!("{commit}^{{commit}}")])?;
            let text = self.git(&["show", &format!("{commit}:{CLAIMS}")]).unwrap_or_default();
            Some(Claims::stated(&text))
        });
        match tests {
            None => Then::NotKnown,
            Some(tests) => tests.get(written).map_or(Then::Absent, |family| Then::In(*family)),
        }
    }

    /// Whether a result that was committed by then has a seed of the test on the same data.
    fn seen(&self, commit: &str, test: &Test, provenance: &Provenance) -> bool {
        let mut known = self.runs.borrow_mut();
        let runs = known.entry(commit.to_owned()).or_insert_with(|| self.runs_at(commit));
        runs.iter().any(|seen| {
            let same = provenance.data.keys().any(|name| seen.data.contains(name));
            same && seen.seeds.iter().any(|seed| test.seeds.has(*seed))
        })
    }

    /// The results at a commit.
    fn runs_at(&self, commit: &str) -> Vec<Seen> {
        let listed = self.git(&["ls-tree", "-r", "--name-only", "--full-tree", commit, "results/"]);
        let listed = listed.unwrap_or_default();
        let folders = listed.lines().filter_map(|path| path.strip_suffix("/runs.csv"));
        let seen = folders.map(|folder| {
            let text = |name: &str| {
                self.git(&["show", &format!("{commit}:{folder}/{name}")])
                    .unwrap_or_default()
            };
            let of: Option<OfData> = serde_json::from_str(&text("runs.provenance.json")).ok();
            Seen {
                data: of.map(|of| of.data.into_keys().collect()).unwrap_or_default(),
                seeds: seeds(&text("runs.csv")),
            }
        });
        seen.collect()
    }

    /// What git prints; none where it fails.
    fn git(&self, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new("git");
        // A hook of another checkout would have its own taken for this one.
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(name);
        }
        command
            .arg("--no-optional-locks")
            .arg("-C")
            .arg(&self.repository)
            .args(arguments);
        let output = command.stdin(Stdio::null()).output().ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The part of an older provenance that is read.
#[derive(serde::Deserialize)]
struct OfData {
    data: BTreeMap<String, String>,
}

/// The seeds of a table of runs.
fn seeds(runs: &str) -> BTreeSet<u64> {
    let mut lines = runs.lines();
    let place = lines
        .next()
        .and_then(|header| header.split(',').position(|name| name == "seed"));
    let seed = |line: &str| line.split(',').nth(place?)?.parse().ok();
    lines.filter_map(seed).collect()
}
