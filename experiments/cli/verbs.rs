//! The verbs and their own flags, with the texts of `--help`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use mmcollapse_nn::device::DeviceChoice;

use super::options::{From, How, Place, To, What, dataset, duration};
use super::{compare, data, diagnose, export, store, tune};

/// Multimodal representation collapse: trains, measures and tabulates.
#[derive(Parser)]
#[command(name = "mmcollapse", version, after_help = EXAMPLES)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  mmcollapse reproduce table4                      the paper's Table 4 with the quick preset
  mmcollapse reproduce table4 --dry-run            what that would train, and how long it would take
  mmcollapse reproduce table4 --preset smoke       a minute: shows that everything works
  mmcollapse run table4 --only concat+ebr --seeds 1
  mmcollapse tune table3                           settings for every row, with the same budget
  mmcollapse list                                  every experiment; `list table4` describes one
  mmcollapse list methods
  mmcollapse diagnose arrays.npz --html page.html  is a modality of my own model neglected?
  mmcollapse data list                             every data set and where its data are
  mmcollapse data fetch avmnist
  mmcollapse compare table4 predictions.parquet --name my-method     your method beside every row

Ctrl-C stops cleanly; the same command continues.";

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Train what an experiment needs and make its tables and figures.
    #[command(after_help = "\
Examples:
  mmcollapse reproduce table4
  mmcollapse reproduce table3 table4 --preset quick --workers 2
  mmcollapse reproduce table4 --preset full --device cuda:0 --workers 4
  mmcollapse reproduce table4 --dry-run
  mmcollapse reproduce table4 --dry-run -v      every cell with its key
  mmcollapse reproduce table3 --tuned     with the settings that `mmcollapse tune table3` found
  mmcollapse reproduce table3 --dataset avmnist-hard
  mmcollapse reproduce table4 --seeds 2 --force     two seeds, even if they replace a result of ten
  mmcollapse reproduce all --preset quick --limit 150m     every result, in parts of at most 150 minutes

`all` is every experiment on its own data set, and every other result of the preset in RESULTS.

Cells are trained seed by seed. After each seed the table and figure are written anew with their n. A result with fewer
rows, seeds or cells than the existing one goes to RESULTS/<experiment>/<preset>-partial/, and says so.

Trained cells are kept in the store (--store). Cells that two experiments share are trained once. An interrupted run
continues where it stopped, and several runs may share one store. A run that --limit ends exits with 75.

RESULTS/cells/ holds the cells of published results. Those that the store lacks are taken from there, not trained.")]
    Reproduce {
        /// Names of experiments, as `mmcollapse list experiments` prints them; or `all`.
        #[arg(required = true)]
        experiments: Vec<String>,
        #[command(flatten)]
        what: What,
        /// Use the best setting of each row from RESULTS/tuned/<experiment>/[<data set>-]<preset>.yaml. Results go to
        /// RESULTS/<experiment>/[<data set>-]<preset>-tuned/.
        #[arg(long)]
        tuned: bool,
        /// Stop after this time, such as 150m or 2h, as Ctrl-C does. The same command continues.
        #[arg(long, value_name = "TIME", value_parser = duration)]
        limit: Option<Duration>,
        #[command(flatten)]
        how: How,
        #[command(flatten)]
        to: To,
    },
    /// Search settings for every row of an experiment with equal trials, judged on validation only.
    ///
    /// Trial 0 of a row is the spec's own setting. The others draw every option that experiments/tune.yaml declares for
    /// the row's methods. Every trial, and the best of each row, is written to
    /// RESULTS/tuned/<experiment>/[<data set>-]<preset>.yaml. `mmcollapse reproduce <experiment> --tuned` reads it.
    #[command(after_help = "\
Examples:
  mmcollapse tune table3                              16 trials of 2 seeds for every row
  mmcollapse tune table3 --dry-run                    the settings drawn, and how long they would take
  mmcollapse tune table3 --only concat,shaspec+ebr
  mmcollapse tune table3 --preset smoke --trials 2 --seeds 1
  mmcollapse tune table3 --protocol train_availability --rate 0.95
  mmcollapse tune table2 --dataset physionet-2012     for `mmcollapse reproduce table2 --dataset physionet-2012 --tuned`

Settings go to RESULTS/tuned/<experiment>/[<data set>-]<preset>.yaml. Trials are cells of the store, and after each stage of
RESULTS/cells/<experiment>/[<data set>-]<preset>-trials.jsonl.zst: an interrupted search continues where it stopped, on another
machine too, and a search with more trials trains only the new ones.")]
    Tune {
        /// Name of the experiment.
        experiment: String,
        #[command(flatten)]
        asked: tune::Asked,
        #[command(flatten)]
        how: How,
        #[command(flatten)]
        from: From,
    },
    /// Train some cells of an experiment, without making tables.
    #[command(after_help = "\
Examples:
  mmcollapse run table4 --only shaspec+ebr
  mmcollapse run table4 --only fusion=concat --only seed=0..3
  mmcollapse run table4 --only protocol=test_missing,reallocation=kd --dry-run

Filters on the same field are alternatives, those on different fields must all hold.")]
    Run {
        /// Name of the experiment.
        experiment: String,
        /// Train only these cells: a row's name, or FIELD=VALUE with the fields row, fusion, reallocation,
        /// protocol, rate, seed. May be given several times.
        #[arg(long, value_name = "FILTER")]
        only: Vec<String>,
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        how: How,
        #[command(flatten)]
        from: From,
    },
    /// Make tables, figures, REPRODUCTION.md and the HTML report from stored runs, without training.
    ///
    /// Tables and figures come from the store. RESULTS/REPRODUCTION.md and RESULTS/report/index.html come from the files
    /// in RESULTS: the largest complete preset of each experiment, smoke excepted. If they would lose an experiment, they
    /// are left unchanged and the command fails.
    #[command(after_help = "\
Examples:
  mmcollapse report                       of every experiment that has cells in the store
  mmcollapse report table4 --preset smoke
  mmcollapse report table4 --force        even if the existing result has more rows or seeds")]
    Report {
        /// Names of experiments; all if none is given.
        experiments: Vec<String>,
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        to: To,
    },
    /// Print of each published result whether today's code, spec and data would train the same cells.
    ///
    /// A result is stale where its cells have other keys today, incomplete where it lacks cells, else fresh. Fails where a result
    /// is stale, or was trained from changed sources, and RESULTS/exceptions.yaml does not list it. Writes
    /// RESULTS/states.yaml for the pages. Data that are not at hand are not compared.
    Results {
        /// Folder of the results.
        #[arg(long, default_value = "results")]
        results: PathBuf,
        /// The YAML of your own data set that some results are of; may be repeated.
        #[arg(long, value_name = "YAML")]
        own: Vec<PathBuf>,
    },
    /// Write what the cells of an experiment give their models, for a method of any language.
    ///
    /// Writes for each seed inputs, labels of training and validation, and all masks of the experiment's protocols, exactly those that
    /// the cells use: safetensors files with an index.json. Test labels are not written. docs/compare.md describes the form.
    #[command(after_help = "\
Examples:
  mmcollapse export avmnist exchange                       Table 4, every seed of the quick preset
  mmcollapse export avmnist exchange --seed 100..110       the first ten of them
  mmcollapse export avmnist-embedded exchange --preset smoke
  mmcollapse export eicu-demo exchange --experiment table1

Masks of every level are in it. Inputs of health records are those of patients: keep the folder as you keep the source.")]
    Export {
        /// Data set whose samples are written, as `--dataset` of other verbs has it.
        #[arg(value_name = "DATASET", value_parser = dataset)]
        dataset: String,
        /// Folder to write; it must be empty or not there yet.
        folder: PathBuf,
        #[command(flatten)]
        asked: export::Asked,
    },
    /// Score predictions of another program beside every row of an experiment, or compare two rows.
    ///
    /// Checks the predictions against the export, scores them as cells are scored, and writes table, figure and paired tests with
    /// them to RESULTS/<experiment>/<preset>-with-<name>/. Other results stay as they are. docs/compare.md describes the form.
    #[command(after_help = "\
Examples:
  mmcollapse compare table4 predictions.parquet --name my-method
  mmcollapse compare table4 predictions.parquet --name my-method --dataset avmnist-embedded --preset smoke
  mmcollapse compare table4 --rows concat+kd concat        two rows, by the rule of every verdict

Rows are those that the store and RESULTS/cells/ have; nothing is trained.")]
    Compare {
        /// Name of the experiment.
        experiment: String,
        #[command(flatten)]
        asked: compare::Asked,
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        from: From,
    },
    /// Print the experiments, one line each, or details: methods with their options, data sets, one experiment.
    #[command(after_help = "\
Examples:
  mmcollapse list                  every experiment, one line each
  mmcollapse list table4           data sets, protocols, levels and rows of one
  mmcollapse list methods          every method with its options and defaults
  mmcollapse list datasets         every data set; `mmcollapse data list` says where its data are")]
    List {
        /// `experiments`, `methods`, `datasets`, or the name of an experiment.
        #[arg(value_name = "WHAT", default_value = "experiments")]
        what: String,
    },
    /// Say of your own model whether a modality is neglected, kept or uninformative, and why.
    ///
    /// Reads what the model's encoders and fusion give for held-out samples. Fits linear probes; trains nothing else.
    #[command(after_help = diagnose::EXAMPLES)]
    Diagnose {
        #[command(flatten)]
        asked: diagnose::Asked,
    },
    /// Show, fetch or check the data.
    Data {
        #[command(subcommand)]
        verb: data::Verb,
    },
    /// Show what the store of trained cells holds, or remove weights from it.
    Store {
        #[command(subcommand)]
        verb: store::Verb,
    },
    /// Train the smoke preset anew and compare its scores with the golden values.
    #[command(after_help = "\
Examples:
  mmcollapse gate                  every experiment that has golden values
  mmcollapse gate table4
  mmcollapse gate table4 --update  write golden values; look at the difference before you commit it")]
    Gate {
        /// Names of experiments; all that have golden values if none is given.
        experiments: Vec<String>,
        /// Write the golden values instead of comparing with them.
        #[arg(long)]
        update: bool,
        /// Processes that train at the same time [default: the number of cores].
        #[arg(long, value_name = "N")]
        workers: Option<usize>,
        /// Never use the network.
        #[arg(long)]
        offline: bool,
        /// Folder whose golden/ holds the golden values.
        #[arg(long, default_value = "results")]
        results: PathBuf,
    },
    /// Train cells as the runner says; started by the runner only.
    #[command(hide = true)]
    Worker {
        #[arg(long)]
        store: PathBuf,
        #[arg(long)]
        device: DeviceChoice,
        /// A user's own data set.
        #[arg(long)]
        own: Vec<PathBuf>,
    },
    /// Train what nobody has trained of the jobs that a submitter wrote; started by Slurm only.
    #[command(hide = true)]
    Task {
        #[arg(long)]
        store: PathBuf,
        #[arg(long)]
        device: DeviceChoice,
        #[arg(long)]
        workers: Option<usize>,
        #[arg(long)]
        own: Vec<PathBuf>,
        #[arg(long)]
        jobs: PathBuf,
    },
}
