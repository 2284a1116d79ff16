//! Encoders, reallocation and fusion put together: one multimodal classifier.

use mmcollapse_data::{Batch, Dataset, Kind, ModalitySpec};
use mmcollapse_nn::{Device, Mode, Params, Result as TensorResult, Tensor};
use mmcollapse_record::UpweightMode;

use crate::{
    balancing::{self, Balancing, BalancingContext},
    config::CellConfig,
    encoders::{self, Encoded, Encoder},
    encodings::{Encodings, Latent, Sequence},
    error::Result,
    fusion::{self, Fusion, FusionContext, FusionOutput},
    method::MethodConfig,
    protocol,
    reallocation::{self, Reallocated, Reallocation, ReallocationContext},
    rows::scatter_rows,
    substitution::{self, Substitution},
    upweight::{Upweight, UpweightConfig},
};

/// What decides the parameters of a model: the data's shape and the chosen methods.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// Modality names, in the data set's order.
    pub modalities: Vec<String>,
    /// What one input of each is.
    pub inputs: Vec<ModalitySpec>,
    /// Per modality: encoder name and options.
    pub encoders: Vec<MethodConfig>,
    /// How encodings meet.
    pub fusion: MethodConfig,
    /// What is done to the encoders.
    pub reallocation: MethodConfig,
    /// How training weighs the modalities, where it does not treat them alike.
    pub balancing: Option<MethodConfig>,
    /// What stands in for a missing modality at evaluation.
    pub substitution: MethodConfig,
    /// Number of classes.
    pub classes: usize,
    /// The modality that weighs more in training, if one does.
    pub upweight: Option<UpweightConfig>,
    /// Seed of the initial weights.
    pub seed: u64,
}

impl ModelSpec {
    /// The model that `cell` trains on `dataset`.
    ///
    /// # Errors
    /// A modality that no encoder reads, or an encoder for a modality that the data do not have.
    pub fn new(cell: &CellConfig, dataset: &Dataset) -> Result<Self> {
        let modalities: Vec<String> = dataset.modalities.iter().map(|m| m.name.clone()).collect();
        let known = |name: &&String| modalities.contains(name) || Kind::is_name(name);
        if let Some(unknown) = cell.encoders.keys().find(|name| !known(name)) {
            return Err(crate::ModelError::Unfit {
                dataset: dataset.name.clone(),
                reason: format!(
                    "`encoders` names modality `{unknown}`; the data set has {}, and the kinds are {}",
                    modalities.join(", "),
                    Kind::NAMES.join(", ")
                ),
            });
        }
        let encoders = dataset
            .modalities
            .iter()
            .map(
                |m| match cell.encoders.get(&m.name).or_else(|| cell.encoders.get(m.kind.name())) {
                    Some(config) => Ok(config.clone()),
                    None => Ok(MethodConfig::named(encoders::default_for(&dataset.name, m)?)),
                },
            )
            .collect::<Result<_>>()?;
        Ok(Self {
            modalities,
            inputs: dataset.modalities.clone(),
            encoders,
            fusion: cell.fusion.clone(),
            reallocation: cell.reallocation.clone(),
            balancing: cell.balancing.clone(),
            substitution: cell.substitution.clone(),
            classes: dataset.classes,
            upweight: protocol::upweight(&cell.protocol, dataset),
            seed: cell.seed,
        })
    }

    /// The same model without reallocation: what a method that reallocates starts its diagnosis from.
    #[must_use]
    pub fn vanilla(&self) -> Self {
        Self {
            reallocation: MethodConfig::named("none"),
            substitution: MethodConfig::named("none"),
            ..self.clone()
        }
    }

    /// Builds the model with fresh weights. Equal names take equal weights whatever else the model holds, so
    /// that all methods of a comparison start from the same encoders.
    ///
    /// # Errors
    /// A method that is unknown or refuses its options.
    pub fn build(&self, device: &Device) -> Result<Model> {
        let params = Params::new(self.seed, device);
        let root = params.root();
        let encoders = self
            .modalities
            .iter()
            .zip(self.encoders.iter().zip(&self.inputs))
            .map(|(name, (config, input))| {
                let scope = root.pp("encoder").pp(name);
                encoders::build(&config.method, &config.options, input, &scope)
            })
            .collect::<Result<Vec<_>>>()?;
        let widths: Vec<usize> = encoders.iter().map(|e| e.width()).collect();
        let places: Vec<usize> = encoders.iter().map(|e| e.places()).collect();
        let reallocation = reallocation::build(
            &self.reallocation,
            &ReallocationContext {
                modalities: &self.modalities,
                widths: &widths,
                scope: root.pp("reallocation"),
            },
        )?;
        let mut fusion = fusion::build(
            &self.fusion,
            &FusionContext {
                modalities: &self.modalities,
                inputs: &self.inputs,
                widths: &widths,
                places: &places,
                classes: self.classes,
                scope: root.pp("fusion"),
            },
        )?;
        let upweight = match &self.upweight {
            // A generative model has beta in its likelihood.
            Some(config)
                if config.mode == UpweightMode::Loss && fusion.weigh_likelihood(config.modality, 1.0 + config.beta) =>
            {
                None
            }
            Some(config) => {
                let scope = root.pp("upweight");
                Some(Upweight::new(config, widths[config.modality], self.classes, &scope)?)
            }
            None => None,
        };
        let balancing = self.balancing.as_ref().map(|config| {
            let context = BalancingContext {
                modalities: &self.modalities,
                widths: &widths,
                classes: self.classes,
                scope: root.pp("balancing"),
            };
            balancing::build(config, &context)
        });
        Ok(Model {
            upweight,
            params,
            encoders,
            reallocation,
            fusion,
            balancing: balancing.transpose()?,
            substitution: substitution::build(&self.substitution, self.modalities.len())?,
        })
    }
}

/// A multimodal classifier `y = g(phi(f_1(x_1), ..., f_m(x_m)))` (the paper's section 3).
pub struct Model {
    /// Every variable and buffer by name.
    pub params: Params,
    /// f_i, in the data set's order of modalities.
    pub encoders: Vec<Box<dyn Encoder>>,
    /// What is done to the encodings before they meet.
    pub reallocation: Box<dyn Reallocation>,
    /// phi and the head g.
    pub fusion: Box<dyn Fusion>,
    /// How training weighs the modalities, where it does not treat them alike.
    pub balancing: Option<Box<dyn Balancing>>,
    /// What stands in for a missing modality at evaluation.
    pub substitution: Box<dyn Substitution>,
    pub(crate) upweight: Option<Upweight>,
}

impl Model {
    /// Encodes the modalities that are there; the others are zero rows.
    ///
    /// # Errors
    /// A shape that does not fit its encoder.
    pub fn encode(&self, batch: &Batch, mode: Mode) -> TensorResult<Encodings> {
        let n = batch.labels.len();
        let mut z = Vec::with_capacity(self.encoders.len());
        let mut tokens = self.fusion.reads_tokens().then(Vec::new);
        let mut latents = Vec::with_capacity(self.encoders.len());
        for (modality, encoder) in self.encoders.iter().enumerate() {
            let input = &batch.inputs[modality];
            let Some(x) = &input.x else {
                let zeros = Tensor::zeros(
                    (n, encoder.width()),
                    mmcollapse_nn::DType::F32,
                    &self.params.root().device(),
                )?;
                if let Some(tokens) = &mut tokens {
                    tokens.push(Sequence::none(&zeros)?);
                }
                z.push(zeros);
                latents.push(None);
                continue;
            };
            let encoded = match &tokens {
                Some(_) => encoder.encode(x, mode)?,
                None => Encoded {
                    vector: encoder.forward(x, mode)?, // [rows, width]
                    tokens: None,
                },
            };
            let Reallocated { encoding, mut latent } = self.reallocate(modality, &encoded.vector, mode)?;
            if let Some(tokens) = &mut tokens {
                let sequence = match encoded.tokens.filter(|_| !self.reallocation.silences(modality)) {
                    None => Sequence::single(&encoding)?,
                    Some(sequence) => {
                        let reallocated = self.reallocate(modality, &sequence.taken()?, mode)?;
                        // A sample has one latent, whatever its length: the mean over what the fusion reads of it.
                        let means = reallocated.latent.map(|g| sequence.with(&g)?.mean());
                        latent = means.transpose()?;
                        sequence.with(&reallocated.encoding)?
                    }
                };
                tokens.push(sequence.in_batch(&input.rows, n)?);
            }
            z.push(scatter_rows(&encoding, &input.rows, n)?);
            latents.push(latent.map(|g| Latent {
                rows: input.rows.clone(),
                g,
                encoded: encoded.vector,
            }));
        }
        Ok(Encodings {
            z,
            tokens,
            inputs: self.fusion.reads_inputs().then(|| batch.inputs.clone()),
            latents,
            present: batch.present.clone(),
        })
    }

    /// One modality's encodings or tokens `[rows, width]` as the fusion sees them.
    fn reallocate(&self, modality: usize, encodings: &Tensor, mode: Mode) -> TensorResult<Reallocated> {
        let mut reallocated = self.reallocation.transform(modality, encodings, mode)?;
        if let Some(upweight) = &self.upweight {
            reallocated.encoding = upweight.scale(modality, reallocated.encoding)?;
        }
        Ok(reallocated)
    }

    /// The whole forward pass without balancing. In evaluation the substitution stands in for missing modalities.
    ///
    /// # Errors
    /// A shape that does not fit.
    pub fn forward(&self, batch: &Batch, mode: Mode) -> TensorResult<(Encodings, FusionOutput)> {
        let encodings = self.encodings(batch, mode)?;
        let output = self.meet(batch, &encodings, mode)?;
        Ok((encodings, output))
    }

    /// The encodings of a batch, stand-ins among them.
    pub(crate) fn encodings(&self, batch: &Batch, mode: Mode) -> TensorResult<Encodings> {
        let mut encodings = self.encode(batch, mode)?;
        if mode.is_train() {
            self.reallocation.stand_in(&mut encodings, mode)?;
        } else {
            let had = encodings.present.clone();
            self.substitution.stand_in(&mut encodings, self.reallocation.as_ref())?;
            encodings.stand_in_tokens(&had)?;
        }
        Ok(encodings)
    }

    /// What the fusion makes of a batch's encodings.
    pub(crate) fn meet(&self, batch: &Batch, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let output = self.fusion.forward(encodings, mode)?;
        if mode.is_train() {
            self.fusion.remember(&|| self.encode(batch, Mode::Eval))?;
        }
        Ok(output)
    }
}
