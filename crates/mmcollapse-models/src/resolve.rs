//! A cell's configuration with every default made explicit and every name checked.

use crate::{
    balancing::{self, BALANCINGS},
    config::CellConfig,
    encoders::ENCODERS,
    error::{ModelError, Result},
    fusion::FUSIONS,
    method::MethodConfig,
    protocol,
    reallocation::REALLOCATIONS,
    registry::{Entry, find},
    substitution::{self, SUBSTITUTIONS},
};

impl CellConfig {
    /// Every default made explicit and every name checked, so that equal runs have equal configurations.
    ///
    /// # Errors
    /// Unknown method, unknown or ill-typed option, a rate outside [0, 1], nothing to train.
    pub fn resolve(&self) -> Result<Self> {
        let mut cell = self.clone();
        for encoder in cell.encoders.values_mut() {
            *encoder = resolved("encoder", ENCODERS, encoder)?;
        }
        cell.fusion = resolved("fusion", FUSIONS, &cell.fusion)?;
        cell.reallocation = resolved("reallocation", REALLOCATIONS, &cell.reallocation)?;
        let own = balancing::of_fusion(&cell.fusion.method, &cell.protocol)?;
        cell.balancing = match (cell.balancing.take(), own) {
            // None is what the fusion has anyway; only where it has one of its own does it say something.
            (Some(none), None) if none.method == balancing::NONE => None,
            (given, own) => given.or(own),
        };
        if let Some(balancing) = &mut cell.balancing {
            *balancing = resolved("balancing", BALANCINGS, balancing)?;
        }
        if cell.substitution.method == "auto" {
            let entry = find("reallocation", REALLOCATIONS, &cell.reallocation.method)?;
            cell.substitution = MethodConfig::named(entry.build.substitution);
        }
        cell.substitution = resolved("substitution", SUBSTITUTIONS, &cell.substitution)?;
        cell.check()?;
        Ok(cell)
    }

    fn check(&self) -> Result<()> {
        let unfit = |reason: String| {
            Err(ModelError::Unfit {
                dataset: self.dataset.clone(),
                reason,
            })
        };
        protocol::check(&self.protocol).or_else(unfit)?;
        if let Some(twice) = self
            .modalities
            .iter()
            .enumerate()
            .find(|(i, m)| self.modalities[..*i].contains(m))
        {
            return unfit(format!("`modalities` names `{}` twice", twice.1));
        }
        let retrains = substitution::build(&self.substitution, 0)?.retrains();
        if retrains && !self.protocol.kind().scores_patterns() {
            return unfit(
                "substitution `target` trains a model for every pattern of modalities, and only protocol `patterns` scores \
                 them"
                    .to_owned(),
            );
        }
        self.training.check().or_else(unfit)
    }
}

fn resolved<C>(axis: &'static str, entries: &'static [Entry<C>], config: &MethodConfig) -> Result<MethodConfig> {
    let entry = find(axis, entries, &config.method)?;
    let options = (entry.resolve)(&config.options).map_err(|reason| ModelError::Options {
        axis,
        method: config.method.clone(),
        reason,
    })?;
    Ok(MethodConfig {
        method: config.method.clone(),
        options,
    })
}
