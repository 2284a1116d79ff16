//! `fig5`: `mmcollapse reproduce fig5` as a program of its own.

mmcollapse_experiments::program!();
