//! `rank-bottleneck`: `mmcollapse reproduce rank-bottleneck` as a program of its own.

mmcollapse_experiments::program!();
