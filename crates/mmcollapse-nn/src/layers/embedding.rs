//! A table of learnt vectors (PyTorch's `nn.Embedding`).

use candle_core::bail;

use crate::{Init, Result, Scope, Tensor};

/// A parameter `weight` `[entries, width]`, of which rows are looked up.
#[derive(Clone, Debug)]
pub struct Embedding {
    weight: Tensor,
}

impl Embedding {
    /// Starts normal with standard deviation 1, PyTorch's default.
    ///
    /// # Errors
    /// If `scope` holds a parameter `weight` already.
    pub fn new(scope: &Scope, entries: usize, width: usize) -> Result<Self> {
        Self::with_init(scope, entries, width, Init::Normal { std: 1.0 })
    }

    /// Starts as `init` says.
    ///
    /// # Errors
    /// If `scope` holds a parameter `weight` already.
    pub fn with_init(scope: &Scope, entries: usize, width: usize, init: Init) -> Result<Self> {
        Ok(Self {
            weight: scope.var("weight", (entries, width), init)?,
        })
    }

    /// The rows of `ids`, `[ids.len(), width]`.
    ///
    /// # Errors
    /// If an id is not below the number of entries; on an accelerator a look-up itself would not notice.
    pub fn forward(&self, ids: &[u32]) -> Result<Tensor> {
        let entries = self.weight.dim(0)?;
        if let Some(position) = ids.iter().position(|&id| id as usize >= entries) {
            bail!(
                "embedding: id {} at position {position}, but the table has {entries} entries",
                ids[position]
            );
        }
        let ids = Tensor::from_slice(ids, ids.len(), self.weight.device())?;
        self.weight.index_select(&ids, 0)
    }

    /// The table, `[entries, width]`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }
}
