//! `balancing`: `mmcollapse reproduce balancing` as a program of its own.

mmcollapse_experiments::program!();
