//! `ebr-stability`: `mmcollapse reproduce ebr-stability` as a program of its own.

mmcollapse_experiments::program!();
