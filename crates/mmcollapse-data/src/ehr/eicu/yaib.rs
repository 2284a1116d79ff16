//! Hourly laboratory values and vital signs as YAIB (van de Water et al., ICLR 2024) keeps them of eICU's demo, for folders
//! without the table of laboratory values.

use std::fs::File;
use std::panic;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::super::cohort::LabItem;
use super::super::error::EhrError;
use super::events::Measured;
use super::stays::Stays;
use crate::manifest::folder_in;

/// Names the folder that holds `dyn.parquet`.
const VARIABLE: &str = "YAIB_EICU_DEMO_DIR";

/// The table in the folder that the variable names, else in `yaib` below the folder of the other tables, where downloads
/// lie.
pub(super) fn table(folder: &Path) -> Option<PathBuf> {
    let folder = folder_in(VARIABLE).unwrap_or_else(|| folder.join("yaib"));
    Some(folder.join("dyn.parquet")).filter(|path| path.is_file())
}

/// Puts the values of `path` into `stays`; the columns that hold any. A row is a stay and an hour; an hour's values are
/// known at its end.
pub(super) fn labs(path: &Path, stays: &mut Stays) -> Result<Vec<LabItem>, EhrError> {
    // The parquet crate panics over some damaged pages.
    let measured = panic::catch_unwind(|| read(path, stays));
    let measured = measured.unwrap_or_else(|_| Err(broken(path, "not a readable parquet file: its reader panicked")));
    Ok(measured?.put(stays))
}

fn read(path: &Path, stays: &Stays) -> Result<Measured, EhrError> {
    let unreadable = |error: ParquetError| broken(path, &format!("not a readable parquet file: {error}"));
    let file = File::open(path).map_err(|error| broken(path, &error.to_string()))?;
    let reader = SerializedFileReader::new(file).map_err(unreadable)?;
    let mut measured = Measured::default();
    for (n, row) in reader.get_row_iter(None).map_err(unreadable)?.enumerate() {
        let row = row.map_err(unreadable)?;
        let (mut stay, mut second) = (None, None);
        for (name, field) in row.get_column_iter() {
            match name.as_str() {
                "stay_id" => stay = whole(field),
                "time" => second = whole(field),
                _ => {}
            }
        }
        let (Some(stay), Some(second)) = (stay, second) else {
            let reason = format!("row {}: expected a `stay_id` and a `time` in seconds", n + 1);
            return Err(broken(path, &reason));
        };
        let place = u64::try_from(stay).ok().and_then(|id| stays.place(id));
        let Some(place) = place else { continue };
        let Some(minute) = stays.minute(place, (second + 3600) / 60) else {
            continue;
        };
        for (name, field) in row.get_column_iter() {
            if let Field::Double(value) = field
                && value.is_finite()
            {
                measured.add(place, name, minute, *value as f32);
            }
        }
    }
    Ok(measured)
}

fn whole(field: &Field) -> Option<i64> {
    match field {
        Field::Int(value) => Some(i64::from(*value)),
        Field::Long(value) => Some(*value),
        _ => None,
    }
}

fn broken(path: &Path, reason: &str) -> EhrError {
    EhrError::Broken {
        path: path.to_owned(),
        line: 0,
        reason: reason.to_owned(),
    }
}
