//! `fig7`: `mmcollapse reproduce fig7` as a program of its own.

mmcollapse_experiments::program!();
