//! `table6`: `mmcollapse reproduce table6` as a program of its own.

mmcollapse_experiments::program!();
