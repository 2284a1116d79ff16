//! `fig3`: `mmcollapse reproduce fig3` as a program of its own.

mmcollapse_experiments::program!();
