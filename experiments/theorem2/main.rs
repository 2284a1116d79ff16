//! `theorem2`: `mmcollapse reproduce theorem2` as a program of its own.

mmcollapse_experiments::program!();
