//! Explicit basis reallocation between two encoders of 256 features, as the models of Table 4 train it: heads
//! 256-1024-512, decoders 512-1024-256 and a discriminator 512-256-2, most of a step's weights for few rows.

use mmcollapse_nn::layers::{LayerNorm, Linear};
use mmcollapse_nn::{Mode, Result, Scope, Tensor, ops};

use crate::nets::{Net, chain};

/// What stands between an encoder and the fusion, with a small encoder before it.
struct Branch {
    encoder: Linear,
    head: [Linear; 2],
    norm: LayerNorm,
    decoder: [Linear; 2],
}

/// Both branches, the fused classifier and the discriminator.
pub struct Ebr {
    branches: Vec<Branch>,
    psi: [Linear; 2],
    classifier: Linear,
}

/// Inputs of each encoder.
const INPUTS: usize = 400;
/// Features of each encoder.
const WIDTH: usize = 256;
/// Hidden units of heads and decoders.
const HIDDEN: usize = 1024;
/// Width of the shared basis.
const LATENT: usize = 512;
/// Hidden units of the discriminator.
const PSI: usize = 256;
/// Weight of the reversed gradient.
const REVERSAL: f64 = 0.1;

impl Ebr {
    /// With PyTorch's default start.
    ///
    /// # Errors
    /// If `scope` holds such layers already.
    pub fn new(scope: &Scope) -> Result<Self> {
        let branch = |branch: usize| {
            let layer = |name: &str, from, to| Linear::new(&scope.pp(format!("branch{branch}_{name}")), from, to);
            Ok(Branch {
                encoder: layer("encoder", INPUTS, WIDTH)?,
                head: [layer("head0", WIDTH, HIDDEN)?, layer("head1", HIDDEN, LATENT)?],
                norm: LayerNorm::new(&scope.pp(format!("branch{branch}_norm")), LATENT)?,
                decoder: [layer("decoder0", LATENT, HIDDEN)?, layer("decoder1", HIDDEN, WIDTH)?],
            })
        };
        Ok(Self {
            branches: (0..2).map(branch).collect::<Result<_>>()?,
            psi: [
                Linear::new(&scope.pp("psi0"), LATENT, PSI)?,
                Linear::new(&scope.pp("psi1"), PSI, 2)?,
            ],
            classifier: Linear::new(&scope.pp("classifier"), 2 * WIDTH, 10)?,
        })
    }

    /// `[batch, LATENT]` of each branch.
    fn latents(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let latent = |(branch, x): (&Branch, &Tensor)| {
            let latent = two(&branch.head, &branch.encoder.forward_relu(x)?)?;
            branch.norm.forward(&latent)
        };
        self.branches.iter().zip(inputs).map(latent).collect()
    }

    fn classify(&self, latents: &[Tensor]) -> Result<Tensor> {
        let decode = |(branch, latent): (&Branch, &Tensor)| two(&branch.decoder, latent);
        let encodings: Vec<Tensor> = self.branches.iter().zip(latents).map(decode).collect::<Result<_>>()?;
        self.classifier.forward(&Tensor::cat(&encodings, 1)?)
    }
}

/// Two layers with a rectifier between them.
fn two([first, second]: &[Linear; 2], x: &Tensor) -> Result<Tensor> {
    second.forward(&first.forward_relu(x)?)
}

impl Net for Ebr {
    fn inputs(&self) -> Vec<Vec<usize>> {
        vec![vec![INPUTS]; 2]
    }

    fn logits(&self, inputs: &[Tensor], _mode: Mode) -> Result<Tensor> {
        self.classify(&self.latents(inputs)?)
    }

    fn loss(&self, inputs: &[Tensor], targets: &[u32], _mode: Mode) -> Result<Tensor> {
        let latents = self.latents(inputs)?;
        let mut loss = ops::softmax_cross_entropy(&self.classify(&latents)?, targets)?;
        for (modality, latent) in (0..).zip(&latents) {
            let guess = two(&self.psi, &ops::gradient_reversal(latent, REVERSAL)?)?;
            loss = (loss + ops::softmax_cross_entropy(&guess, &vec![modality; targets.len()])?)?;
        }
        Ok(loss)
    }

    fn clip_norm(&self) -> Option<f64> {
        Some(1e-3) // so small that each step is scaled
    }

    fn multiply_adds(&self) -> usize {
        let block = 2 * (WIDTH * HIDDEN + HIDDEN * LATENT);
        2 * (chain(&[INPUTS * WIDTH, block]) + 3 * (LATENT * PSI + PSI * 2)) + 3 * (2 * WIDTH * 10)
    }
}
