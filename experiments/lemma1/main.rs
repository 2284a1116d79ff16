//! `lemma1`: `mmcollapse reproduce lemma1` as a program of its own.

mmcollapse_experiments::program!();
