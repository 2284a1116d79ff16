//! `table8`: `mmcollapse reproduce table8` as a program of its own.

mmcollapse_experiments::program!();
