//! `diagnose`: whether a modality of a user's own model has collapsed, and why.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use miette::{IntoDiagnostic, Result, WrapErr, miette};
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
    let arrays = Arrays::open_all(&asked.files)?;
    let inputs: Vec<&Path> = arrays.infos().map(|info| info.path.as_path()).collect();
    spare(&inputs, asked.json.as_deref(), asked.html.as_deref())?;
    let input = Input::read(&arrays)?;
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

/// Refuses an output that would replace an input or the other output.
fn spare(inputs: &[&Path], json: Option<&Path>, html: Option<&Path>) -> Result<()> {
    for (flag, path) in [("--json", json), ("--html", html)] {
        let Some(path) = path else { continue };
        if inputs.iter().any(|input| target(input) == target(path)) {
            return Err(miette!(
                help = "give another file",
                "{flag} {}: expected a file of its own, got one that holds arrays to diagnose",
                path.display()
            ));
        }
    }
    match (json, html) {
        (Some(json), Some(html)) if target(json) == target(html) => Err(miette!(
            help = "give two files",
            "--json {} and --html {}: expected two files, got one",
            json.display(),
            html.display()
        )),
        _ => Ok(()),
    }
}

/// Where what is written to `path` goes: to the file that a link leads to, in the folder that it leads to.
fn target(path: &Path) -> PathBuf {
    let mut path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    // A pipe has no path that a link could lead to.
    if is_stream(&path) {
        return path;
    }
    // As many links as Linux follows, the last of which may lead to what is not there yet.
    for _ in 0..40 {
        if let Ok(there) = path.canonicalize() {
            return there;
        }
        let Ok(to) = fs::read_link(&path) else { break };
        path = path.parent().map_or(to.clone(), |folder| folder.join(to));
    }
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path,
    }
}

/// Whether `path` is a device or a pipe.
fn is_stream(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|known| !known.is_file() && !known.is_dir())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let written = if is_stream(path) {
        pour(path, text)
    } else {
        write_atomic(&target(path), text.as_bytes())
    };
    written
        .into_diagnostic()
        .wrap_err_with(|| format!("{} cannot be written", path.display()))
}

/// Writes into a device or pipe: a file in its place would be the end of it.
#[expect(
    clippy::disallowed_methods,
    reason = "mmcollapse_files puts a whole file in the place of what is there"
)]
fn pour(path: &Path, text: &str) -> std::io::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_replace_no_input_and_not_each_other() {
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str| place.path().join(name);
        for name in ["arrays.npz", "folder/labels.npy"] {
            write_atomic(&file(name), b"arrays").unwrap();
        }
        let (npz, npy) = (file("arrays.npz"), file("folder/labels.npy"));
        let spared = |json: &str, html: &str| spare(&[&npz, &npy], Some(&file(json)), Some(&file(html)));
        spared("a.json", "a.html").unwrap();
        spared("arrays.npz.json", "folder/labels.html").unwrap();
        for (json, html, flag) in [
            ("arrays.npz", "a.html", "--json"),
            ("folder/../arrays.npz", "a.html", "--json"),
            ("a.json", "folder/labels.npy", "--html"),
        ] {
            let error = spared(json, html).unwrap_err().to_string();
            assert!(error.starts_with(flag) && error.contains("holds arrays"), "{error}");
        }
        let error = spared("one", "folder/../one").unwrap_err().to_string();
        assert!(error.contains("expected two files, got one"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_and_stays() {
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str| place.path().join(name);
        write_atomic(&file("old"), b"old").unwrap();
        // One leads to a file, one to what is not there yet.
        for (link, to) in [("first", "old"), ("second", "new")] {
            std::os::unix::fs::symlink(to, file(link)).unwrap();
            write(&file(link), "text").unwrap();
            assert!(fs::symlink_metadata(file(link)).unwrap().is_symlink());
            assert_eq!(fs::read_to_string(file(to)).unwrap(), "text");
        }
        assert!(spare(&[&file("old")], Some(&file("first")), None).is_err());
        assert!(spare(&[], Some(&file("new")), Some(&file("second"))).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_written_into_and_stays() {
        use std::os::unix::fs::FileTypeExt as _;
        let place = tempfile::tempdir().unwrap();
        let pipe = place.path().join("pipe");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read_to_string(pipe)
        });
        write(&pipe, "text").unwrap();
        // Were a file in its place, the reader would wait for ever.
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        assert_eq!(reader.join().unwrap().unwrap(), "text");
    }
}
