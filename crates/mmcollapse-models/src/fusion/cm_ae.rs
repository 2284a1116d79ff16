//! CM-AE (Ngiam et al., ICML 2011): one code for all modalities, from which each is reconstructed, also those that were
//! taken away.
//!
//! The original's autoencoder reads the inputs; here, as with every fusion, it stands on the encodings. A hidden layer a
//! modality and a joint layer make the code h, a mirror image of them reconstructs the encodings, and a linear classifier
//! reads h:
//!
//! ```text
//! h     = relu(J [relu(E_1 z_1); ...; relu(E_M z_M)]), z_m zero where modality m is missing
//! z_m^  = D_m relu(X_m h)
//! L_rec = mean over modalities of the squared error of z_m^ where z_m is there
//! ```
//!
//! In training L_rec is taken of two codes: of what is there, and of what is left once modalities are zeroed at random; both
//! have to give back all that was there, so that a code of few modalities is like one of many. The original trains the
//! autoencoder first and a classifier on its code then; here both train together, as every other fusion does. What is to be
//! reconstructed is held fixed, or the encodings could become easy to reconstruct by carrying nothing.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Tensor,
    layers::{Dropout, Linear},
    random::Stream,
};
use serde::{Deserialize, Serialize};

use super::{Builder, Fusion, FusionContext, FusionOutput};
use crate::{
    encodings::Encodings,
    error::{ModelError, Result},
    registry::{Entry, Sampler, parse_for, resolve_as},
    rows::select_rows,
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "cm_ae",
    summary: "a joint autoencoder trained to give back modalities that were zeroed; the classifier reads its code",
    reference: "Ngiam et al., Multimodal Deep Learning, ICML 2011, section 3.2",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[
        ("code", Sampler::Whole(&[32, 64, 128])),
        ("reconstruction", Sampler::LogUniform(0.1, 10.0)),
        ("drop", Sampler::Uniform(0.2, 0.9)),
        ("dropout", Sampler::Uniform(0.0, 0.8)),
    ],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "cm_ae", options)?;
        Ok(Box::new(CmAe::new(&config, context)?))
    }),
};

/// Options of [`CmAe`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of each modality's hidden layer, before the code and after it (ours: the original's are of its inputs).
    hidden: usize,
    /// Width of the code (ours, as `hidden`).
    code: usize,
    /// Weight of the reconstruction error (ours: the original descends it alone).
    reconstruction: f64,
    /// Probability that a modality is zeroed in the second view. One that is drawn at random always stays, so that of
    /// two modalities at 2/3 a third of the samples have both and a third each of them alone, as in the original.
    drop: f64,
    /// Dropout before the classifier.
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hidden: 64,
            code: 64,
            reconstruction: 1.0,
            drop: 2.0 / 3.0,
            dropout: 0.6,
        }
    }
}

struct CmAe {
    config: Config,
    /// Per modality E_m.
    encode: Vec<Linear>,
    /// J.
    joint: Linear,
    /// Per modality X_m.
    expand: Vec<Linear>,
    /// Per modality D_m.
    decode: Vec<Linear>,
    dropout: Dropout,
    classifier: Linear,
    purpose: String,
}

impl CmAe {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        if !(0.0..=1.0).contains(&config.drop) {
            return Err(ModelError::Options {
                axis: "fusion",
                method: "cm_ae".to_owned(),
                reason: format!("`drop` must lie in 0..=1, got {}", config.drop),
            });
        }
        let (scope, hidden, code) = (&context.scope, config.hidden, config.code);
        let (mut encode, mut expand, mut decode) = (Vec::new(), Vec::new(), Vec::new());
        for (name, &width) in context.modalities.iter().zip(context.widths) {
            encode.push(Linear::new(&scope.pp("encode").pp(name), width, hidden)?);
            expand.push(Linear::new(&scope.pp("expand").pp(name), code, hidden)?);
            decode.push(Linear::new(&scope.pp("decode").pp(name), hidden, width)?);
        }
        Ok(Self {
            config: config.clone(),
            joint: Linear::new(&scope.pp("joint"), encode.len() * hidden, code)?,
            encode,
            expand,
            decode,
            dropout: Dropout::new(&scope.pp("dropout"), config.dropout)?,
            classifier: Linear::new(&scope.pp("classifier"), code, context.classes)?,
            purpose: format!("views/{}", scope.path()),
        })
    }

    /// The code `[batch, code]` of encodings, each `[batch, width]` and zero where it is missing.
    fn code(&self, z: &[Tensor]) -> TensorResult<Tensor> {
        let hidden = self.encode.iter().zip(z).map(|(encode, z)| encode.forward_relu(z));
        self.joint
            .forward_relu(&Tensor::cat(&hidden.collect::<TensorResult<Vec<_>>>()?, 1)?)
    }

    /// L_rec of a code; nothing for a batch in which no sample has any modality.
    fn error(&self, code: &Tensor, encodings: &Encodings) -> TensorResult<Option<Tensor>> {
        let mut errors = Vec::new();
        for (m, z) in encodings.z.iter().enumerate() {
            let rows = encodings.present.rows(m);
            if rows.is_empty() {
                continue;
            }
            let hidden = self.expand[m].forward_relu(&select_rows(code, &rows)?)?;
            let target = select_rows(z, &rows)?.detach();
            errors.push((self.decode[m].forward(&hidden)? - target)?.sqr()?.mean_all()?);
        }
        if errors.is_empty() {
            return Ok(None);
        }
        Tensor::stack(&errors, 0)?.mean_all().map(Some)
    }

    /// What this step leaves of the encodings: the others are zero.
    fn thinned(&self, encodings: &Encodings, seed: u64, step: u64) -> TensorResult<Vec<Tensor>> {
        let (n, present) = (encodings.present.len(), &encodings.present);
        let mut stream = Stream::at(seed, &self.purpose, step);
        let mut kept = vec![vec![0_f32; n]; encodings.z.len()];
        for i in 0..n {
            let there: Vec<usize> = (0..kept.len()).filter(|&m| present.get(i, m)).collect();
            let stays = stream.below(there.len());
            for (k, &m) in there.iter().enumerate() {
                let dropped = stream.bernoulli(self.config.drop);
                if k == stays || !dropped {
                    kept[m][i] = 1.0;
                }
            }
        }
        let pairs = encodings.z.iter().zip(kept);
        pairs
            .map(|(z, kept)| z.broadcast_mul(&Tensor::from_vec(kept, (n, 1), z.device())?))
            .collect()
    }
}

impl Fusion for CmAe {
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let code = self.code(&encodings.z)?; // [b, code]
        let logits = self.classifier.forward(&self.dropout.forward(&code, mode)?)?; // [b, classes]
        let mut output = FusionOutput::new(code, logits);
        if let Mode::Train { seed, step } = mode {
            let thinned = self.code(&self.thinned(encodings, seed, step)?)?;
            let errors = [self.error(&output.fused, encodings)?, self.error(&thinned, encodings)?];
            if let [Some(whole), Some(thinned)] = errors {
                let error = ((whole + thinned)? * (0.5 * self.config.reconstruction))?;
                output.aux.push(("reconstruction", error));
            }
        }
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::Presence;
    use mmcollapse_nn::{DType, Device, Params, Var};

    use super::*;

    fn cm_ae(params: &Params, drop: f64) -> CmAe {
        let names = ["a".to_owned(), "b".to_owned()];
        let context = FusionContext::made(&names, &[3, 2], 4, params);
        let config = Config {
            hidden: 5,
            code: 6,
            drop,
            dropout: 0.0,
            ..Config::default()
        };
        CmAe::new(&config, &context).unwrap()
    }

    fn layer(linear: &Linear, x: &[f32]) -> Vec<f32> {
        let w: Vec<Vec<f32>> = linear.weight().to_vec2().unwrap();
        let b: Vec<f32> = linear.bias().unwrap().to_vec1().unwrap();
        let row = |(w, b): (&Vec<f32>, f32)| w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + b;
        w.iter().zip(b).map(row).collect()
    }

    fn relu(x: Vec<f32>) -> Vec<f32> {
        x.into_iter().map(|x| x.max(0.0)).collect()
    }

    const A: [[f32; 3]; 2] = [[0.3, -1.2, 0.8], [1.1, 0.4, -0.5]];
    const B: [[f32; 2]; 2] = [[0.0, 0.0], [0.7, -0.9]];
    const TRAIN: Mode = Mode::Train { seed: 1, step: 0 };

    /// The first sample lacks b.
    fn two() -> Encodings {
        Encodings::made(
            vec![
                Tensor::new(&A, &Device::Cpu).unwrap(),
                Tensor::new(&B, &Device::Cpu).unwrap(),
            ],
            Presence::from_fn(2, 2, |i, m| i == 1 || m == 0),
        )
    }

    #[test]
    fn code_and_errors_are_those_of_the_formula() {
        let params = Params::new(1, &Device::Cpu);
        let model = cm_ae(&params, 0.0); // both views are the same
        let output = model.forward(&two(), TRAIN).unwrap();
        let codes: Vec<Vec<f32>> = output.fused.to_vec2().unwrap();
        let (mut errors, mut counts) = ([0.0, 0.0], [0.0, 0.0]);
        for i in 0..2 {
            let hidden = [
                relu(layer(&model.encode[0], &A[i])),
                relu(layer(&model.encode[1], &B[i])),
            ];
            let code = relu(layer(&model.joint, &hidden.concat()));
            for (value, expected) in codes[i].iter().zip(&code) {
                assert!((value - expected).abs() < 1e-5, "{value} {expected}");
            }
            for (m, target) in [&A[i][..], &B[i][..]].into_iter().enumerate() {
                if (i, m) == (0, 1) {
                    continue; // there is nothing to give back
                }
                let given = layer(&model.decode[m], &relu(layer(&model.expand[m], &code)));
                errors[m] += given.iter().zip(target).map(|(g, t)| (g - t) * (g - t)).sum::<f32>();
                counts[m] += target.len() as f32;
            }
        }
        let expected = f32::midpoint(errors[0] / counts[0], errors[1] / counts[1]);
        let value: f32 = output.aux[0].1.to_scalar().unwrap();
        assert!((value - expected).abs() < 1e-5, "{value} {expected}");
    }

    #[test]
    fn of_what_is_there_a_view_keeps_at_least_one_and_each_in_turn() {
        let params = Params::new(1, &Device::Cpu);
        let model = cm_ae(&params, 1.0);
        let mut alone = [0, 0];
        for step in 0..40 {
            let view = model.thinned(&two(), 3, step).unwrap();
            let a: Vec<Vec<f32>> = view[0].to_vec2().unwrap();
            let b: Vec<Vec<f32>> = view[1].to_vec2().unwrap();
            assert_eq!((&a[0][..], &b[0][..]), (&A[0][..], &B[0][..]));
            let kept = [a[1] == A[1], b[1] == B[1]];
            assert!(kept[0] != kept[1]);
            alone[usize::from(kept[1])] += 1;
        }
        assert!(alone.iter().all(|&n| n > 10), "{alone:?}");
        let whole = cm_ae(&Params::new(1, &Device::Cpu), 0.0).thinned(&two(), 3, 0).unwrap();
        assert_eq!(whole[0].to_vec2::<f32>().unwrap(), A);
    }

    /// Of a code that does not come from them, the error could move the encodings only as targets.
    #[test]
    fn what_is_to_be_reconstructed_is_held_fixed() {
        let params = Params::new(1, &Device::Cpu);
        let model = cm_ae(&params, 0.0);
        let z = [3, 2].map(|width| Var::ones((2, width), DType::F32, &Device::Cpu).unwrap());
        let encodings = Encodings::made(z.iter().map(|v| v.as_tensor().clone()).collect(), Presence::all(2, 2));
        let code = Var::ones((2, 6), DType::F32, &Device::Cpu).unwrap();
        let error = model.error(code.as_tensor(), &encodings).unwrap().unwrap();
        let gradients = error.backward().unwrap();
        assert!(gradients.get(&code).is_some() && z.iter().all(|z| gradients.get(z).is_none()));
    }
}
