//! `fig9`: `mmcollapse reproduce fig9` as a program of its own.

mmcollapse_experiments::program!();
