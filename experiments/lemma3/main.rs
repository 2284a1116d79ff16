//! `lemma3`: `mmcollapse reproduce lemma3` as a program of its own.

mmcollapse_experiments::program!();
