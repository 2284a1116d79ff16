//! `theorem3`: `mmcollapse reproduce theorem3` as a program of its own.

mmcollapse_experiments::program!();
