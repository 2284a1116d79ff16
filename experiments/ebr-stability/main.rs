//! `ebr-stability`: `mmcollapse reproduce ebr-stability` as a program of its own.

use std::process::ExitCode;

use mmcollapse_experiments::EXPERIMENTS;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mmcollapse_bench::cli::main(EXPERIMENTS, Some("ebr-stability"))
}
