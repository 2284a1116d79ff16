//! What a trained model's fused representation is like: its rank, and whose encoding it resembles.

use mmcollapse_data::{Presence, Samples};
use mmcollapse_nn::{Mode, Tensor};
use mmcollapse_probes::{Matrix, linear_cka, mean_cosine_similarity, ranks};

use super::run::Run;
use crate::{error::Result, evaluate::each_batch, model::Model};

impl Run<'_> {
    /// Measures of the fused representation of `samples`, with every modality that they have, by name:
    ///
    /// - `rank_numerical`, `rank_effective`, `rank_stable` of the centred `[n, width]` matrix;
    /// - `cka_M`: linear CKA between it and the encoding of modality M that the fusion was given (after EBR's decoder);
    /// - `cosine_M`: mean cosine between it and the fused representation of the same sample with M alone, nothing
    ///   standing in for the others: of one width whatever the fusion.
    ///
    /// What a representation that is not finite or the same for all samples has no value of is left out.
    pub fn measures(&self, model: &Model, samples: &Samples) -> Result<Vec<(String, f64)>> {
        let (Some(fused), encodings) = self.representations(model, samples, &samples.present)? else {
            return Ok(Vec::new());
        };
        let mut measures = Vec::new();
        if let Ok(ranks) = ranks(&fused) {
            measures.extend([
                ("rank_numerical".to_owned(), ranks.numerical as f64),
                ("rank_effective".to_owned(), ranks.effective),
                ("rank_stable".to_owned(), ranks.stable),
            ]);
        }
        for (modality, name) in self.spec.modalities.iter().enumerate() {
            let encoding = encodings.get(modality).and_then(Option::as_ref);
            if let Some(Ok(cka)) = encoding.map(|z| linear_cka(&fused, z)) {
                measures.push((format!("cka_{name}"), cka));
            }
            let alone = samples.present.only(&[modality]);
            if let (Some(alone), _) = self.representations(model, samples, &alone)?
                && let Ok(cosine) = mean_cosine_similarity(&fused, &alone)
            {
                measures.push((format!("cosine_{name}"), cosine));
            }
        }
        Ok(measures)
    }

    /// The fused representation and each modality's encoding; none for what is not finite.
    #[allow(clippy::type_complexity)]
    fn representations(
        &self,
        model: &Model,
        samples: &Samples,
        presence: &Presence,
    ) -> Result<(Option<Matrix>, Vec<Option<Matrix>>)> {
        let mut rows: Vec<Vec<f32>> = vec![Vec::new(); 1 + self.spec.modalities.len()];
        each_batch(samples, &self.dataset.modalities, presence, self.device, |batch| {
            let encodings = model.encode(batch, Mode::Eval)?;
            let output = model.fusion.forward(&encodings, Mode::Eval)?;
            for (rows, part) in rows.iter_mut().zip([&output.fused].into_iter().chain(&encodings.z)) {
                rows.extend(Tensor::flatten_all(part)?.to_vec1::<f32>()?);
            }
            Ok(())
        })?;
        let n = samples.len().max(1);
        let mut matrices = rows.iter().map(|values| Matrix::new(values, n, values.len() / n).ok());
        Ok((matrices.next().flatten(), matrices.collect()))
    }
}
