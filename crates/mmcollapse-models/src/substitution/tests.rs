//! What each stand-in makes of hand-made training encodings.

use mmcollapse_data::Presence;
use mmcollapse_nn::{Device, Params, Tensor};

use super::*;
use crate::reallocation::ReallocationContext;

/// Two modalities of widths 2 and 1; the third sample lacks the second. Class 0 lies low, class 1 high.
fn training() -> TrainingEncodings {
    let a: Vec<[f32; 2]> = vec![[0.0, 0.1], [5.0, 5.1], [0.2, 0.0], [5.2, 4.9]];
    let b: Vec<[f32; 1]> = vec![[-1.0], [1.0], [0.0], [3.0]];
    TrainingEncodings {
        z: vec![
            Tensor::from_vec(a.concat(), (4, 2), &Device::Cpu).unwrap(),
            Tensor::from_vec(b.concat(), (4, 1), &Device::Cpu).unwrap(),
        ],
        present: Presence::from_fn(4, 2, |i, m| (i, m) != (2, 1)),
        labels: vec![0, 1, 0, 1],
        classes: 2,
        seed: 3,
    }
}

/// What stands in for the second modality of samples with these encodings of the first; the last sample has nothing.
fn filled(method: &str, options: serde_json::Value, first: &[[f32; 2]]) -> (Vec<f32>, Presence) {
    let config = MethodConfig {
        method: method.to_owned(),
        options: options.as_object().cloned().unwrap_or_default(),
    };
    let mut substitution = build(&config, 2).unwrap();
    assert_eq!(substitution.wants_encodings(), method != "zeros");
    substitution.learn(&training()).unwrap();
    let n = first.len() + 1;
    let rows = [first, &[[0.0; 2]]].concat();
    let mut encodings = Encodings {
        z: vec![
            Tensor::from_vec(rows.concat(), (n, 2), &Device::Cpu).unwrap(),
            Tensor::zeros((n, 1), mmcollapse_nn::DType::F32, &Device::Cpu).unwrap(),
        ],
        tokens: None,
        inputs: None,
        latents: vec![None, None],
        present: Presence::from_fn(n, 2, |i, m| m == 0 && i + 1 < n),
    };
    let params = Params::new(0, &Device::Cpu);
    let context = ReallocationContext {
        modalities: &["a".to_owned(), "b".to_owned()],
        widths: &[2, 1],
        scope: params.root(),
    };
    let none = crate::reallocation::build(&MethodConfig::named("none"), &context).unwrap();
    substitution.stand_in(&mut encodings, none.as_ref()).unwrap();
    let made = encodings.z[1].flatten_all().unwrap().to_vec1().unwrap();
    assert!(
        !encodings.present.get(n - 1, 0) && !encodings.present.get(n - 1, 1),
        "of nothing, nothing"
    );
    (made, encodings.present)
}

#[test]
fn each_stand_in_is_what_it_says() {
    let low_and_high = [[0.1, 0.1], [5.1, 5.0]];
    let none = serde_json::Value::Null;
    let (zeros, present) = filled("zeros", none.clone(), &low_and_high);
    assert_eq!((zeros, present.rows(1)), (vec![0.0; 3], vec![0, 1]));
    // The mean of -1, 1 and 3: the third training sample has none.
    assert_eq!(filled("mean", none.clone(), &low_and_high).0, [1.0, 1.0, 0.0]);
    // Class 0 has -1, class 1 has 2 on average; so far out there is no doubt of the class.
    let far = [[-20.0, -20.0], [25.0, 25.0]];
    let by_class = filled("mean", serde_json::json!({"by_class": true}), &far).0;
    assert!(
        (by_class[0] + 1.0).abs() < 0.01 && (by_class[1] - 2.0).abs() < 0.01,
        "{by_class:?}"
    );
    // Nearest to the low one is the first (the third lacks the modality), to the high one the second or fourth.
    let near = [[0.2, 0.0], [5.2, 4.9], [5.0, 5.1]];
    assert_eq!(filled("nearest", none.clone(), &near).0, [-1.0, 3.0, 1.0, 0.0]);
    let two = filled("nearest", serde_json::json!({"neighbours": 2}), &near).0;
    assert_eq!(two[1..3], [2.0, 2.0]);
}

#[test]
fn noise_is_drawn_by_sample_not_by_place() {
    let none = serde_json::Value::Null;
    let samples: Vec<[f32; 2]> = (0..400).map(|i| [i as f32, 0.5]).collect();
    let drawn = filled("random", none.clone(), &samples).0;
    let reversed: Vec<[f32; 2]> = samples.iter().rev().copied().collect();
    let again = filled("random", none, &reversed).0;
    assert_eq!(drawn[..400].iter().rev().copied().collect::<Vec<_>>(), again[..400]);
    // Of -1, 1, 3: mean 1, standard deviation 1.63; four standard errors of 400 draws.
    let mean = drawn[..400].iter().sum::<f32>() / 400.0;
    let sd = (drawn[..400].iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 400.0).sqrt();
    assert!((mean - 1.0).abs() < 0.33 && (sd - 1.633).abs() < 0.24, "{mean} {sd}");
}
