//! The command line: verbs, flags, and what each does.

mod compare;
mod data;
mod diagnose;
mod dry;
mod engine;
mod export;
#[cfg(test)]
#[path = "../crates/mmcollapse-run/src/tuning/fixture.rs"]
pub(crate) mod fixture;
mod gate;
pub(crate) mod list;
pub(crate) mod results;
mod run;
mod store;
mod tune;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use miette::{IntoDiagnostic, Result, miette};
use mmcollapse_files::output::{self, Lost};
use mmcollapse_files::tell;
use mmcollapse_nn::device::DeviceChoice;

use mmcollapse_record::{ExperimentInfo, Preset};
use mmcollapse_report::report::claims::Claims;
use mmcollapse_run::models::Training;
use mmcollapse_run::provenance::{Build, cores, origin};
use mmcollapse_run::runner::Interrupt;
use mmcollapse_run::signals;
use mmcollapse_run::store::Store;
use mmcollapse_run::worker::serve;

use crate::pages;

/// Reads a preset.
fn presets() -> impl TypedValueParser<Value = Preset> {
    PossibleValuesParser::new(Preset::ALL.map(Preset::as_str)).try_map(|name| name.parse())
}

/// Exit status of an interrupted run, as shells have it for Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Seconds of the longest limit that can be set.
const YEAR: u64 = 366 * 24 * 3600;

/// Exit status of a run that its limit ended, as `sysexits.h` has it for what is to be tried again.
const LIMITED: u8 = 75;

/// Exit status of what only prints, when its reader has gone, as shells have it for SIGPIPE.
const NO_READER: u8 = 141;

/// Multimodal representation collapse: trains, measures and tabulates.
#[derive(Parser)]
#[command(name = "mmcollapse", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
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
enum Verb {
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

/// What is run.
#[derive(Args, Clone)]
struct What {
    /// Size of the run: smoke (seconds), quick (an hour or more on two cores), full (the paper's protocol, many seeds).
    #[arg(long, value_parser = presets(), default_value_t = Preset::Quick)]
    preset: Preset,
    /// Number of seeds instead of the preset's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Use another data set than the spec's, with the same modality. Results go to
    /// RESULTS/<experiment>/<data set>-<preset>/, without the paper's numbers. A path that ends in .yaml is your own data
    /// set (docs/own-data.md).
    #[arg(long, value_name = "NAME", value_parser = dataset)]
    dataset: Option<String>,
}

/// Where cells are kept and found.
#[derive(Args, Clone)]
struct Place {
    /// Folder of the trained cells.
    #[arg(long, default_value = "runs")]
    store: PathBuf,
    /// Never use the network. Data must be in the hub's cache (HF_HOME); if avmnist is not, avmnist-embedded replaces
    /// it.
    #[arg(long)]
    offline: bool,
}

/// Where published results are.
#[derive(Args, Clone)]
struct From {
    /// Folder of tables and figures, RESULTS/<experiment>/<preset>/, and of their cells, RESULTS/cells/.
    #[arg(long, default_value = "results")]
    results: PathBuf,
    /// Take no cell from RESULTS/cells/: train all that the store lacks.
    #[arg(long)]
    no_published: bool,
}

/// Where results go.
#[derive(Args, Clone)]
struct To {
    #[command(flatten)]
    from: From,
    /// Let a less complete result (fewer rows, seeds or cells) replace a more complete one, instead of writing it to
    /// RESULTS/<experiment>/<preset>-partial/.
    #[arg(long)]
    force: bool,
}

impl To {
    fn published(&self) -> run::Published<'_> {
        run::Published {
            results: &self.from.results,
            force: self.force,
            anew: self.from.no_published,
        }
    }
}

/// How it is run.
#[derive(Args, Clone)]
struct How {
    #[command(flatten)]
    place: Place,
    /// Device to train on: cpu, cuda:N or auto.
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    /// Processes that train at the same time [default: the number of cores; of a Slurm task, its CPUs].
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    #[command(flatten)]
    place_of_work: engine::Where,
    /// Most that the weights of trained cells may take in the store. The oldest are removed after a run; scores stay.
    #[arg(long, value_name = "SIZE", default_value = "20GiB")]
    weights: store::Bytes,
    /// Print the cells of each row, how many are in the store, and how long the rest will take. Train nothing; refuse
    /// what a run would refuse.
    #[arg(long)]
    dry_run: bool,
    /// Print every cell too (with --dry-run).
    #[arg(short, long, requires = "dry_run")]
    verbose: bool,
}

/// What a verb needs besides its own flags.
#[derive(Clone, Copy)]
struct Program {
    experiments: &'static [ExperimentInfo],
    claims: &'static str,
    spaces: &'static str,
}

/// How a verb ended where it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// As it should.
    Well,
    /// With something missing or wrong that was printed already.
    Badly,
    /// By Ctrl-C.
    Interrupted,
    /// By the limit of its time.
    Limited,
}

/// Runs the program with the arguments of this process. `fixed` makes it the program of one experiment:
/// `table4 --dry-run` is `mmcollapse reproduce table4 --dry-run`. `claims` and `spaces` are the texts of `claims.yaml` and
/// `tune.yaml`; `built_from` is what [`Build::set`] reads.
pub fn main(
    experiments: &'static [ExperimentInfo],
    claims: &'static str,
    spaces: &'static str,
    built_from: &str,
    fixed: Option<&'static str>,
) -> ExitCode {
    Build::set(built_from);
    let arguments = arguments(std::env::args_os().collect(), fixed);
    let cli = Cli::parse_from(arguments);
    let program = Program {
        experiments,
        claims,
        spaces,
    };
    let only_prints = matches!(
        cli.verb,
        Verb::List { .. } | Verb::Data { .. } | Verb::Store { .. } | Verb::Diagnose { .. }
    );
    let ended = program.run(cli.verb);
    match output::lost() {
        // As tools end whose reader has what it wanted: `mmcollapse list | head -1`.
        Some(Lost::Reader) if only_prints && ended.is_ok() => return ExitCode::from(NO_READER),
        Some(Lost::Written(reason)) => {
            tell!("standard output could not be written: {reason}");
            if only_prints {
                return ExitCode::FAILURE;
            }
        }
        // A run has left its results in files.
        Some(Lost::Reader) | None => {}
    }
    match ended {
        Ok(Ending::Well) => ExitCode::SUCCESS,
        Ok(Ending::Badly) => ExitCode::FAILURE,
        Ok(Ending::Interrupted) => ExitCode::from(INTERRUPTED),
        Ok(Ending::Limited) => ExitCode::from(LIMITED),
        Err(report) => {
            tell!("{report:?}");
            ExitCode::FAILURE
        }
    }
}

/// The arguments as the program of all experiments would have them.
fn arguments(mut given: Vec<OsString>, fixed: Option<&'static str>) -> Vec<OsString> {
    let is_worker = given.get(1).is_some_and(|verb| verb == OsStr::new("worker"));
    if let (Some(experiment), false) = (fixed, is_worker) {
        let own = given.split_off(1.min(given.len()));
        given = vec!["mmcollapse".into(), "reproduce".into(), experiment.into()];
        given.extend(own);
    }
    given
}

impl Program {
    fn run(self, verb: Verb) -> Result<Ending> {
        mmcollapse_nn::ops::vector_level().map_err(|error| miette!("{error}"))?;
        match verb {
            Verb::Reproduce {
                experiments,
                what,
                tuned,
                limit,
                how,
                to,
            } => {
                let all = experiments.iter().any(|name| name == "all");
                let asked = run::Asked {
                    experiments: self.named(if all { &[] } else { &experiments })?,
                    all,
                    what,
                    tuned,
                    limit,
                };
                run::reproduce(&asked, &how, to.published())
            }
            Verb::Tune {
                experiment,
                asked,
                how,
                from,
            } => tune::tune(self.find(&experiment)?, self.spaces, &asked, &how, &from),
            Verb::Run {
                experiment,
                only,
                what,
                how,
                from,
            } => run::train_some(self.find(&experiment)?, &only, what, &how, &from),
            Verb::Report {
                experiments,
                what,
                place,
                to,
            } => {
                let all = experiments.is_empty();
                let ending = run::report(&self.named(&experiments)?, all, what, &place, to.published())?;
                results::write(self.experiments, &to.from.results)?;
                let written = pages::write(self.experiments, self.claims, &to.from.results, to.force)?;
                Ok(if written { ending } else { Ending::Badly })
            }
            Verb::Results { results, own } => {
                add_own(&own)?;
                results::results(self.experiments, &results)
            }
            Verb::Export { dataset, folder, asked } => {
                export::export(self.find(&asked.experiment)?, &dataset, &folder, &asked)
            }
            Verb::Compare {
                experiment,
                asked,
                what,
                place,
                from,
            } => {
                let claims = Claims::parse(self.claims, self.experiments)?;
                compare::compare(self.find(&experiment)?, &asked, &what, &place, &from, &claims)
            }
            Verb::List { what } => {
                output::out(format_args!("{}", self.list(&what)?));
                Ok(Ending::Well)
            }
            Verb::Diagnose { asked } => {
                diagnose::run(&asked)?;
                Ok(Ending::Well)
            }
            Verb::Data { verb } => {
                let said = verb.run()?;
                output::out(format_args!("{}", said.text));
                Ok(if said.is_fault { Ending::Badly } else { Ending::Well })
            }
            Verb::Store { verb } => {
                verb.run()?;
                Ok(Ending::Well)
            }
            Verb::Gate {
                experiments,
                update,
                workers,
                offline,
                results,
            } => {
                let experiments = if experiments.is_empty() && !update {
                    gate::with_golden_values(self.experiments, &results)?
                } else {
                    self.named(&experiments)?
                };
                gate::gate(&experiments, update, workers, offline, &results)
            }
            Verb::Task {
                store,
                device,
                workers,
                own,
                jobs,
            } => {
                add_own(&own)?;
                engine::task(&jobs, &Store::new(&store), device, workers)
            }
            Verb::Worker { store, device, own } => {
                add_own(&own)?;
                let origin = origin(&device.to_string());
                let device = device.open().into_diagnostic()?;
                serve(&Store::new(&store), &origin, &mut Training::new(device));
                Ok(Ending::Well)
            }
        }
    }

    /// What `list` prints of `what`.
    fn list(self, what: &str) -> Result<String> {
        Ok(match what {
            "experiments" => list::experiments(self.experiments),
            "methods" => list::methods(),
            "datasets" => list::datasets(),
            name => list::experiment(self.find(name)?)?,
        })
    }

    /// The experiment of this name.
    fn find(self, name: &str) -> Result<&'static ExperimentInfo> {
        let found = self.experiments.iter().find(|known| known.name == name);
        found.ok_or_else(|| {
            let known: Vec<&str> = self.experiments.iter().map(|known| known.name).collect();
            miette!(
                help = format!("there are: {}", known.join(", ")),
                "no experiment is called `{name}`"
            )
        })
    }

    /// The experiments of these names; all if there are no names.
    fn named(self, names: &[String]) -> Result<Vec<&'static ExperimentInfo>> {
        if names.is_empty() {
            return Ok(self.experiments.iter().collect());
        }
        names.iter().map(|name| self.find(name)).collect()
    }
}

/// Makes tables and figures of what a store has of the smoke preset, as `report` does.
#[cfg(test)]
pub(crate) fn report_smoke(experiments: &'static [ExperimentInfo], store: &Path, results: &Path) {
    let what = What {
        preset: Preset::Smoke,
        seeds: None,
        dataset: None,
    };
    let place = Place {
        store: store.to_owned(),
        offline: true,
    };
    let published = run::Published {
        results,
        force: false,
        anew: false,
    };
    let all: Vec<&ExperimentInfo> = experiments.iter().collect();
    assert_eq!(run::report(&all, false, what, &place, published).unwrap(), Ending::Well);
}

/// Reads a time: `150m`.
fn duration(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600)];
    let unit = units
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)));
    let seconds = unit.and_then(|(number, seconds)| number.parse::<u64>().ok()?.checked_mul(seconds));
    let seconds = seconds.filter(|seconds| (1..=YEAR).contains(seconds));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| format!("expected a whole number with s, m or h, such as 150m; got `{text}`"))
}

/// Reads the name of a data set, or the YAML of a user's own.
fn dataset(text: &str) -> Result<String, String> {
    let ends = Path::new(text).extension().and_then(OsStr::to_str);
    if !ends.is_some_and(|end| ["yaml", "yml"].contains(&end)) {
        return Ok(text.to_owned());
    }
    mmcollapse_data::own::add(Path::new(text))
        .map(str::to_owned)
        .map_err(|error| {
            let help = miette::Diagnostic::help(&error).map(|help| format!("; {help}"));
            format!("{error}{}", help.unwrap_or_default())
        })
}

/// Makes the data sets of these YAMLs known.
fn add_own(paths: &[PathBuf]) -> Result<()> {
    for path in paths {
        mmcollapse_data::own::add(path)?;
    }
    Ok(())
}

/// Workers asked for, or one a core.
fn workers(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(cores).max(1)
}

/// An interrupt that Ctrl-C sets, and so do SIGTERM (a scheduler's) and SIGHUP (of a closed terminal).
fn interrupt() -> Result<Interrupt> {
    let interrupt = Interrupt::default();
    let handler = interrupt.clone();
    signals::on_stop(move || {
        if handler.requests() == 0 {
            tell!("\nstopping: running cells keep their checkpoints (again to stop at once)");
        }
        handler.request();
    })
    .into_diagnostic()?;
    Ok(interrupt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_read_with_their_unit() {
        for (text, seconds) in [("90s", 90), ("150m", 9000), ("2h", 7200)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in ["", "m", "150", "0m", "1.5h", "-1h", "2d", "99999999999999999999h"] {
            let error = duration(wrong).unwrap_err();
            assert!(error.contains(&format!("got `{wrong}`")), "{error}");
        }
    }

    #[test]
    fn a_programs_own_experiment_is_filled_in() {
        let of = |given: &[&str]| {
            let given = given.iter().map(OsString::from).collect();
            arguments(given, Some("table4"))
                .into_iter()
                .map(|argument| argument.into_string().unwrap())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(of(&["table4"]), "mmcollapse reproduce table4");
        assert_eq!(of(&["/x/table4", "--dry-run"]), "mmcollapse reproduce table4 --dry-run");
        assert_eq!(of(&["table4", "worker", "--store", "s"]), "table4 worker --store s");
    }

    #[test]
    fn help_says_what_each_verb_does() {
        let mut text = Cli::command().render_help().to_string();
        for name in [
            "reproduce",
            "tune",
            "run",
            "report",
            "results",
            "export",
            "compare",
            "list",
            "diagnose",
            "data",
            "gate",
        ] {
            let mut command = Cli::command();
            let verb = command.find_subcommand_mut(name).unwrap();
            text += "\n== ";
            text += name;
            text += "\n";
            text += &verb.render_help().to_string();
        }
        insta::assert_snapshot!(text);
    }
}
