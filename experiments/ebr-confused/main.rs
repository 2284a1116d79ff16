//! `ebr-confused`: `mmcollapse reproduce ebr-confused` as a program of its own.

mmcollapse_experiments::program!();
