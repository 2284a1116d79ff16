//! `fig8`: `mmcollapse reproduce fig8` as a program of its own.

mmcollapse_experiments::program!();
