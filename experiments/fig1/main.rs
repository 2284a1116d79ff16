//! `fig1`: `mmcollapse reproduce fig1` as a program of its own.

mmcollapse_experiments::program!();
