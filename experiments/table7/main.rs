//! `table7`: `mmcollapse reproduce table7` as a program of its own.

mmcollapse_experiments::program!();
