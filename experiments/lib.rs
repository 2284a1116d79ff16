//! Every experiment: one folder each with its spec, the paper's numbers and a program of its own.

use mmcollapse_bench::experiment::ExperimentInfo;

/// The experiments, in the paper's order; a new one is a folder and a line here.
pub static EXPERIMENTS: &[ExperimentInfo] = &[
    ExperimentInfo {
        name: "table3",
        title: "avMNIST accuracy at audio missing rates, method against method",
        spec: include_str!("table3/spec.yaml"),
        paper: include_str!("table3/paper.yaml"),
    },
    ExperimentInfo {
        name: "table4",
        title: "avMNIST accuracy at audio missing rates, every fusion with every reallocation",
        spec: include_str!("table4/spec.yaml"),
        paper: include_str!("table4/paper.yaml"),
    },
];
