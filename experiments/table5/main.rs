//! `table5`: `mmcollapse reproduce table5` as a program of its own.

mmcollapse_experiments::program!();
