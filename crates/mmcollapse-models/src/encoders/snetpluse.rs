//! SMIL's sound encoder on MFCC images (Ma et al., AAAI 2021, and its public code).
//!
//! conv 1-32 k2, batch norm, ReLU; 32-48 k2, batch norm, ReLU; 48-20 k2, batch norm, ReLU; max pool k2 stride 4;
//! dropout .25; flattened: 320 features, which are the one token.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Scope, Tensor,
    layers::{BatchNorm2d, Conv2d, Dropout},
    ops::{Link, max_pool2d},
};
use serde::{Deserialize, Serialize};

use super::{Builder, Encoder, Inputs};
use crate::{
    error::Result,
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "snetpluse",
    summary: "three convolutions with batch norm on a 1x20x20 MFCC image, 320 features",
    reference: "Ma et al., SMIL, AAAI 2021, sound branch",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: Builder {
        reads: Inputs::Of(&[&[1, 20, 20]]),
        make: |options, _, scope| {
            let config: Config = parse_for("encoder", "snetpluse", options)?;
            Ok(Box::new(SNetPluse::new(&config, scope)?))
        },
    },
};

/// Options of [`SNetPluse`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Probability of dropping a feature at the end.
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { dropout: 0.25 }
    }
}

struct SNetPluse {
    blocks: Vec<(Conv2d, BatchNorm2d)>,
    dropout: Dropout,
}

impl SNetPluse {
    fn new(config: &Config, scope: &Scope) -> Result<Self> {
        let blocks = [(1, 32), (32, 48), (48, 20)]
            .into_iter()
            .enumerate()
            .map(|(i, (from, to))| {
                let scope = scope.pp(format!("block{}", i + 1));
                Ok((
                    Conv2d::new(&scope.pp("conv"), from, to, 2, 1, 0)?,
                    BatchNorm2d::new(&scope.pp("bn"), to)?,
                ))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            blocks,
            dropout: Dropout::new(&scope.pp("dropout"), config.dropout)?,
        })
    }
}

impl Encoder for SNetPluse {
    fn width(&self) -> usize {
        320
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> TensorResult<Tensor> {
        let mut h = Link::from(x); // [b, 1, 20, 20]
        for (conv, bn) in &self.blocks {
            h = conv.forward_norm_relu(bn, h, mode)?;
        }
        let h = max_pool2d(h, 2, 4)?; // [b, 20, 4, 4] from [b, 20, 17, 17]
        self.dropout.forward(&h.flatten_from(1)?, mode) // [b, 320]
    }
}
