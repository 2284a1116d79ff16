//! `fig4`: `mmcollapse reproduce fig4` as a program of its own.

mmcollapse_experiments::program!();
