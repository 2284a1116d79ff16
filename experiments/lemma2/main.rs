//! `lemma2`: `mmcollapse reproduce lemma2` as a program of its own.

mmcollapse_experiments::program!();
