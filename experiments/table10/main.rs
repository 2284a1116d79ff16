//! `table10`: `mmcollapse reproduce table10` as a program of its own.

mmcollapse_experiments::program!();
