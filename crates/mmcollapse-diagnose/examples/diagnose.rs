//! Diagnoses files: `cargo run --release -p mmcollapse-diagnose --example diagnose FILE... [--html OUT]`, for trials.

use mmcollapse_arrays::Arrays;
use mmcollapse_diagnose::{Input, Settings, diagnose, html, terminal};
use mmcollapse_files::output::out;

fn main() -> miette::Result<()> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let input = Input::read(&Arrays::open_all(&paths)?)?;
    let found = diagnose(&input, &Settings::default())?;
    out(format_args!("{}", terminal::text(&found)));
    let page = html::page(&found, "trial")?;
    mmcollapse_files::write_atomic(std::path::Path::new("/tmp/wdiag/trial.html"), page.as_bytes()).expect("written");
    Ok(())
}
