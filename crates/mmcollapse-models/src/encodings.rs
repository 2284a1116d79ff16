//! The encodings of a batch, on their way from the encoders to the fusion.

use mmcollapse_data::{ModalityInput, Presence};
use mmcollapse_nn::{Result as TensorResult, Tensor, candle::bail};

use crate::rows::{gather_rows, mean_of, presence_weight, scatter_rows, select_rows};

/// The encodings of a batch, as the fusion sees them.
pub struct Encodings {
    /// Per modality `[batch, width]`; the row of a sample without the modality is zero.
    pub z: Vec<Tensor>,
    /// Per modality its tokens, for a fusion that reads them; a sample without the modality has none.
    pub tokens: Option<Vec<Sequence>>,
    /// Per modality the inputs themselves, for a fusion that reconstructs them.
    pub inputs: Option<Vec<ModalityInput>>,
    /// Per modality the reallocated latents g `[rows, latent]` of the samples that have it, where there are any.
    pub latents: Vec<Option<Latent>>,
    /// Which rows of `z` stand for a modality that is there (or was stood in for).
    pub present: Presence,
}

impl Encodings {
    /// The tokens of each modality.
    ///
    /// # Errors
    /// If the fusion has not said that it reads them.
    pub fn tokens(&self) -> TensorResult<&[Sequence]> {
        match &self.tokens {
            Some(tokens) => Ok(tokens),
            None => bail!("a fusion that reads tokens has to say so: `Fusion::reads_tokens`"),
        }
    }

    /// The inputs of each modality, of the samples of the batch that have it.
    ///
    /// # Errors
    /// If the fusion has not said that it reads them.
    pub fn inputs(&self) -> TensorResult<&[ModalityInput]> {
        match &self.inputs {
            Some(inputs) => Ok(inputs),
            None => bail!("a fusion that reads inputs has to say so: `Fusion::reads_inputs`"),
        }
    }

    /// The same of which each sample keeps, of what it has, the modalities that `keep` says. Latents, which the fusion does not
    /// read, are left out.
    pub(crate) fn kept(&self, keep: &Presence) -> TensorResult<Self> {
        let present = self.present.and(keep);
        let of = |(m, z): (usize, &Tensor)| z.broadcast_mul(&presence_weight(&present, m, z.device())?);
        let z = self.z.iter().enumerate().map(of);
        let tokens = self.tokens.as_ref().map(|tokens| {
            let kept = tokens
                .iter()
                .enumerate()
                .map(|(m, sequence)| sequence.kept(&present, m));
            kept.collect::<TensorResult<_>>()
        });
        let inputs = self.inputs.as_ref().map(|inputs| {
            let kept = inputs
                .iter()
                .enumerate()
                .map(|(m, input)| kept_input(input, &present, m));
            kept.collect::<TensorResult<_>>()
        });
        Ok(Self {
            z: z.collect::<TensorResult<_>>()?,
            tokens: tokens.transpose()?,
            inputs: inputs.transpose()?,
            latents: self.z.iter().map(|_| None).collect(),
            present,
        })
    }

    /// Multiplies all encodings and tokens by a number.
    pub(crate) fn scale(&mut self, factor: f64) -> TensorResult<()> {
        for z in &mut self.z {
            *z = (&*z * factor)?;
        }
        for sequence in self.tokens.iter_mut().flatten() {
            sequence.values = (&sequence.values * factor)?;
        }
        Ok(())
    }

    /// The same without gradient, and without latents.
    pub(crate) fn detached(&self) -> Self {
        let token = |sequence: &Sequence| Sequence {
            values: sequence.values.detach(),
            mask: sequence.mask.clone(),
        };
        Self {
            z: self.z.iter().map(Tensor::detach).collect(),
            tokens: self.tokens.as_ref().map(|tokens| tokens.iter().map(token).collect()),
            inputs: self.inputs.clone(),
            latents: self.z.iter().map(|_| None).collect(),
            present: self.present.clone(),
        }
    }

    /// Puts `vectors [rows.len(), width]` in the place of what these rows have of a modality; each is also its only token.
    pub(crate) fn replace(&mut self, modality: usize, rows: &[usize], vectors: &Tensor) -> TensorResult<()> {
        let z = &self.z[modality];
        let n = z.dim(0)?;
        let stays: Vec<f32> = (0..n).map(|i| f32::from(u8::from(!rows.contains(&i)))).collect();
        let stays = Tensor::from_vec(stays, (n, 1), z.device())?;
        self.z[modality] = (z.broadcast_mul(&stays)? + scatter_rows(vectors, rows, n)?)?;
        if let Some(tokens) = &mut self.tokens {
            let sequence = &mut tokens[modality];
            let places = sequence.values.dim(1)?;
            sequence.values = sequence.values.broadcast_mul(&stays.unsqueeze(2)?)?;
            for row in rows {
                sequence.mask[row * places..(row + 1) * places].fill(false);
            }
            sequence.begin(rows, vectors)?;
        }
        Ok(())
    }

    /// Gives each modality that was stood in for, present now and not in `had`, one token: the encoding that stands in.
    pub(crate) fn stand_in_tokens(&mut self, had: &Presence) -> TensorResult<()> {
        for (modality, sequence) in self.tokens.iter_mut().flatten().enumerate() {
            let mut rows = self.present.rows(modality);
            rows.retain(|&i| !had.get(i, modality));
            if !rows.is_empty() {
                sequence.begin(&rows, &select_rows(&self.z[modality], &rows)?)?;
            }
        }
        Ok(())
    }
}

/// The inputs of the samples that still have a modality.
fn kept_input(input: &ModalityInput, present: &Presence, modality: usize) -> TensorResult<ModalityInput> {
    let places: Vec<usize> = (0..input.rows.len())
        .filter(|&place| present.get(input.rows[place], modality))
        .collect();
    let x = match &input.x {
        Some(x) if !places.is_empty() => Some(select_rows(x, &places)?),
        _ => None,
    };
    let rows = places.into_iter().map(|place| input.rows[place]).collect();
    Ok(ModalityInput { rows, x })
}

/// Latents of the samples of a batch that have a modality.
pub struct Latent {
    /// Positions in the batch.
    pub rows: Vec<usize>,
    /// `[rows.len(), latent]`.
    pub g: Tensor,
    /// `[rows.len(), width]`, what the encoder gave.
    pub encoded: Tensor,
}

/// Some tokens for each row, in places of which not all need to be taken.
#[derive(Clone)]
pub struct Sequence {
    /// `[rows, places, width]`, at least one place; what stands where no token is means nothing.
    pub values: Tensor,
    /// Row after row, which of the `rows * places` hold a token.
    pub mask: Vec<bool>,
}

impl Sequence {
    /// One token a row, `[rows, width]`.
    pub(crate) fn single(vectors: &Tensor) -> TensorResult<Self> {
        Ok(Self {
            values: vectors.unsqueeze(1)?,
            mask: vec![true; vectors.dim(0)?],
        })
    }

    /// Of each row one place without a token, `like [rows, width]`.
    pub(crate) fn none(like: &Tensor) -> TensorResult<Self> {
        Ok(Self {
            mask: vec![false; like.dim(0)?],
            ..Self::single(like)?
        })
    }

    /// `[rows, places]`: 1 where a token is, else 0.
    pub(crate) fn present(&self) -> TensorResult<Tensor> {
        let (rows, places, _) = self.values.dims3()?;
        let present: Vec<f32> = self.mask.iter().map(|&there| f32::from(u8::from(there))).collect();
        Tensor::from_vec(present, (rows, places), self.values.device())
    }

    /// Of each row the last place that holds a token, or the first where none does.
    pub(crate) fn last(&self) -> TensorResult<Vec<usize>> {
        let places = self.values.dim(1)?;
        let last = |row: &[bool]| row.iter().rposition(|&there| there).unwrap_or(0);
        Ok(self.mask.chunks(places).map(last).collect())
    }

    /// The tokens alone, row after row, `[tokens, width]`.
    pub(crate) fn taken(&self) -> TensorResult<Tensor> {
        select_rows(&self.values.flatten(0, 1)?, &self.places())
    }

    /// Others in the places of these tokens, `[tokens, their width]`; zero elsewhere.
    pub(crate) fn with(&self, tokens: &Tensor) -> TensorResult<Self> {
        let (rows, places, _) = self.values.dims3()?;
        let values = scatter_rows(tokens, &self.places(), rows * places)?;
        Ok(Self {
            values: values.reshape((rows, places, tokens.dim(1)?))?,
            mask: self.mask.clone(),
        })
    }

    /// The same in which the rows that have lost their modality have no token; what stands in their places is zero.
    fn kept(&self, present: &Presence, modality: usize) -> TensorResult<Self> {
        let (rows, places, _) = self.values.dims3()?;
        let has: Vec<bool> = (0..rows).map(|row| present.get(row, modality)).collect();
        let weights = presence_weight(present, modality, self.values.device())?.unsqueeze(2)?;
        let mask = self.mask.iter().enumerate();
        Ok(Self {
            values: self.values.broadcast_mul(&weights)?,
            mask: mask.map(|(place, &there)| there && has[place / places]).collect(),
        })
    }

    /// The rows at these positions, each at most once and in order.
    pub(crate) fn select(&self, rows: &[usize]) -> TensorResult<Self> {
        let places = self.values.dim(1)?;
        Ok(Self {
            values: select_rows(&self.values, rows)?,
            mask: rows
                .iter()
                .flat_map(|row| self.mask[row * places..][..places].to_vec())
                .collect(),
        })
    }

    /// Sequences of the same rows, one behind the other.
    pub(crate) fn joined(parts: &[Self]) -> TensorResult<Self> {
        let values: Vec<&Tensor> = parts.iter().map(|part| &part.values).collect();
        let values = Tensor::cat(&values, 1)?;
        let rows = values.dim(0)?;
        let of_row = |part: &Self, row: usize| {
            let places = part.mask.len() / rows;
            part.mask[row * places..][..places].to_vec()
        };
        let mask = (0..rows).flat_map(|row| parts.iter().flat_map(move |part| of_row(part, row)));
        Ok(Self {
            mask: mask.collect(),
            values,
        })
    }

    /// Each row's tokens moved to its front, in as few places as the longest row takes: attention costs their square.
    pub(crate) fn packed(&self) -> TensorResult<Self> {
        let (rows, places, width) = self.values.dims3()?;
        let counts = self
            .mask
            .chunks(places)
            .map(|row| row.iter().filter(|there| **there).count());
        let counts: Vec<usize> = counts.collect();
        let longest = counts.iter().copied().max().unwrap_or(0).max(1);
        let mut taken = self.places().into_iter();
        let mut from = Vec::with_capacity(rows * longest);
        for (row, &count) in counts.iter().enumerate() {
            from.extend(taken.by_ref().take(count));
            from.extend(std::iter::repeat_n(row * places, longest - count));
        }
        let values = gather_rows(&self.values.flatten(0, 1)?, &from)?;
        Ok(Self {
            values: values.reshape((rows, longest, width))?,
            mask: counts
                .iter()
                .flat_map(|&count| (0..longest).map(move |place| place < count))
                .collect(),
        })
    }

    /// The mean of each row's tokens, `[rows, width]`; of no token, zero. What is no token has to be zero.
    pub(crate) fn mean(&self) -> TensorResult<Tensor> {
        mean_of(&self.values.sum(1)?, &self.present()?.sum_keepdim(1)?)
    }

    /// The rows at these positions of a batch of `n`, whose other rows have no token.
    pub(crate) fn in_batch(&self, rows: &[usize], n: usize) -> TensorResult<Self> {
        let places = self.values.dim(1)?;
        let mut mask = vec![false; n * places];
        for (own, &row) in self.mask.chunks(places).zip(rows) {
            mask[row * places..][..places].copy_from_slice(own);
        }
        Ok(Self {
            values: scatter_rows(&self.values, rows, n)?,
            mask,
        })
    }

    /// Puts a first token, `vectors [rows.len(), width]`, into rows that have none and are zero.
    fn begin(&mut self, rows: &[usize], vectors: &Tensor) -> TensorResult<()> {
        let (n, places, width) = self.values.dims3()?;
        let first: Vec<usize> = rows.iter().map(|row| row * places).collect();
        let tokens = scatter_rows(vectors, &first, n * places)?;
        self.values = (&self.values + tokens.reshape((n, places, width))?)?;
        for place in first {
            self.mask[place] = true;
        }
        Ok(())
    }

    fn places(&self) -> Vec<usize> {
        (0..self.mask.len()).filter(|&place| self.mask[place]).collect()
    }
}
