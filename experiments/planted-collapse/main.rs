//! `planted-collapse`: `mmcollapse reproduce planted-collapse` as a program of its own.

mmcollapse_experiments::program!();
