//! `fig10`: `mmcollapse reproduce fig10` as a program of its own.

mmcollapse_experiments::program!();
