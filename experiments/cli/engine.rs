//! Where cells are trained: in processes of this machine, or in an array of tasks on a Slurm cluster.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

use clap::{Args, ValueEnum};
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use mmcollapse_data::own;
use mmcollapse_files::plain_words;
use mmcollapse_nn::device::DeviceChoice;
use mmcollapse_run::pending::settled;
use mmcollapse_run::runner::{Engine, Fate, Interrupt, Runner, Watcher, WorkerCommand};
use mmcollapse_run::slurm::{self, Slurm};
use mmcollapse_run::store::Store;
use serde_yaml::Value;

use super::{Ending, How, interrupt, workers};

/// Pause between two looks at store and queue; the controller of a cluster serves many.
const POLL: Duration = Duration::from_secs(5);

/// Tasks of an array, unless asked otherwise.
const TASKS: usize = 8;

/// Where cells are trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// In processes of this machine.
    #[default]
    Local,
    /// In an array of tasks of Slurm, on any machine that sees the store.
    Slurm,
}

/// Where and how many.
#[derive(Args, Clone)]
pub(super) struct Where {
    /// Where cells are trained. `slurm` submits an array of tasks that take cells from the store, which all nodes must see.
    /// Lost tasks are submitted again; Ctrl-C cancels them, and the same command continues.
    #[arg(long, value_enum, default_value_t, value_name = "ENGINE")]
    pub engine: Kind,
    /// Most tasks of the array (with --engine slurm) [default: 8].
    #[arg(long, value_name = "N")]
    tasks: Option<NonZeroUsize>,
    /// An option of sbatch, such as partition=gpu, time=4:00:00, mem=8G, gres=gpu:1 or account=NAME; may be repeated.
    #[arg(long, value_name = "OPTION=VALUE", value_parser = option)]
    slurm: Vec<(String, String)>,
    /// A YAML with such options, `{partition: gpu, time: "4:00:00"}`; --slurm goes before it.
    #[arg(long, value_name = "YAML")]
    slurm_config: Option<PathBuf>,
}

fn option(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("expected OPTION=VALUE, such as partition=gpu; got `{text}`"))?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
impl Default for Where {
    fn default() -> Self {
        Self {
            engine: Kind::Local,
            tasks: None,
            slurm: Vec::new(),
            slurm_config: None,
        }
    }
}

impl Where {
    /// Refuses what a run would refuse.
    ///
    /// # Errors
    /// Options of Slurm without `--engine slurm`, which nobody would obey; options that sbatch does not take.
    pub(super) fn check(&self) -> Result<()> {
        let given = [
            ("--tasks", self.tasks.is_some()),
            ("--slurm", !self.slurm.is_empty()),
            ("--slurm-config", self.slurm_config.is_some()),
        ];
        match (self.engine, given.iter().find(|(_, given)| *given)) {
            (Kind::Local, Some((flag, _))) => Err(miette!(
                help = "with it cells are trained by tasks of the cluster, without it by processes of this machine",
                "{flag} needs --engine slurm"
            )),
            (Kind::Local, None) => Ok(()),
            (Kind::Slurm, _) => self.options().map(|_| ()),
        }
    }

    fn tasks(&self) -> usize {
        self.tasks.map_or(TASKS, NonZeroUsize::get)
    }

    /// How many cells are trained at the same time at most, `asked` by each task or on this machine.
    pub(super) fn at_once(&self, asked: Option<usize>) -> usize {
        match self.engine {
            Kind::Local => workers(asked),
            Kind::Slurm => self.tasks() * asked.unwrap_or(1),
        }
    }

    /// The options of sbatch.
    fn options(&self) -> Result<BTreeMap<String, String>> {
        let mut options = BTreeMap::new();
        if let Some(path) = &self.slurm_config {
            let text = fs::read_to_string(path)
                .into_diagnostic()
                .wrap_err_with(|| path.display().to_string())?;
            options = written(&text).map_err(|reason| miette!("{}: {reason}", path.display()))?;
        }
        options.extend(self.slurm.iter().cloned());
        slurm::check(&options).map_err(|reason| miette!("{reason}"))?;
        Ok(options)
    }
}

/// The options of a YAML; numbers need no quotes.
fn written(text: &str) -> std::result::Result<BTreeMap<String, String>, String> {
    let options: BTreeMap<String, Value> =
        serde_yaml::from_str(text).map_err(|error| plain_words(&error.to_string()))?;
    let text_of = |(option, value): (String, Value)| match value {
        Value::String(text) => Ok((option, text)),
        Value::Number(number) => Ok((option, number.to_string())),
        _ => Err(format!("`{option}`: expected a text or a number, as sbatch takes it")),
    };
    options.into_iter().map(text_of).collect()
}

/// An engine, and how many cells it trains at the same time, as far as is known.
pub(super) type Engaged = (Box<dyn Engine + Sync>, usize);

/// Workers of this machine.
pub(super) fn local(
    store: &Store,
    device: DeviceChoice,
    asked: Option<usize>,
    interrupt: &Interrupt,
) -> Result<Engaged> {
    let command = worker_command(store, settled(device)?).into_diagnostic()?;
    let workers = workers(asked);
    Ok((Box::new(Runner::new(command, workers, interrupt.clone())), workers))
}

/// The engine that is asked for.
pub(super) fn of(how: &How, store: &Store, interrupt: &Interrupt) -> Result<Engaged> {
    match how.place_of_work.engine {
        Kind::Local => local(store, how.device, how.workers, interrupt),
        Kind::Slurm => {
            let root = std::path::absolute(store.root()).into_diagnostic()?;
            let mut command: Vec<OsString> = vec![
                env::current_exe().into_diagnostic()?.into(),
                "task".into(),
                "--store".into(),
                root.into(),
                "--device".into(),
                how.device.to_string().into(),
            ];
            if let Some(workers) = how.workers {
                command.extend(["--workers".into(), workers.to_string().into()]);
            }
            for path in own::paths() {
                command.extend(["--own".into(), path.into()]);
            }
            command.push("--jobs".into());
            let engine = Slurm {
                tasks: how.place_of_work.tasks(),
                options: how.place_of_work.options()?,
                command,
                store: store.clone(),
                poll: POLL,
                interrupt: interrupt.clone(),
            };
            Ok((Box::new(engine), how.place_of_work.at_once(how.workers)))
        }
    }
}

/// A task of an array: does what of the jobs nobody has done yet.
pub(super) fn task(jobs: &Path, store: &Store, device: DeviceChoice, asked: Option<usize>) -> Result<Ending> {
    let list = slurm::jobs(jobs)
        .into_diagnostic()
        .wrap_err_with(|| jobs.display().to_string())?;
    let variable = |name: &str| env::var(name).ok().and_then(|value| value.parse::<usize>().ok());
    let workers = asked.or_else(|| variable("SLURM_CPUS_PER_TASK")).unwrap_or(1);
    let command = worker_command(store, settled(device)?).into_diagnostic()?;
    let interrupt = interrupt()?;
    let runner = Runner::new(command, workers, interrupt.clone());
    let summary = runner.run(&list, &Plain);
    let number = |name: &str| variable(name).unwrap_or_default();
    let name = format!("{}-{}", number("SLURM_ARRAY_JOB_ID"), number("SLURM_ARRAY_TASK_ID"));
    slurm::tell_failures(jobs, &name, &summary.fates).into_diagnostic()?;
    match summary.error {
        Some(error) => Err(miette!("the task stopped: {error}")),
        None if interrupt.requests() > 0 => Ok(Ending::Interrupted),
        None => Ok(Ending::Well),
    }
}

/// Says in a log what becomes of each job.
struct Plain;

impl Watcher for Plain {
    fn started(&self, _: usize, _: usize) {}

    fn epoch(&self, _: usize, _: &str, _: usize, _: usize) {}

    fn left(&self, _: usize) {}

    fn finished(&self, job: usize, fate: &Fate) {
        match fate {
            Fate::Done { elsewhere: true, .. } | Fate::Unfinished => {}
            Fate::Done { seconds, .. } => self.note(&format!("cell {job}: done in {seconds:.0} s")),
            Fate::Failed(reason) => self.note(&format!("cell {job}: failed: {reason}")),
        }
    }

    fn note(&self, text: &str) {
        mmcollapse_files::tell!("{text}");
    }
}

/// How this program starts its workers.
fn worker_command(store: &Store, device: DeviceChoice) -> io::Result<WorkerCommand> {
    let mut arguments: Vec<OsString> = vec![
        "worker".into(),
        "--store".into(),
        store.root().into(),
        "--device".into(),
        device.to_string().into(),
    ];
    for path in own::paths() {
        arguments.extend(["--own".into(), path.into()]);
    }
    Ok(WorkerCommand::new(env::current_exe()?, arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a login node nobody wants a training that was meant for the cluster.
    #[test]
    fn what_only_a_cluster_obeys_is_refused_without_one() {
        let partition = vec![("partition".to_owned(), "gpu".to_owned())];
        let places = [
            Where {
                tasks: NonZeroUsize::new(5),
                ..Where::default()
            },
            Where {
                slurm: partition.clone(),
                ..Where::default()
            },
            Where {
                slurm_config: Some("none.yaml".into()),
                ..Where::default()
            },
        ];
        for place in places {
            let error = place.check().unwrap_err().to_string();
            assert!(error.contains("needs --engine slurm"), "{error}");
        }
        assert!(Where::default().check().is_ok());
        let cluster = Where {
            engine: Kind::Slurm,
            tasks: NonZeroUsize::new(5),
            slurm: partition,
            ..Where::default()
        };
        assert!(cluster.check().is_ok());
        assert_eq!((cluster.at_once(None), cluster.at_once(Some(2))), (5, 10));
        let missing = Where {
            slurm_config: Some("none.yaml".into()),
            ..cluster
        };
        assert!(missing.check().unwrap_err().to_string().contains("none.yaml"));
    }

    #[test]
    fn options_of_sbatch_need_no_quotes() {
        let options = written("{partition: gpu, time: 4:00:00, gpus: 2}").unwrap();
        let of = |option: &str| options[option].as_str();
        assert_eq!((of("partition"), of("time"), of("gpus")), ("gpu", "4:00:00", "2"));
        let error = written("{partition: [a, b]}").unwrap_err();
        assert!(error.contains("`partition`: expected a text or a number"), "{error}");
        let error = written("- gpu").unwrap_err();
        assert!(
            error.contains("expected a mapping, `key: value`, got a list"),
            "{error}"
        );
    }
}
