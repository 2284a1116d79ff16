//! `table1`: `mmcollapse reproduce table1` as a program of its own.

mmcollapse_experiments::program!();
