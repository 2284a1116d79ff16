//! `table2`: `mmcollapse reproduce table2` as a program of its own.

mmcollapse_experiments::program!();
