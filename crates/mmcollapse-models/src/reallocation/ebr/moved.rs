//! EBR for the encoder of the eliminated modality alone: trained in a model with EBR, then moved into a fresh one.
//!
//! The caption of the paper's Table 2 says that the encoder is replaced, section 4.3 that all encoders are trained on. Here it is
//! the former: 1. measure which modality the vanilla model lets collapse, as KD does; 2. train the model with EBR; 3. put that
//! modality's encoder, head and decoder into a model whose other encodings stay as they are, and train that without adversary.

use mmcollapse_nn::{Mode, Result as TensorResult, Tensor};
use serde::{Deserialize, Serialize};

use super::{Builder, Config, ENTRY as EBR, Prepared, Reallocated, Reallocation, ReallocationContext, Workbench};
use super::{Layers, Options, configured, parse, parse_for, written};
use crate::{error::Result, method::MethodConfig, reallocation::Placed, registry::Entry};

/// Where the weights of the model with EBR are kept.
const SOURCE: &str = "moved";

pub(in crate::reallocation) const ENTRY: Entry<Builder> = Entry {
    name: "ebr_moved",
    summary: "the collapsed modality's encoder is replaced by one from a model with EBR",
    reference: "Chaudhuri et al., ICML 2025, section 4.3 and caption of Table 2",
    revision: 1,
    resolve,
    tuned: &[],
    build: Builder {
        substitution: "none",
        uses: &["ebr"],
        make: |options, context| {
            let options: Moving = parse_for("reallocation", "ebr_moved", options)?;
            Ok(Box::new(Moved::new(options, context)?))
        },
    },
};

/// Options of [`Moved`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Moving {
    /// Options of the EBR that trains the encoder.
    of: Options,
    /// The modality whose encoder is moved; without it, the one that is measured to collapse.
    student: Option<String>,
}

fn resolve(options: &Options) -> std::result::Result<Options, String> {
    let given: Moving = parse(options)?;
    let of = super::resolve(&given.of).map_err(|reason| format!("`of`: {reason}"))?;
    written(&Moving { of, ..given })
}

struct Moved {
    options: Moving,
    /// Of the modality that is moved, once it is known; its place.
    layers: Option<(usize, Layers)>,
}

impl Moved {
    fn new(options: Moving, context: &ReallocationContext) -> Result<Self> {
        let mut named = context.modalities.iter().zip(context.widths).enumerate();
        let of: Config = parse_for("reallocation", "ebr", &options.of)?;
        let moved = named.find(|(_, (name, _))| options.student.as_ref() == Some(*name));
        let layers = match moved {
            Some((place, (name, &width))) => Some((place, Layers::new(&of, &context.scope, name, width)?)),
            None => None,
        };
        Ok(Self { options, layers })
    }
}

impl Reallocation for Moved {
    fn transform(&self, modality: usize, z: &Tensor, _mode: Mode) -> TensorResult<Reallocated> {
        // Only the modality that is moved has a latent, and nothing is done with it.
        let encoding = match &self.layers {
            Some((moved, layers)) if *moved == modality => layers.forward(z)?.encoding,
            _ => z.clone(),
        };
        Ok(Reallocated { encoding, latent: None })
    }

    fn prepare(&mut self, bench: &mut dyn Workbench) -> Result<Prepared> {
        let student = bench.student(self.options.student.as_deref())?;
        let name = bench.modalities()[student].clone();
        let source = MethodConfig {
            method: EBR.name.to_owned(),
            options: self.options.of.clone(),
        };
        bench.train_with(&source, SOURCE)?;
        let of: Config = parse_for("reallocation", "ebr", &self.options.of)?;
        let paths = [vec![format!("encoder.{name}")], Layers::paths(&of, &name)].concat();
        let placed = |path: String| Placed {
            path,
            kept: SOURCE.to_owned(),
            freeze: false,
        };
        let with_student = Moving {
            student: Some(name),
            ..self.options.clone()
        };
        Ok(Prepared {
            placed: paths.into_iter().map(placed).collect(),
            student: Some(student),
            found: Some(configured("reallocation", ENTRY.name, &with_student)?),
            source: Some((source, SOURCE.to_owned())),
        })
    }
}
