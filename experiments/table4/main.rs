//! `table4`: `mmcollapse reproduce table4` as a program of its own.

mmcollapse_experiments::program!();
