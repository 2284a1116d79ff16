//! `theorem1`: `mmcollapse reproduce theorem1` as a program of its own.

mmcollapse_experiments::program!();
