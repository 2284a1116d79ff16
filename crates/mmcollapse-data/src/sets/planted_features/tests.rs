use super::*;

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum()
}

/// Correlation of two rows of numbers.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let product =
        |x: &[f64], mx: f64, y: &[f64], my: f64| x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>();
    product(a, ma, b, mb) / (product(a, ma, a, ma) * product(b, mb, b, mb)).sqrt()
}

fn planted(options: &str) -> (Dataset, Truth, PlantedFeatures) {
    let planted = parse(options).unwrap();
    let (dataset, truth) = planted.plant(NAME, 3);
    (dataset, truth, planted)
}

/// Along its direction a sample has the feature's value, but for the spread.
#[test]
fn features_lie_along_their_directions() {
    let (dataset, truth, planted) = planted("modalities=3,wider=4,spread=0.05");
    assert_eq!(truth.features.len(), 3 * planted.features(0));
    for (place, feature) in truth.features.iter().enumerate() {
        assert_eq!(feature.direction.len(), 16 + 4 * feature.modality);
        for other in truth.features.iter().filter(|other| other.modality == feature.modality) {
            let expected = f64::from(u8::from(other == feature));
            assert!((dot(&feature.direction, &other.direction) - expected).abs() < 1e-6);
        }
        for sample in 0..20 {
            let along = dot(&dataset.train.row(feature.modality, sample), &feature.direction);
            assert!((along - f64::from(truth.values[0][sample][place])).abs() < 0.25);
        }
    }
}

/// A conjugate feature says nothing of the label, its product with the other one does; noise says nothing.
#[test]
fn conjugates_predict_only_together() {
    let (dataset, truth, _) = planted("predictive=1,conjugates=1,pair_weight=2,train=4000");
    let signs: Vec<f64> = dataset
        .train
        .labels
        .iter()
        .map(|label| 2.0 * f64::from(*label) - 1.0)
        .collect();
    let of = |place: usize| -> Vec<f64> {
        let values = truth.values[0].iter().map(|row| f64::from(row[place].signum()));
        values.collect()
    };
    let mut pairs = 0;
    for (place, feature) in truth.features.iter().enumerate() {
        let alone = correlation(&of(place), &signs);
        match feature.role {
            Role::Predictive => assert!(alone > 0.15, "{place}: {alone}"),
            Role::Noise => assert!(alone.abs() < 0.06, "{place}: {alone}"),
            Role::Conjugate(other) => {
                assert_eq!(truth.features[other].role, Role::Conjugate(place));
                assert_ne!(truth.features[other].modality, feature.modality);
                assert!(alone.abs() < 0.06, "{place}: {alone}");
                let both: Vec<f64> = of(place).iter().zip(of(other)).map(|(a, b)| a * b).collect();
                assert!(correlation(&both, &signs) > 0.3, "{place}");
                pairs += 1;
            }
        }
    }
    assert_eq!(pairs, 4);
}

#[test]
fn copies_are_of_the_other_modality_and_shared_noise_is_correlated() {
    let (_, truth, planted) = planted("pairing=copy,noise_correlation=0.6,train=4000");
    let own = planted.features(0);
    let of = |place: usize| -> Vec<f64> { truth.values[0].iter().map(|row| f64::from(row[place])).collect() };
    // The first modality's conjugate feature, and its copy in the second.
    assert_eq!(
        of(planted.predictive),
        of(own + planted.predictive + planted.conjugates)
    );
    let copied: Vec<Option<usize>> = truth.features.iter().map(|feature| feature.copy_of).collect();
    for (place, original) in copied.iter().enumerate() {
        if let Some(original) = original {
            assert_eq!((of(place), copied[*original]), (of(*original), None));
        }
    }
    assert_eq!(copied.iter().flatten().count(), 2 * planted.conjugates);
    let noise = own - planted.noise;
    assert!((correlation(&of(noise), &of(own + noise)) - 0.6).abs() < 0.05);
    assert!(correlation(&of(noise), &of(own + noise + 1)).abs() < 0.06);
}

/// Four terms of each of two modalities decide among eight classes, of which each modality knows its own four; of two classes
/// all terms have one sum.
#[test]
fn each_class_has_a_sum_of_its_own() {
    let (dataset, truth, _) = planted("classes=8,predictive=4,conjugates=0,noise=1");
    assert_eq!((dataset.classes, dataset.class_names.len()), (8, 8));
    let counts = (0..8).map(|class| dataset.train.labels.iter().filter(|label| **label == class).count());
    assert!(
        counts.clone().all(|count| count > 30),
        "{:?}",
        counts.collect::<Vec<_>>()
    );
    let predictive: Vec<usize> = (0..truth.features.len())
        .filter(|place| truth.features[*place].role == Role::Predictive)
        .collect();
    for (values, label) in truth.values[0].iter().zip(&dataset.train.labels) {
        let most = predictive.iter().map(|place| values[*place]).fold(f32::MIN, f32::max);
        assert_eq!(values[predictive[*label as usize]], most);
    }
    assert!(
        predictive
            .iter()
            .enumerate()
            .all(|(class, place)| truth.features[*place].modality == class / 4)
    );

    // Each modality has a feature of every class: its own four first, then copies of the other's.
    let (dataset, truth, redundant) = planted("classes=8,predictive=0,conjugates=4,pairing=copy,noise=1");
    let second = redundant.features(0);
    for (values, label) in truth.values[0].iter().zip(&dataset.train.labels) {
        let of = |class: usize| values[if class < 4 { class } else { second + class - 4 }];
        let most = (0..8).map(of).fold(f32::MIN, f32::max);
        assert_eq!(of(*label as usize), most);
    }

    let (dataset, truth, _) = planted("predictive=1,conjugates=0");
    for (values, label) in truth.values[0].iter().zip(&dataset.train.labels) {
        assert_eq!(*label == 1, values[0] + values[5] > 0.0);
    }
}

#[test]
fn a_name_is_its_options() {
    let set = crate::find("planted-features:modalities=4,noise=8").unwrap();
    let data = set.load(&LoadOptions::default()).unwrap();
    assert_eq!((data.modalities.len(), data.name.as_str()), (4, set.name()));
    let truth = truth(set.name(), 0).unwrap().unwrap();
    assert_eq!(truth.features.iter().filter(|f| f.role == Role::Noise).count(), 32);
    assert!(super::truth("planted", 0).unwrap().is_none());
    let other = set
        .load(&LoadOptions {
            seed: 1,
            ..LoadOptions::default()
        })
        .unwrap();
    assert_ne!(data.digest, other.digest);
    for (name, expected) in [
        ("planted-features:noize=3", "unknown field `noize`"),
        ("planted-features:noise", "`noise` is no `option=value`"),
        ("planted-features:noise=3,noise=4", "`noise` is given twice"),
        ("planted-features:modalities=9", "`modalities` must be 2 to 8, got 9"),
        (
            "planted-features:classes=1",
            "`classes` must be 2 to 6, the number of terms that decide, got 1",
        ),
        (
            "planted-features:classes=7",
            "`classes` must be 2 to 6, the number of terms that decide, got 7",
        ),
        (
            "planted-features:noise=80",
            "the 84 features of m1 need as many directions, and it has 16 numbers",
        ),
        (
            "planted-features:noise=many",
            "expected a whole number from 0 on, got the text \"many\"",
        ),
    ] {
        let error = crate::find(name).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn unequal_modalities_have_more_noise_each() {
    let (dataset, truth, planted) = planted("modalities=3,noise=1,noisier=2,aligned=true,spread=0");
    let of = |modality: usize| {
        truth
            .features
            .iter()
            .filter(move |feature| feature.modality == modality)
    };
    let noise = |modality: usize| of(modality).filter(|feature| feature.role == Role::Noise).count();
    assert_eq!([noise(0), noise(1), noise(2)], [1, 3, 5]);
    // Conjugates are conjugates of each other, whatever lies between.
    for (place, feature) in truth.features.iter().enumerate() {
        if let Role::Conjugate(other) = feature.role {
            assert_eq!(truth.features[other].role, Role::Conjugate(place));
            assert_ne!(truth.features[other].modality, feature.modality);
        }
    }
    // Along the axes a sample is its features' values, in their order, and nothing else.
    for modality in 0..3 {
        let row = dataset.train.row(modality, 4);
        let mut expected = truth.values[0][4][planted.places(modality)].to_vec();
        expected.resize(row.len(), 0.0);
        assert_eq!(row, expected);
    }
}
