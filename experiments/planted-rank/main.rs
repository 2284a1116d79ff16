//! `planted-rank`: `mmcollapse reproduce planted-rank` as a program of its own.

mmcollapse_experiments::program!();
