//! `fig6`: `mmcollapse reproduce fig6` as a program of its own.

mmcollapse_experiments::program!();
