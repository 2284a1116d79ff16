//! What the encoders' vectors are, bit by bit, and how their tokens belong to them.

use mmcollapse_data::{Kind, ModalitySpec};
use mmcollapse_nn::{Device, Params, random::Stream};
use sha2::{Digest, Sha256};

use super::*;

/// A modality that the encoder reads, and three inputs of it; codes and series are of different lengths.
fn inputs(name: &str) -> (ModalitySpec, Tensor) {
    let mut stream = Stream::new(4, name);
    let tensor = |values: Vec<f32>, shape: &[usize]| Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
    match name {
        "code_bag" | "code_transformer" => (
            ModalitySpec::new("codes", &[6]).of(Kind::Codes { vocabulary: 9 }),
            tensor(
                vec![3., 1., 0., 0., 0., 0., 1., 2., 0., 3., 5., 0., 0., 0., 0., 0., 0., 0.],
                &[3, 6],
            ),
        ),
        "gru" => {
            let lengths = [2, 5, 0];
            let values = lengths.iter().flat_map(|&length| (0..5).map(move |step| step < length));
            let values = values.flat_map(|there| if there { [1.0, stream.normal() as f32] } else { [0.0; 2] });
            let values = values.collect();
            (
                ModalitySpec::new("labs", &[5, 2]).of(Kind::Series),
                tensor(values, &[3, 5, 2]),
            )
        }
        "spectrogram_cnn" => (
            ModalitySpec::new("sound", &[1, 112, 112]),
            tensor(stream.normal_vec(3 * 112 * 112), &[3, 1, 112, 112]),
        ),
        _ => unreachable!("{name}"),
    }
}

/// Of the vector in training and in evaluation, and of every parameter's gradient.
fn digest(name: &str) -> String {
    let (modality, x) = inputs(name);
    let params = Params::new(1, &Device::Cpu);
    let encoder = build(name, &Options::new(), &modality, &params.root().pp("encoder")).unwrap();
    let mut digest = Sha256::new();
    let mut add = |t: &Tensor| {
        for value in t.flatten_all().unwrap().to_vec1::<f32>().unwrap() {
            digest.update(value.to_bits().to_le_bytes());
        }
    };
    let trained = encoder.forward(&x, Mode::Train { seed: 2, step: 7 }).unwrap();
    add(&trained);
    add(&encoder.forward(&x, Mode::Eval).unwrap());
    let gradients = trained.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    for (_, var) in params.vars() {
        add(gradients.get(var.as_tensor()).unwrap());
    }
    format!("{:x}", digest.finalize())[..16].to_owned()
}

/// A new number here moves the results of every fusion that reads vectors.
#[test]
#[cfg(target_arch = "x86_64")]
fn the_vectors_of_encoders_with_tokens_do_not_move() {
    if !(std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")) {
        return; // other bits
    }
    for (name, expected) in [
        ("code_bag", "d58be901729a8b00"),
        ("code_transformer", "526fc7d0a19b7ab7"),
        ("gru", "b360e4634efcabc7"),
        ("spectrogram_cnn", "47b1f1c5ec8a3553"),
    ] {
        assert_eq!(digest(name), expected, "{name}");
    }
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

#[test]
fn one_pass_gives_the_vector_of_old_and_tokens_that_belong_to_it() {
    let lengths = |name: &str| match name {
        "code_bag" => [2, 4, 1],
        "code_transformer" => [3, 5, 1], // the first token before the codes
        "gru" => [2, 5, 1],
        _ => [49; 3],
    };
    for name in ["code_bag", "code_transformer", "gru", "spectrogram_cnn"] {
        let (modality, x) = inputs(name);
        let params = Params::new(1, &Device::Cpu);
        let encoder = build(name, &Options::new(), &modality, &params.root()).unwrap();
        for mode in [Mode::Train { seed: 2, step: 7 }, Mode::Eval] {
            let encoded = encoder.encode(&x, mode).unwrap();
            // Running means of a batch norm move in a training pass, but play no part in it.
            let alone = encoder.forward(&x, mode).unwrap();
            assert_eq!(values(&encoded.vector), values(&alone), "{name}");
            let tokens = encoded.tokens.unwrap();
            let (_, places, width) = tokens.values.dims3().unwrap();
            assert_eq!(width, encoder.width());
            let counts = tokens.mask.chunks(places);
            let counts: Vec<usize> = counts.map(|row| row.iter().filter(|there| **there).count()).collect();
            assert_eq!(counts, lengths(name), "{name}");
            if mode.is_train() {
                continue;
            }
            // Without dropout, the vector is the first token, the last, their mean, or what is mapped of their mean.
            for (row, last) in tokens.last().unwrap().into_iter().enumerate() {
                let token =
                    |place: usize| values(&tokens.values.narrow(0, row, 1).unwrap().narrow(1, place, 1).unwrap());
                let vector = &values(&encoded.vector)[row * width..][..width];
                let belongs = match name {
                    "code_transformer" => near(vector, &token(0)),
                    "gru" => near(vector, &token(last)),
                    "spectrogram_cnn" => near(vector, &values(&tokens.mean().unwrap())[row * width..][..width]),
                    _ => last > 0 || near(vector, &token(0)),
                };
                assert!(belongs, "{name} {row}");
            }
        }
    }
}

#[test]
fn a_token_is_that_of_its_own_row() {
    for name in ["code_bag", "code_transformer", "gru"] {
        let (modality, x) = inputs(name);
        let params = Params::new(1, &Device::Cpu);
        let encoder = build(name, &Options::new(), &modality, &params.root()).unwrap();
        let tokens = |x: &Tensor| encoder.encode(x, Mode::Eval).unwrap().tokens.unwrap();
        let together = values(&tokens(&x).taken().unwrap());
        let each = (0..3).flat_map(|row| values(&tokens(&x.narrow(0, row, 1).unwrap()).taken().unwrap()));
        assert!(near(&together, &each.collect::<Vec<_>>()), "{name}");
    }
}
