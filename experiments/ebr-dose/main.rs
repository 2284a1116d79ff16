//! `ebr-dose`: `mmcollapse reproduce ebr-dose` as a program of its own.

mmcollapse_experiments::program!();
