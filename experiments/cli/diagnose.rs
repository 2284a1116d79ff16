//! `diagnose`: whether a modality of a user's own model has collapsed, and why.

use std::path::{Path, PathBuf};

use clap::Args;
use miette::{IntoDiagnostic, Result, WrapErr};
use mmcollapse_arrays::Arrays;
use mmcollapse_diagnose::{Diagnosis, Input, Settings, diagnose, html, terminal};
use mmcollapse_files::{output, write_atomic};

/// What stands below the help of the verb.
pub(super) const EXAMPLES: &str = "\
Examples:
  mmcollapse diagnose arrays.npz
  mmcollapse diagnose arrays.safetensors --html diagnosis.html --json diagnosis.json
  mmcollapse diagnose embeddings.parquet labels.npy
  mmcollapse diagnose folder/        every .npy file in it, called as the file

Arrays: embedding.<modality> [n, width] of two or more modalities, labels [n], and fused [n, width] or logits [n, classes].
Optional: split [n] (0 fits probes, 1 evaluates), groups [n] (never split apart), logits.<modality>+<modality> [n, classes],
alone.<modality> [n, width], weight [neurons, all widths] or weight.<modality> [neurons, width].

Give samples that the model was not trained on. docs/diagnose.md says how to write the arrays from PyTorch, how to read the
answer, the rule behind `NEGLECTED`, and how often it errs.";

/// What is diagnosed, and where the answer goes.
#[derive(Args)]
pub(super) struct Asked {
    /// Files of arrays: .npz, .npy, .safetensors or .parquet, or a folder of .npy files.
    #[arg(required = true, value_name = "FILE|FOLDER")]
    files: Vec<PathBuf>,
    /// Write the diagnosis as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the diagnosis as a page with figures, which needs no script and no network.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Seed of the split, the bootstrap and the permutations.
    #[arg(long, default_value_t = Settings::default().seed)]
    seed: u64,
    /// Draws of the bootstrap. Fewer than 1000 leave p values too coarse for many modalities.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(200..))]
    resamples: u32,
    /// Most samples that fit probes [default: 50 million / (width of all encoders x classes), from 2000 to 20000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(20..))]
    fit_rows: Option<u32>,
    /// Most samples that evaluate.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(20..))]
    evaluate_rows: u32,
}

/// Diagnoses, writes what is asked for, and prints the tables.
pub(super) fn run(asked: &Asked) -> Result<()> {
    let input = Input::read(&Arrays::open_all(&asked.files)?)?;
    let settings = Settings {
        seed: asked.seed,
        resamples: asked.resamples as usize,
        fit_rows: asked.fit_rows.map(|rows| rows as usize),
        evaluate_rows: asked.evaluate_rows as usize,
        ..Settings::default()
    };
    let found = diagnose(&input, &settings)?;
    if let Some(path) = &asked.json {
        write(path, &json(&found)?)?;
    }
    if let Some(path) = &asked.html {
        let names: Vec<String> = asked.files.iter().map(|file| name(file)).collect();
        write(
            path,
            &html::page(&found, &format!("Diagnosis of {}", names.join(", ")))?,
        )?;
    }
    output::out(format_args!("{}", terminal::text(&found)));
    Ok(())
}

fn json(found: &Diagnosis) -> Result<String> {
    Ok(serde_json::to_string_pretty(found).into_diagnostic()? + "\n")
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

fn write(path: &Path, text: &str) -> Result<()> {
    write_atomic(path, text.as_bytes())
        .into_diagnostic()
        .wrap_err_with(|| format!("{} cannot be written", path.display()))
}
