//! `table9`: `mmcollapse reproduce table9` as a program of its own.

mmcollapse_experiments::program!();
