//! `table11`: `mmcollapse reproduce table11` as a program of its own.

mmcollapse_experiments::program!();
