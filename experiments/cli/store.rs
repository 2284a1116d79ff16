//! `store`: what the store holds, and less of it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use miette::Result;
use mmcollapse_files::{say, tell};
use mmcollapse_run::store::Store;

/// What is done to the store.
#[derive(Subcommand)]
pub enum Verb {
    /// Print how many cells and weights the store holds, and how many bytes.
    Show {
        #[command(flatten)]
        kept: Kept,
    },
    /// Remove the oldest weights until the others take at most so many bytes. Scores and tables stay.
    #[command(after_help = "\
Examples:
  mmcollapse store prune --weights 2GiB
  mmcollapse store prune --weights 0          all weights

Without its weights a trained cell keeps its scores. A measure that is added later cannot reach it.")]
    Prune {
        #[command(flatten)]
        kept: Kept,
        /// Most that weights may take, such as 500MiB or 2GiB.
        #[arg(long, value_name = "SIZE")]
        weights: Bytes,
    },
}

/// Which store.
#[derive(Args)]
pub struct Kept {
    /// Folder of the trained cells.
    #[arg(long, default_value = "runs")]
    store: PathBuf,
}

impl Verb {
    /// Does it.
    pub fn run(&self) -> Result<()> {
        match self {
            Self::Show { kept } => {
                let size = Store::new(&kept.store).size()?;
                say!("{}", kept.store.display());
                say!("  {:>7} finished cells  {}", size.cells, Bytes(size.cell_bytes));
                say!("  {:>7} weights         {}", size.fits, Bytes(size.fit_bytes));
            }
            Self::Prune { kept, weights } => {
                let (files, bytes) = Store::new(&kept.store).prune(weights.0)?;
                say!("removed {files} weights, {}", Bytes(bytes));
            }
        }
        Ok(())
    }
}

/// Removes the oldest weights beyond the limit, and says so. A store that cannot be pruned is told, and kept.
pub fn limit(store: &Store, weights: Bytes) {
    match store.prune(weights.0) {
        Ok((0, _)) => {}
        Ok((files, bytes)) => tell!(
            "removed the {files} oldest weights ({}) to stay within {weights}; scores are kept",
            Bytes(bytes)
        ),
        Err(error) => tell!("{error}; its weights may take more than {weights}"),
    }
}

/// A number of bytes: `2GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit = UNITS
            .iter()
            .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
        let (number, bytes) = unit.unwrap_or((text, 1));
        let product = number
            .trim()
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(bytes));
        product.map(Self).ok_or_else(|| {
            let units = UNITS.map(|(unit, _)| unit).join(", ");
            format!("expected a whole number of bytes or of one of {units}, such as 2GiB; got `{text}`")
        })
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().rev().find(|(_, bytes)| self.0 >= *bytes) {
            Some((unit, bytes)) => write!(f, "{:.1} {unit}", self.0 as f64 / *bytes as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        assert_eq!("2GiB".parse(), Ok(Bytes(2 << 30)));
        assert_eq!("0".parse(), Ok(Bytes(0)));
        assert_eq!("3 MiB".parse(), Ok(Bytes(3 << 20)));
        for wrong in ["", "GiB", "2GB", "-1", "1.5GiB", "99999999999TiB"] {
            let error = wrong.parse::<Bytes>().unwrap_err();
            assert!(error.contains(&format!("got `{wrong}`")), "{error}");
        }
        assert_eq!(Bytes(3 << 29).to_string(), "1.5 GiB");
        assert_eq!(Bytes(12).to_string(), "12 bytes");
    }
}
