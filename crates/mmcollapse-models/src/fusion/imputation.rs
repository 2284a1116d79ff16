//! What the methods share that put something in the place of a missing modality's encoding.

use mmcollapse_data::Presence;
use mmcollapse_nn::{Result as TensorResult, Tensor, layers::Linear};

use super::FusionContext;
use crate::{
    encodings::Encodings,
    rows::{choose, complete_rows, mean_of, presence_weights, rows_with, select_rows},
};

/// The encodings, each `[batch, width]`; where one is missing, the mean of `given(from, to)`, `[batch, width of to]`, over
/// the present modalities `from`. Zero for a sample without any modality.
pub(super) fn fill_in(
    encodings: &Encodings,
    given: impl Fn(usize, usize) -> TensorResult<Tensor>,
) -> TensorResult<Vec<Tensor>> {
    let present = presence_weights(encodings)?; // each [b, 1]
    let mut filled = Vec::with_capacity(present.len());
    for (to, z) in encodings.z.iter().enumerate() {
        if encodings.present.rows(to).len() == encodings.present.len() {
            filled.push(z.clone());
            continue;
        }
        let (mut sum, mut count) = (z.zeros_like()?, present[to].zeros_like()?);
        for from in (0..present.len()).filter(|&from| from != to) {
            sum = (sum + given(from, to)?.broadcast_mul(&present[from])?)?;
            count = (count + &present[from])?;
        }
        let mean = mean_of(&sum, &count)?;
        filled.push(choose(&present[to], z, &mean)?);
    }
    Ok(filled)
}

/// The samples of a batch that have every modality, once without each modality in turn.
pub(super) struct LeftOut {
    /// Position in the batch of each row.
    pub rows: Vec<usize>,
    /// The encodings of these rows, one modality of each taken away.
    pub encodings: Encodings,
    /// Share of the batch that has every modality: the weight of a mean over these rows beside one over the batch, if
    /// every sample is to count alike.
    pub share: f64,
}

impl LeftOut {
    /// Nothing if no sample of the batch has every modality.
    pub fn of(encodings: &Encodings) -> TensorResult<Option<Self>> {
        let m = encodings.z.len();
        let complete = complete_rows(&encodings.present);
        if complete.is_empty() {
            return Ok(None);
        }
        let z = encodings.z.iter().enumerate().map(|(j, z)| {
            let there = select_rows(z, &complete)?;
            let nothing = there.zeros_like()?;
            let blocks: Vec<&Tensor> = (0..m)
                .map(|left_out| if left_out == j { &nothing } else { &there })
                .collect();
            Tensor::cat(&blocks, 0)
        });
        Ok(Some(Self {
            share: complete.len() as f64 / encodings.present.len() as f64,
            rows: complete.repeat(m),
            encodings: Encodings {
                z: z.collect::<TensorResult<_>>()?,
                tokens: None,
                inputs: None,
                latents: (0..m).map(|_| None).collect(),
                present: Presence::from_fn(m * complete.len(), m, |i, j| i / complete.len() != j),
            },
        }))
    }
}

/// Networks with a bottleneck, for each ordered pair of modalities, that map the encoding of one to that of the other.
pub(super) struct Maps(Vec<Map>);

struct Map {
    from: usize,
    to: usize,
    encode: Linear,
    decode: Linear,
}

impl Map {
    fn forward(&self, z: &Tensor) -> TensorResult<Tensor> {
        self.decode.forward(&self.encode.forward_relu(z)?)
    }
}

/// What a map makes of the samples that have both of its modalities, and what it should.
pub(super) struct Mapped {
    /// Modality that is mapped to.
    pub to: usize,
    /// `[rows, width of to]`.
    pub given: Tensor,
    /// `[rows, width of to]`, without gradient.
    pub target: Tensor,
}

impl Maps {
    /// Variables `maps.FROM.TO` below the fusion's scope.
    pub fn new(context: &FusionContext, bottleneck: usize) -> TensorResult<Self> {
        let (scope, widths) = (context.scope.pp("maps"), context.widths);
        let mut maps = Vec::new();
        for (from, source) in context.modalities.iter().enumerate() {
            for (to, target) in context.modalities.iter().enumerate().filter(|(to, _)| *to != from) {
                let scope = scope.pp(source).pp(target);
                maps.push(Map {
                    from,
                    to,
                    encode: Linear::new(&scope.pp("encode"), widths[from], bottleneck)?,
                    decode: Linear::new(&scope.pp("decode"), bottleneck, widths[to])?,
                });
            }
        }
        Ok(Self(maps))
    }

    /// The encoding of `to`, made from that of `from`; zero where there is no such map.
    pub fn map(&self, encodings: &Encodings, from: usize, to: usize) -> TensorResult<Tensor> {
        match self.0.iter().find(|map| map.from == from && map.to == to) {
            Some(map) => map.forward(&encodings.z[from]),
            None => encodings.z[to].zeros_like(),
        }
    }

    /// Every map on the samples that have both of its modalities. The encodings themselves are not moved by it, or they
    /// could make each other easy to guess by carrying nothing.
    pub fn on_pairs(&self, encodings: &Encodings) -> TensorResult<Vec<Mapped>> {
        let mut mapped = Vec::new();
        for map in &self.0 {
            let both = rows_with(&encodings.present, &[map.from, map.to]);
            if both.is_empty() {
                continue;
            }
            let [source, target] = [map.from, map.to].map(|m| select_rows(&encodings.z[m], &both).map(|z| z.detach()));
            mapped.push(Mapped {
                to: map.to,
                given: map.forward(&source?)?,
                target: target?,
            });
        }
        Ok(mapped)
    }
}

/// Mean squared error of what the maps give, the mean over the maps; nothing where no sample has two modalities.
pub(super) fn reconstruction(mapped: &[Mapped]) -> TensorResult<Option<Tensor>> {
    if mapped.is_empty() {
        return Ok(None);
    }
    let errors: Vec<Tensor> = mapped
        .iter()
        .map(|m| (&m.given - &m.target)?.sqr()?.mean_all())
        .collect::<TensorResult<_>>()?;
    Tensor::stack(&errors, 0)?.mean(0).map(Some)
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::{DType, Device, Params, Var};

    use super::*;

    fn z(values: &[f32]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap().reshape((2, ())).unwrap()
    }

    fn rows(t: &Tensor) -> Vec<Vec<f32>> {
        t.to_vec2().unwrap()
    }

    /// Three modalities; the first sample lacks c, the second b and c.
    fn three() -> Encodings {
        Encodings::made(
            vec![
                z(&[0.5, -1.0, 2.0, 0.1]),
                z(&[1.0, 0.2, -0.4, 0.0, 0.0, 0.0]),
                z(&[0.0; 8]),
            ],
            Presence::from_fn(2, 3, |i, m| m == 0 || (m == 1 && i == 0)),
        )
    }

    fn maps(params: &Params) -> Maps {
        let names = ["a", "b", "c"].map(str::to_owned);
        let context = FusionContext::made(&names, &[2, 3, 4], 4, params);
        Maps::new(&context, 5).unwrap()
    }

    #[test]
    fn what_is_there_stays_and_what_is_missing_is_the_mean_of_what_the_others_give() {
        let params = Params::new(3, &Device::Cpu);
        let (maps, encodings) = (maps(&params), three());
        let filled = fill_in(&encodings, |from, to| maps.map(&encodings, from, to)).unwrap();
        assert_eq!(rows(&filled[0]), rows(&encodings.z[0]));
        assert_eq!(rows(&filled[1])[0], rows(&encodings.z[1])[0]);
        let given = |from, to, i: usize| rows(&maps.map(&encodings, from, to).unwrap())[i].clone();
        assert_eq!(rows(&filled[1])[1], given(0, 1, 1));
        assert_eq!(rows(&filled[2])[1], given(0, 2, 1));
        let (from_a, from_b) = (given(0, 2, 0), given(1, 2, 0));
        for (k, value) in rows(&filled[2])[0].iter().enumerate() {
            assert!((value - 0.5 * (from_a[k] + from_b[k])).abs() < 1e-6);
        }
    }

    #[test]
    fn reconstruction_moves_the_maps_and_not_the_encodings() {
        let params = Params::new(3, &Device::Cpu);
        let maps = maps(&params);
        let vars = [2, 3, 4].map(|width| Var::ones((4, width), DType::F32, &Device::Cpu).unwrap());
        let encodings = Encodings::made(
            vars.iter().map(|v| v.as_tensor().clone()).collect(),
            Presence::all(4, 3),
        );
        let error = reconstruction(&maps.on_pairs(&encodings).unwrap()).unwrap().unwrap();
        let gradients = error.backward().unwrap();
        assert!(vars.iter().all(|v| gradients.get(v).is_none()));
        for (name, var) in params.vars_under("maps") {
            assert!(gradients.get(&var).is_some(), "{name}");
        }
    }

    #[test]
    fn each_modality_of_a_complete_sample_is_left_out_in_turn() {
        let encodings = Encodings::made(
            vec![z(&[1.0, 2.0, 3.0, 4.0]), z(&[5.0, 6.0])],
            Presence::from_fn(2, 2, |i, m| i == 1 || m == 0),
        );
        let left_out = LeftOut::of(&encodings).unwrap().unwrap();
        assert_eq!((&left_out.rows[..], left_out.share), (&[1, 1][..], 0.5));
        assert_eq!(rows(&left_out.encodings.z[0]), [[0.0, 0.0], [3.0, 4.0]]);
        assert_eq!(rows(&left_out.encodings.z[1]), [[6.0], [0.0]]);
        let present = &left_out.encodings.present;
        assert_eq!(
            [0, 1].map(|i| [0, 1].map(|m| present.get(i, m))),
            [[false, true], [true, false]]
        );
        assert!(LeftOut::of(&three()).unwrap().is_none());
    }
}
