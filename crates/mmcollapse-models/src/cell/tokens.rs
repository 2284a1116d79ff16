//! Tokens on their way through the whole model, on records whose modalities have one or several.

use mmcollapse_data::{Batch, Dataset, Presence};
use mmcollapse_nn::{Device, Mode, Result as TensorResult, Tensor};
use mmcollapse_record::{Protocol, UpweightMode};
use serde_json::{Value, json};

use super::records::{fusions, records};
use crate::{
    CellConfig, MethodConfig, Model, ModelSpec,
    encodings::{Encodings, Sequence},
    training::Progress,
};

/// The modalities of [`records`] with more than one token.
const DIAGNOSES: usize = 1;
const LABS: usize = 2;

fn config(fusion: &str, reallocation: Value, encoder: &str) -> CellConfig {
    let config: CellConfig = serde_json::from_value(json!({
        "dataset": "records",
        "protocol": {"kind": "missing", "rate": 0.3},
        "encoders": {"diagnoses": {"method": encoder}},
        "fusion": {"method": fusion},
        "reallocation": reallocation,
        "seed": 2,
    }))
    .unwrap();
    config.resolve().unwrap()
}

fn build(config: &CellConfig, dataset: &Dataset) -> Model {
    ModelSpec::new(config, dataset).unwrap().build(&Device::Cpu).unwrap()
}

fn model(fusion: &str, reallocation: Value, encoder: &str) -> (Dataset, Model) {
    let dataset = records();
    let model = build(&config(fusion, reallocation, encoder), &dataset);
    (dataset, model)
}

fn batch(dataset: &Dataset, presence: &Presence) -> Batch {
    let index: Vec<usize> = (0..12).collect();
    Batch::new(&dataset.train, &dataset.modalities, presence, &index, &Device::Cpu).unwrap()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn near(a: &Tensor, b: &Tensor) -> bool {
    let (a, b) = (values(a), values(b));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5)
}

fn counts(sequence: &Sequence) -> Vec<usize> {
    let places = sequence.values.dim(1).unwrap();
    let rows = sequence.mask.chunks(places);
    rows.map(|row| row.iter().filter(|there| **there).count()).collect()
}

#[test]
fn only_a_fusion_that_asks_gets_tokens() {
    for fusion in fusions() {
        let (dataset, model) = model(fusion, json!({"method": "none"}), "code_bag");
        let batch = batch(&dataset, &dataset.train.present);
        let encodings = model.encode(&batch, Mode::Eval).unwrap();
        let reads = ["mt", "mult"].contains(&fusion);
        assert_eq!(model.fusion.reads_tokens(), reads, "{fusion}");
        let Some(tokens) = &encodings.tokens else {
            assert!(!reads, "{fusion}");
            continue;
        };
        for (m, sequence) in tokens.iter().enumerate() {
            for (i, count) in counts(sequence).into_iter().enumerate() {
                let expected = match m {
                    _ if !batch.present.get(i, m) => 0,
                    DIAGNOSES => 2,
                    LABS => i % 3 + 1,
                    _ => 1,
                };
                assert_eq!(count, expected, "{fusion} {m} {i}");
            }
        }
        // A modality without tokens of its own is its vector.
        assert_eq!(values(&tokens[0].values), values(&encodings.z[0]));
    }
}

#[test]
fn every_parameter_hears_of_the_tokens_in_every_pattern() {
    for fusion in ["mt", "mult"] {
        for reallocation in ["none", "ebr"] {
            let (dataset, model) = model(fusion, json!({"method": reallocation}), "code_transformer");
            let n = dataset.train.len();
            for pattern in 0..16_usize {
                let presence = Presence::from_fn(n, 4, |i, m| {
                    let there = dataset.train.present.get(i, m);
                    there && ((pattern + i / 4) >> m) & 1 == 1
                });
                let batch = batch(&dataset, &presence);
                for mode in [Mode::Eval, Mode::Train { seed: 1, step: 2 }] {
                    let (_, output) = model.forward(&batch, mode).unwrap();
                    assert!(
                        values(&output.logits).iter().all(|v| v.is_finite()),
                        "{fusion} {pattern}"
                    );
                }
            }
            let batch = batch(&dataset, &dataset.train.present);
            let mode = Mode::Train { seed: 1, step: 2 };
            let progress = Progress {
                epoch: 1,
                epochs: 2,
                semantic: &[],
                phases: &[],
            };
            let (encodings, output) = model.forward(&batch, mode).unwrap();
            let mut losses = model.fusion.labelled_losses(&output, &batch.labels).unwrap();
            losses.extend(model.reallocation.losses(&encodings, &progress).unwrap());
            let mut loss = model
                .fusion
                .semantic_loss(&output, &encodings, &batch.labels, mode)
                .unwrap();
            for (_, term) in losses {
                loss = (loss + term).unwrap();
            }
            let gradients = loss.backward().unwrap();
            for (name, var) in model.params.vars() {
                let gradient = gradients.get(var.as_tensor()).expect(&name);
                assert!(
                    values(gradient).iter().any(|g| *g != 0.0),
                    "{fusion}+{reallocation}: {name}"
                );
            }
        }
    }
}

#[test]
fn a_prediction_does_not_depend_on_the_lengths_beside_it() {
    for fusion in ["mt", "mult"] {
        let (dataset, model) = model(fusion, json!({"method": "none"}), "code_transformer");
        let predict = |index: &[usize]| -> Vec<Vec<f32>> {
            let presence = &dataset.train.present;
            let batch = Batch::new(&dataset.train, &dataset.modalities, presence, index, &Device::Cpu).unwrap();
            let (_, output) = model.forward(&batch, Mode::Eval).unwrap();
            output.logits.to_vec2().unwrap()
        };
        let together = predict(&[0, 1, 2, 3, 4, 5]);
        for (i, together) in together.iter().enumerate() {
            let alone = &predict(&[i])[0];
            let same = alone.iter().zip(together).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(same, "{fusion} {i}: {alone:?} {together:?}");
        }
    }
}

#[test]
fn ebr_transforms_tokens_as_vectors_and_a_latent_is_their_mean() -> TensorResult<()> {
    let (dataset, model) = model("mt", json!({"method": "ebr"}), "code_bag");
    let batch = batch(&dataset, &dataset.train.present);
    let encodings = model.encode(&batch, Mode::Eval)?;
    let sequence = &encodings.tokens()?[LABS];
    let latent = encodings.latents[LABS].as_ref().unwrap();
    let x = batch.inputs[LABS].x.as_ref().unwrap();
    let encoded = model.encoders[LABS].encode(x, Mode::Eval)?.tokens.unwrap();
    let places = encoded.values.dim(1)?;
    assert_eq!(latent.rows, batch.inputs[LABS].rows);
    for (own, &row) in latent.rows.iter().enumerate() {
        let count = counts(sequence)[row];
        let tokens = encoded.values.get(own)?.narrow(0, 0, count)?;
        let expected = model.reallocation.transform(LABS, &tokens, Mode::Eval)?;
        assert!(near(
            &sequence.values.get(row)?.narrow(0, 0, count)?,
            &expected.encoding
        ));
        assert!(near(&latent.g.get(own)?, &expected.latent.unwrap().mean(0)?));
        if count < places {
            let rest = sequence.values.get(row)?.narrow(0, count, places - count)?;
            assert!(values(&rest).iter().all(|x| *x == 0.0));
        }
    }
    // A modality of one token keeps the latent of its vector.
    let x = batch.inputs[0].x.as_ref().unwrap();
    let vector = model.encoders[0].forward(x, Mode::Eval)?;
    let expected = model.reallocation.transform(0, &vector, Mode::Eval)?.latent.unwrap();
    assert!(near(&encodings.latents[0].as_ref().unwrap().g, &expected));
    Ok(())
}

#[test]
fn what_only_silences_does_not_even_tell_its_length() {
    let only = json!({"method": "only", "modality": "diagnoses"});
    let (dataset, model) = model("mt", only, "code_bag");
    let encodings = model
        .encode(&batch(&dataset, &dataset.train.present), Mode::Eval)
        .unwrap();
    let tokens = encodings.tokens().unwrap();
    assert_eq!(tokens[LABS].values.dim(1).unwrap(), 1);
    assert!(values(&tokens[LABS].values).iter().all(|x| *x == 0.0));
    assert!(counts(&tokens[DIAGNOSES]).contains(&2));
}

#[test]
fn tokens_weigh_more_as_their_modality_does() {
    let dataset = records();
    let weighed = |beta: f64| {
        let mut config = config("mt", json!({"method": "none"}), "code_bag");
        config.protocol = Protocol::Upweighted {
            modality: "labs".to_owned(),
            beta,
            mode: UpweightMode::Feature,
        };
        let model = build(&config, &dataset);
        let batch = batch(&dataset, &dataset.train.present);
        model.encode(&batch, Mode::Eval).unwrap().tokens.unwrap()[LABS]
            .values
            .clone()
    };
    assert!(near(&weighed(1.0), &(weighed(0.0) * 2.0).unwrap()));
}

/// A present modality keeps its tokens; a missing one gets what stands in for it.
#[test]
fn a_stand_in_is_one_token() {
    let (dataset, mut model) = model("mt", json!({"method": "none"}), "code_bag");
    let zeros = MethodConfig::named("zeros");
    model.substitution = crate::substitution::build(&zeros, 4).unwrap();
    let batch = batch(&dataset, &dataset.train.present);
    let before = model.encode(&batch, Mode::Eval).unwrap();
    let (after, _) = model.forward(&batch, Mode::Eval).unwrap();
    assert!(after.present.is_complete() && !batch.present.is_complete());
    let one = |before: &[usize]| before.iter().map(|&n| n.max(1)).collect::<Vec<_>>();
    for (before, after) in before.tokens().unwrap().iter().zip(after.tokens().unwrap()) {
        assert_eq!(counts(after), one(&counts(before)));
        assert_eq!(values(&after.values), values(&before.values));
    }

    let z = Tensor::new(&[[1.0_f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
    let mut encodings = Encodings {
        z: vec![z],
        tokens: Some(vec![Sequence {
            values: Tensor::new(&[[[5.0_f32, 6.0], [7.0, 8.0]], [[0.0; 2]; 2]], &Device::Cpu).unwrap(),
            mask: vec![true, true, false, false],
        }]),
        inputs: None,
        latents: vec![None],
        present: Presence::all(2, 1),
    };
    let had = Presence::from_fn(2, 1, |i, _| i == 0);
    encodings.stand_in_tokens(&had).unwrap();
    let sequence = &encodings.tokens().unwrap()[0];
    assert_eq!(values(&sequence.values), [5.0, 6.0, 7.0, 8.0, 3.0, 4.0, 0.0, 0.0]);
    assert_eq!(sequence.mask, [true, true, true, false]);
}
