//! The paper's stand-in (section 4.4): decode another modality's latent.
//!
//! After training, modalities are ranked by the similarity of their latents g to those of the reference (the
//! strongest) modality. A missing modality i is stood in for by the present modality j that is nearest to it in
//! that ranking: its encoding is hinv_i(g_j(x_j)). The paper writes hinv without an index and does not define
//! the similarity: both are options.

use mmcollapse_nn::Result as TensorResult;
use mmcollapse_probes::{linear_cka, mean_cosine_similarity};
use serde::{Deserialize, Serialize};

use super::{Builder, LatentSamples, Substitution};
use crate::{
    encodings::Encodings,
    reallocation::Reallocation,
    registry::{Entry, parse_for, resolve_as},
    rows::{scatter_rows, select_rows},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "latent",
    summary: "a missing modality is decoded from the latent of the nearest one that is there",
    reference: "Chaudhuri et al., ICML 2025, section 4.4",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: |options, modalities| {
        let config: Config = parse_for("substitution", "latent", options)?;
        Ok(Box::new(LatentSubstitution {
            config,
            ranking: (0..modalities).collect(),
        }))
    },
};

/// Whose decoder reads the latent that stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Decoder {
    Missing,
    Substitute,
}

/// How alike two modalities' latents are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Similarity {
    /// Mean cosine over samples.
    Cosine,
    /// Linear centred kernel alignment.
    Cka,
}

/// Options of [`LatentSubstitution`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Whose decoder reads the latent.
    decoder: Decoder,
    /// What ranks the modalities.
    similarity: Similarity,
    /// Whether the fusion takes a stand-in as present.
    present: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            decoder: Decoder::Missing,
            similarity: Similarity::Cosine,
            present: true,
        }
    }
}

struct LatentSubstitution {
    config: Config,
    /// Modalities from most to least similar to the reference, the reference first.
    ranking: Vec<usize>,
}

impl LatentSubstitution {
    /// The present modality nearest to `missing` in the ranking; of two equally near, the one nearer to the
    /// reference.
    fn nearest(&self, missing: usize, present: impl Fn(usize) -> bool) -> Option<usize> {
        let place = |m: usize| self.ranking.iter().position(|&r| r == m);
        let here = place(missing)?;
        (0..self.ranking.len())
            .filter(|&m| m != missing && present(m))
            .filter_map(|m| place(m).map(|p| (p.abs_diff(here), p, m)))
            .min()
            .map(|(_, _, m)| m)
    }
}

impl Substitution for LatentSubstitution {
    fn fit(&mut self, samples: &LatentSamples) {
        let reference = &samples.latents[samples.strongest];
        let mut ranked: Vec<(f64, usize)> = samples
            .latents
            .iter()
            .enumerate()
            .map(|(m, latent)| {
                let similarity = if m == samples.strongest {
                    f64::INFINITY
                } else {
                    match self.config.similarity {
                        Similarity::Cosine => mean_cosine_similarity(latent, reference).map(|(cosine, _)| cosine),
                        Similarity::Cka => linear_cka(latent, reference),
                    }
                    // Latents that are dead or not finite resemble nothing.
                    .unwrap_or(f64::NEG_INFINITY)
                };
                (similarity, m)
            })
            .collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        self.ranking = ranked.into_iter().map(|(_, m)| m).collect();
    }

    fn stand_in(&self, encodings: &mut Encodings, reallocation: &dyn Reallocation) -> TensorResult<()> {
        let (n, present) = (encodings.present.len(), encodings.present.clone());
        for missing in 0..encodings.z.len() {
            for substitute in 0..encodings.z.len() {
                let Some(latent) = &encodings.latents[substitute] else {
                    continue;
                };
                // (position in the batch, row of the latent) of the samples that this pair serves
                let served: Vec<(usize, usize)> = (0..n)
                    .filter(|&i| !present.get(i, missing))
                    .filter(|&i| self.nearest(missing, |m| present.get(i, m)) == Some(substitute))
                    .filter_map(|i| Some((i, latent.rows.iter().position(|&r| r == i)?)))
                    .collect();
                if served.is_empty() {
                    continue;
                }
                let (batch_rows, latent_rows): (Vec<usize>, Vec<usize>) = served.into_iter().unzip();
                let g = select_rows(&latent.g, &latent_rows)?;
                let decoder = match self.config.decoder {
                    Decoder::Missing => missing,
                    Decoder::Substitute => substitute,
                };
                let Some(encoding) = reallocation.decode(decoder, &g)? else {
                    continue; // no decoders: the modality stays missing
                };
                let filled = scatter_rows(&encoding, &batch_rows, n)?;
                encodings.z[missing] = (&encodings.z[missing] + filled)?;
                for &i in batch_rows.iter().filter(|_| self.config.present) {
                    encodings.present.set(i, missing, true);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(ranking: Vec<usize>) -> LatentSubstitution {
        LatentSubstitution {
            config: Config::default(),
            ranking,
        }
    }

    #[test]
    fn the_nearest_in_the_ranking_that_is_there_stands_in() {
        let s = with(vec![2, 0, 3, 1]);
        assert_eq!(s.nearest(3, |_| true), Some(0)); // 0 and 1 are as near; 0 is nearer to the reference
        assert_eq!(s.nearest(3, |m| m != 0), Some(1));
        assert_eq!(s.nearest(2, |m| m == 1), Some(1));
        assert_eq!(s.nearest(2, |_| false), None);
    }

    #[test]
    fn modalities_are_ranked_by_similarity_to_the_strongest() {
        let mut s = with(vec![0, 1, 2]);
        s.fit(&LatentSamples {
            latents: [[0.0, 1.0, 1.0, 0.0], [1.0, 0.1, 0.1, 1.0], [1.0, 0.0, 0.0, 1.0]]
                .map(|v| mmcollapse_probes::Matrix::new(&v, 2, 2).unwrap())
                .to_vec(),
            strongest: 2,
        });
        assert_eq!(s.ranking, [2, 1, 0]);
    }
}
