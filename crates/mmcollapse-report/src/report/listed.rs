//! What a REPRODUCTION.md rests on, as its last table says: a report never replaces one that rests on more.

use std::path::Path;
use std::{fs, io};

use miette::{IntoDiagnostic, Result, WrapErr};

use mmcollapse_record::Preset;

use super::reproduction::ORIGINS;
use super::results::{Measured, Results};

/// A result that a report rests on.
struct Listed {
    experiment: String,
    preset: Preset,
    cells: usize,
    seeds: usize,
    /// The command that makes it, without preset and number of seeds: the same for a smaller or larger result of its kind.
    kind: String,
}

impl Listed {
    /// A line of the table.
    fn parse(line: &str) -> Option<Self> {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let [experiment, preset, number, seeds, .., command] = cells[..] else {
            return None;
        };
        Some(Self {
            experiment: experiment.to_owned(),
            preset: preset.split(',').next()?.parse().ok()?,
            cells: number.parse().ok()?,
            seeds: seeds.parse().ok()?,
            kind: kind(command.trim_matches('`')),
        })
    }

    /// What the results have less of it, in words.
    fn lost(&self, results: &Results) -> Option<String> {
        let name = format!(
            "{} ({}, {} seeds, {} cells)",
            self.kind, self.preset, self.seeds, self.cells
        );
        let same =
            |measured: &&Measured| measured.name == self.experiment && kind(&measured.provenance.command) == self.kind;
        let Some(found) = results.all().find(same) else {
            return Some(name);
        };
        let new = &found.provenance;
        let less = match new.preset.cmp(&self.preset) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal => new.cells < self.cells || new.seeds < self.seeds,
            std::cmp::Ordering::Greater => false,
        };
        less.then(|| {
            format!(
                "{name}: there are {}, {} seeds, {} cells",
                new.preset, new.seeds, new.cells
            )
        })
    }
}

/// A command without how much it trains.
fn kind(command: &str) -> String {
    let mut words = command.split_whitespace();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "--preset" | "--seeds" => drop(words.next()),
            "mmcollapse" | "reproduce" => {}
            word => kept.push(word),
        }
    }
    kept.join(" ")
}

/// What the report at `path` rests on and the results lack, each in words; nothing if there is no report.
///
/// # Errors
/// A report that cannot be read.
pub(super) fn lost(path: &Path, results: &Results) -> Result<Vec<String>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error)
                .into_diagnostic()
                .wrap_err_with(|| path.display().to_string());
        }
    };
    let lines = text.lines().skip_while(|line| *line != ORIGINS);
    Ok(lines
        .filter_map(Listed::parse)
        .filter_map(|listed| listed.lost(results))
        .collect())
}
