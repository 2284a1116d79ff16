//! A model of PyTorch's in which the sound collapses, against numbers by scikit-learn, scipy and numpy
//! (`scripts/fixtures_diagnose.py`).

use std::path::{Path, PathBuf};

use mmcollapse_arrays::Arrays;
use mmcollapse_diagnose::rule::{Destination, Place, Source, Verdict};
use mmcollapse_diagnose::{Diagnosis, Input, SCHEMA, Settings, diagnose, html, terminal};
use mmcollapse_probes::{LinearProbe, Matrix};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn expected() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture("expected.json")).unwrap()).unwrap()
}

fn collapsed() -> Diagnosis {
    let input = Input::read(&Arrays::open(&fixture("collapsed.npz")).unwrap()).unwrap();
    diagnose(&input, &Settings::default()).unwrap()
}

#[test]
fn the_sound_is_neglected_by_the_fusion_and_the_image_kept() {
    let found = collapsed();
    let verdicts: Vec<_> = found
        .modalities
        .iter()
        .map(|of| (of.name.as_str(), of.verdict, of.lost_at))
        .collect();
    assert_eq!(
        verdicts,
        [
            ("image", Verdict::Kept, None),
            ("sound", Verdict::Neglected, Some(Place::Fusion))
        ]
    );
    assert!(
        found.modalities[1]
            .advice
            .iter()
            .any(|line| line.contains("docs/findings.md"))
    );
    assert!(found.modalities[0].advice.is_empty());
    assert!(found.notes.is_empty(), "{:?}", found.notes);
}

#[test]
fn numbers_are_those_of_other_programs() {
    let (found, expected) = (collapsed(), expected());
    let close = |what: &str, got: f64, expected: &Value, within: f64| {
        let expected = expected.as_f64().unwrap();
        assert!((got - expected).abs() <= within, "{what}: {got}, expected {expected}");
    };
    for (place, name) in ["image", "sound"].into_iter().enumerate() {
        let of = &found.modalities[place];
        close("CKA", of.cka.unwrap(), &expected["cka"][name], 1e-9);
        close("Shapley value", of.shapley.value, &expected["shapley"][name], 1e-9);
        close(
            "weights",
            found.neurons.as_ref().unwrap().shares[place],
            &expected["weights"][place],
            1e-9,
        );
        // Other halves and penalties: the same up to what they move.
        let pair = &expected["pairs"][place];
        close("information", of.information[0].nats.value, &pair["information"], 0.03);
        let test = of
            .tests
            .iter()
            .find(|t| t.source == Source::Encoder && t.destination == Destination::Fused);
        close("gain", test.unwrap().gain.value, &pair["gain"], 0.02);
    }
    close(
        "cosine",
        found.modalities[1].cosine.unwrap(),
        &expected["cosine_sound"],
        1e-9,
    );
    close(
        "effective rank",
        found.fused.unwrap().effective_rank.unwrap(),
        &expected["effective_rank"],
        1e-6,
    );
}

#[test]
fn penalised_probes_are_those_of_scikit_learn() {
    let arrays = Arrays::open(&fixture("collapsed.npz")).unwrap();
    let labels = arrays.read("labels").unwrap().values;
    for probe in expected()["probes"].as_array().unwrap() {
        let array = arrays.read(probe["name"].as_str().unwrap()).unwrap();
        let width = array.info.shape[1];
        // `split` is 0 for even rows.
        let side = |odd: usize| {
            let rows = (odd..array.info.rows()).step_by(2);
            let of = rows
                .clone()
                .flat_map(|row| (row * width..(row + 1) * width).map(|at| array.values.get(at).unwrap()));
            let values: Vec<f64> = of.collect();
            let labels: Vec<u32> = rows.map(|row| labels.get(row).unwrap() as u32).collect();
            (Matrix::new(&values, labels.len(), width).unwrap(), labels)
        };
        let ((fit, fit_labels), (asked, labels)) = (side(0), side(1));
        let penalty = probe["penalty"].as_f64().unwrap();
        let fitted = LinearProbe::fit_penalised(&fit, &fit_labels, 4, penalty).unwrap();
        let logits = fitted.logits(&asked).unwrap();
        let loss = |(z, label): (&[f64], &u32)| libm::log(z.iter().map(|z| libm::exp(*z)).sum()) - z[*label as usize];
        let mean = logits.chunks_exact(4).zip(&labels).map(loss).sum::<f64>() / labels.len() as f64;
        let expected = probe["loss"].as_f64().unwrap();
        assert!((mean - expected).abs() < 2e-4, "{probe}: {mean}");
    }
    let one = Matrix::new(&[0.0, 1.0], 2, 1).unwrap();
    assert!(LinearProbe::fit_penalised(&one, &[0, 1], 2, 0.0).is_err());
}

#[test]
fn the_same_seed_gives_the_same_answer() {
    assert_eq!(terminal::text(&collapsed()), terminal::text(&collapsed()));
}

#[test]
fn json_has_its_version_and_every_modality() {
    let written = serde_json::to_value(collapsed()).unwrap();
    assert_eq!(written["schema"], SCHEMA);
    assert_eq!(written["modalities"][1]["verdict"], "neglected");
    assert_eq!(written["modalities"][1]["lost_at"], "fusion");
    assert_eq!(written["modalities"][1]["tests"].as_array().unwrap().len(), 4);
}

#[test]
fn the_page_needs_no_script_and_no_network() {
    let mut found = collapsed();
    found.notes.push("a < b".into());
    let page = html::page(&found, "Diagnosis of <collapsed>").unwrap();
    assert_eq!(page.matches("<svg").count(), 4);
    assert!(page.contains("&lt;collapsed&gt;") && page.contains("a &lt; b"));
    for foreign in ["<script", "http-equiv", "src=", "href=", "@import"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}
