//! The command line: what each verb does.

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
mod options;
pub(crate) mod results;
mod run;
mod store;
mod tune;
mod verbs;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use miette::{IntoDiagnostic, Result, miette};
use mmcollapse_files::output::{self, Lost};
use mmcollapse_files::tell;

use mmcollapse_record::ExperimentInfo;
use mmcollapse_report::report::claims::Claims;
use mmcollapse_run::models::Training;
use mmcollapse_run::provenance::{Build, cores, origin};
use mmcollapse_run::runner::Interrupt;
use mmcollapse_run::signals;
use mmcollapse_run::store::Store;
use mmcollapse_run::worker::serve;

use crate::pages;
use options::{From, How, Place, What, presets};
use verbs::{Cli, Verb};

/// Exit status of an interrupted run, as shells have it for Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Exit status of a run that its limit ended, as `sysexits.h` has it for what is to be tried again.
const LIMITED: u8 = 75;

/// Exit status of what only prints, when its reader has gone, as shells have it for SIGPIPE.
const NO_READER: u8 = 141;

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
                how.place_of_work.check()?;
                run::reproduce(&asked, &how, to.published())
            }
            Verb::Tune {
                experiment,
                asked,
                how,
                from,
            } => {
                how.place_of_work.check()?;
                tune::tune(self.find(&experiment)?, self.spaces, &asked, &how, &from)
            }
            Verb::Run {
                experiment,
                only,
                what,
                how,
                from,
            } => {
                how.place_of_work.check()?;
                run::train_some(self.find(&experiment)?, &only, what, &how, &from)
            }
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
pub(crate) fn report_smoke(experiments: &'static [ExperimentInfo], store: &std::path::Path, results: &std::path::Path) {
    use mmcollapse_record::Preset;

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
    use clap::error::ErrorKind;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
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

    /// The words of a command of the program in a line of a document, without comments; none if it is another's, or a pattern.
    fn words(line: &str) -> Option<Vec<String>> {
        let line = line.trim().trim_start_matches("$ ").trim_start_matches("cargo ");
        let line = line.split(" #").next().unwrap_or(line).trim().trim_end_matches('\\');
        let line = line
            .strip_prefix("reproduce")
            .map_or(line.to_owned(), |rest| format!("mmcollapse reproduce{rest}"));
        // A pattern: what may be left out, what goes on, or a choice.
        let pattern = ["[", "...", "|", " > ", "`", "<"]
            .iter()
            .any(|mark| line.contains(mark));
        // N stands for a number.
        let bare = |word: &str| {
            if word == "N" { "1" } else { word }
                .trim_matches(['"', '\''])
                .to_owned()
        };
        let words: Vec<String> = line.split_whitespace().map(bare).collect();
        (!pattern && words.len() > 1 && words[0] == "mmcollapse").then_some(words)
    }

    /// The commands of a document: its indented and fenced lines, and what stands between backticks.
    fn commands(text: &str) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        let mut fenced = false;
        for line in text.lines() {
            fenced ^= line.trim_start().starts_with("```");
            if fenced || line.starts_with("    ") || line.starts_with("# Command:") {
                found.extend(words(line.trim_start_matches("# Command:")));
            } else {
                found.extend(line.split('`').skip(1).step_by(2).filter_map(words));
            }
        }
        found
    }

    #[test]
    fn commands_of_a_document_are_found() {
        let text = "As `mmcollapse list methods` says:\n\n    $ cargo reproduce table4   # all\n\n```sh\nmmcollapse data check \"my.yaml\"\nls\n```\n`mmcollapse ...`";
        let found: Vec<String> = commands(text).iter().map(|words| words.join(" ")).collect();
        assert_eq!(
            found,
            [
                "mmcollapse list methods",
                "mmcollapse reproduce table4",
                "mmcollapse data check my.yaml"
            ]
        );
    }

    /// A verb, a flag or an experiment that a document names is the program's.
    #[test]
    fn commands_of_the_documents_are_the_programs() {
        let mut folders = vec![PathBuf::from("../docs"), PathBuf::from("../experiments")];
        let mut documents = vec![PathBuf::from("../README.md"), PathBuf::from("../justfile")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.extension().and_then(|extension| extension.to_str()) {
                    _ if path.is_dir() => folders.push(path),
                    Some("md" | "yaml") => documents.push(path),
                    _ => {}
                }
            }
        }
        let mut wrong = Vec::new();
        let mut checked = 0;
        for path in documents {
            for words in commands(&std::fs::read_to_string(&path).unwrap()) {
                checked += 1;
                let Err(error) = Cli::try_parse_from(&words) else {
                    continue;
                };
                // A verb that is only named, and data of the reader's.
                let named = words.len() == 2 && error.kind() == ErrorKind::MissingRequiredArgument;
                let own = words.iter().any(|word| word.contains(".yaml")) && error.kind() == ErrorKind::ValueValidation;
                let helps = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
                if !(named || own || helps) {
                    let reason = error.to_string();
                    let reason = reason.lines().next().unwrap_or_default();
                    wrong.push(format!("{}: {}: {reason}", path.display(), words.join(" ")));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(checked > 50, "{checked}");
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
