//! The model's own output, given all modalities or some.

use mmcollapse_arrays::{Array, Arrays, Values};

use crate::error::{Result, input};
use crate::features::{Features, refused};

/// How far from 1 the chances of a sample may sum, and the largest be: those of a thousand classes in half precision do.
const SUM_WITHIN: f64 = 0.01;

/// The arrays `logits` and `logits.<subset>`.
pub(crate) struct Outputs {
    /// Given all modalities.
    pub logits: Option<Features>,
    /// Given some of them; bit i says whether modality i is given.
    pub subsets: Vec<(usize, Features)>,
}

impl Outputs {
    /// Reads them. `logits.<subset>` of all `modalities` is `logits`.
    ///
    /// # Errors
    /// A subset of unknown or repeated modalities, two arrays of one subset, what is no logits of the `labels`.
    pub fn read(arrays: &Arrays, modalities: &[&str], labels: &[i64]) -> Result<Self> {
        let full = (1 << modalities.len()) - 1;
        let mut known: Vec<(usize, &str)> = Vec::new();
        let mut found = Self {
            logits: None,
            subsets: Vec::new(),
        };
        for info in arrays.infos() {
            let name = info.name.as_str();
            let mask = match name.strip_prefix("logits") {
                Some("") => full,
                Some(rest) if rest.starts_with('.') => subset(name, &rest[1..], modalities)?,
                _ => continue,
            };
            if let Some((_, other)) = known.iter().find(|(of, _)| *of == mask) {
                return Err(input(
                    format!(
                        "arrays `{other}` and `{name}`: expected one array for each subset of modalities, got two of one"
                    ),
                    "leave one of them out; `logits` is the output given all modalities",
                ));
            }
            known.push((mask, name));
            let logits = logits(arrays.read(name)?, labels, mask == full)?;
            if mask == full {
                found.logits = Some(logits);
            } else {
                found.subsets.push((mask, logits));
            }
        }
        Ok(found)
    }
}

/// The modalities that `given` joins by `+`, as bits.
fn subset(name: &str, given: &str, modalities: &[&str]) -> Result<usize> {
    let help = "name a subset as logits.<modality>+<modality>";
    let mut mask = 0;
    for part in given.split('+') {
        let Some(place) = modalities.iter().position(|known| *known == part) else {
            let reason = format!(
                "array `{name}`: expected modalities among {}, got `{part}`",
                modalities.join(", ")
            );
            return Err(input(reason, help));
        };
        if mask >> place & 1 == 1 {
            return Err(input(
                format!("array `{name}`: expected each modality once, got `{part}` twice"),
                help,
            ));
        }
        mask |= 1 << place;
    }
    Ok(mask)
}

/// Logits `[n, classes]` of which label k is column k; the one logit of a binary model becomes two.
fn logits(mut array: Array, labels: &[i64], whole: bool) -> Result<Features> {
    refuse_probabilities(&array, whole)?;
    let one = matches!(array.info.shape.as_slice(), [_] | [_, 1]);
    if one {
        let of = |row: usize| [0.0, array.values.get(row).unwrap_or(f64::NAN)];
        array.values = Values::Double((0..array.info.rows()).flat_map(of).collect());
        array.info.shape = vec![array.info.rows(), 2];
    }
    let columns = array.info.shape.get(1).copied().unwrap_or(0);
    let fits = |label: &i64| usize::try_from(*label).is_ok_and(|label| label < columns);
    if array.info.shape.len() == 2 && !labels.iter().all(fits) {
        let (reason, help) = if one {
            (
                "expected labels 0 and 1 beside one logit, got others".to_owned(),
                "one logit is that of label 1 against label 0; labels count from 0",
            )
        } else {
            let (least, most) = (labels.iter().min().unwrap_or(&0), labels.iter().max().unwrap_or(&0));
            (
                format!("expected a column for every label, got {columns} columns and labels from {least} to {most}"),
                "labels count from 0: label k belongs to column k",
            )
        };
        return Err(refused(&array, reason, help));
    }
    if whole {
        refuse_masked(&array, labels)?;
    }
    Features::new(array, Some(labels.len()))
}

/// Refuses logits of which one sample's loss would hide all others: its class was masked, or they are no logits.
fn refuse_masked(array: &Array, labels: &[i64]) -> Result<()> {
    /// Nats of one sample, more than any sum over samples that tells anything.
    const MOST: f64 = 1e4;
    let &[rows, columns] = array.info.shape.as_slice() else {
        return Ok(());
    };
    for (row, label) in labels.iter().enumerate().take(rows) {
        let value = |column: usize| array.values.get(row * columns + column).unwrap_or(f64::NAN);
        let largest = (0..columns).map(value).fold(f64::NEG_INFINITY, f64::max);
        let own = usize::try_from(*label).map_or(f64::NAN, value);
        if largest - own > MOST {
            return Err(refused(
                array,
                format!(
                    "row {row}: expected logits, got one of the sample's own class that is {:.3e} below the largest",
                    largest - own
                ),
                "if the model masks classes, leave out the samples of these classes, or write what it computes before the mask",
            ));
        }
    }
    Ok(())
}

/// Refuses probabilities, which as logits would say almost nothing. Turning them into logits here would have to guess what a
/// probability that was rounded to 0 or 1 had been.
///
/// Rows of several classes that sum to 1 or to 100 surely are. Values in [0, 1] alone are taken for sigmoids of each class, if they vary:
/// logits of a trained model hardly ever stay there, and those that do say the same in another size. Of some modalities only the
/// largest logit counts (`whole` is false), which sigmoids leave where it was.
fn refuse_probabilities(array: &Array, whole: bool) -> Result<()> {
    let (rows, columns) = match array.info.shape.as_slice() {
        [rows] => (*rows, 1),
        [rows, columns] => (*rows, *columns),
        _ => return Ok(()),
    };
    let value = |at: usize| array.values.get(at).unwrap_or(f64::NAN);
    let within = |most: f64| {
        let (low, high) = (-SUM_WITHIN * most, most + SUM_WITHIN * most);
        rows * columns > 0 && (0..rows * columns).all(|at| (low..=high).contains(&value(at)))
    };
    let sum = |row: usize| (row * columns..(row + 1) * columns).map(value).sum::<f64>();
    for (most, name) in [(1.0, "probabilities"), (100.0, "percentages")] {
        if columns > 1 && within(most) && (0..rows).all(|row| (sum(row) - most).abs() <= SUM_WITHIN * most) {
            let log = if most > 1.0 { "log(p / 100)" } else { "log(p)" };
            return Err(refused(
                array,
                format!("expected logits, got rows in [0, {most}] that sum to {most}, as {name} do"),
                &format!("give logits: {log}, or better what the model computes before the softmax"),
            ));
        }
    }
    let varies = || (columns..rows * columns).any(|at| value(at) != value(at % columns));
    if within(1.0) && (columns == 1 || (whole && varies())) {
        return Err(refused(
            array,
            "expected logits, got values in [0, 1] alone, as probabilities are".into(),
            "give logits: log(p / (1 - p)), or better what the model computes before the sigmoid; if these are logits, give them times 10: \
             their size changes nothing",
        ));
    }
    Ok(())
}
