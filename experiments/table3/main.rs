//! `table3`: `mmcollapse reproduce table3` as a program of its own.

mmcollapse_experiments::program!();
