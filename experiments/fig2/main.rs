//! `fig2`: `mmcollapse reproduce fig2` as a program of its own.

mmcollapse_experiments::program!();
