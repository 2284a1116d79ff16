//! Where the real data are, for the tests that need them.

use std::io::Write;
use std::path::PathBuf;

use mmcollapse_data::catalog::Need;
use mmcollapse_data::hub::Hub;
use mmcollapse_data::manifest::BuiltIn;
use mmcollapse_data::manifest::Manifest;

/// The cache of `MMCOLLAPSE_TEST_HF_HOME`, else of `HF_HOME`, offline, if it holds every source that `data fetch all` downloads; else says loudly that
/// `what` is skipped.
pub fn hub(what: &str) -> Option<Hub> {
    let home = std::env::var("MMCOLLAPSE_TEST_HF_HOME").or_else(|_| std::env::var("HF_HOME"));
    let hub = Hub {
        offline: true,
        ..Hub::from_variables(|name| (name == "HF_HOME").then(|| home.clone().ok()).flatten())
    };
    let manifests = Manifest::all().unwrap();
    let needed = manifests.iter().filter(|m| m.need == Need::Required);
    let files = needed.flat_map(|m| m.files.iter().map(|file| m.remote(file)));
    let missing: Vec<PathBuf> = files
        .filter(|file| hub.cached(file).is_none())
        .map(|file| hub.folder(&file).join(file.file))
        .collect();
    if home.is_ok() && missing.is_empty() {
        return Some(hub);
    }
    // Written past the test harness, which keeps what a passing test prints to itself.
    let _ = writeln!(
        std::io::stderr(),
        "\n!!! SKIPPED: {what}: set HF_HOME to a cache with the data (`data fetch all`); missing: {missing:?}\n"
    );
    None
}

/// The folder of ESC-10 that the environment names; else says loudly that `what` is skipped.
#[allow(dead_code, reason = "not every test file needs it")]
pub fn esc10(what: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("MMCOLLAPSE_ESC10_DIR").filter(|value| !value.is_empty());
    if folder.is_none() {
        let _ = writeln!(std::io::stderr(), "\n!!! SKIPPED: {what}: set MMCOLLAPSE_ESC10_DIR\n");
    }
    folder.map(PathBuf::from)
}
