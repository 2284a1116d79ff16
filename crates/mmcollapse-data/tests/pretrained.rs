//! Pretrained text encoders against a BERT in numpy; the small network and its values are made by
//! `scripts/fixtures_bert.py`, and stand here in a cache of the hub's layout.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use mmcollapse_data::ehr::{
    Admission, Cohort, Demographics, NoteEmbeddings, Outcome, PretrainedText, Split, Task, TextEncoder, dataset,
};
use mmcollapse_data::hub::Hub;
use mmcollapse_data::manifest::BuiltIn;
use mmcollapse_files::{sha256, write_atomic};
use mmcollapse_nn::{Device, Tensor, safetensors};
use serde::Deserialize;
use tempfile::TempDir;

const TOLERANCE: f32 = 1e-4;

const MANIFEST: &str = "
name: small
title: A small one
licence: none
citation: none
hub: {repo: owner/small, revision: 0123456789abcdef0123456789abcdef01234567}
config: config.json
tokens: {vocabulary: vocab.txt, lowercase: true}
weights: model.safetensors
pooling: mean
";

#[derive(Deserialize)]
struct Expected {
    note: String,
    tokens: Vec<u32>,
    cased: Vec<u32>,
    mean: Vec<f32>,
    first: Vec<f32>,
}

fn expected() -> Vec<Expected> {
    serde_json::from_str(include_str!("fixtures/bert/expected.json")).unwrap()
}

/// The encoder of the manifest above, after `changes` to it.
fn encoder(changes: &[(&str, &str)]) -> TextEncoder {
    let text = changes.iter().fold(MANIFEST.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    TextEncoder::parse("small", &text).unwrap()
}

/// An offline hub whose cache, in the folder returned, holds the small encoder.
fn hub() -> (Hub, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().to_str().unwrap().to_owned();
    let hub = Hub::from_variables(|name| match name {
        "HF_HOME" => Some(path.clone()),
        "HF_HUB_OFFLINE" => Some("1".to_owned()),
        _ => None,
    });
    fill(&snapshot(&home));
    (hub, home)
}

/// Copies the small encoder's files into `folder`.
fn fill(folder: &Path) {
    let files = Path::new("tests/fixtures/bert");
    for file in ["config.json", "vocab.txt", "model.safetensors"] {
        write_atomic(&folder.join(file), &fs::read(files.join(file)).unwrap()).unwrap();
    }
}

fn snapshot(home: &TempDir) -> PathBuf {
    home.path()
        .join("hub/models--owner--small/snapshots/0123456789abcdef0123456789abcdef01234567")
}

fn assert_near(got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    let worst = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0., f32::max);
    assert!(worst < TOLERANCE, "{worst}");
}

#[test]
fn tokens_and_vectors_are_those_of_numpy() {
    let (hub, _home) = hub();
    let mean = PretrainedText::load(&encoder(&[]), &hub).unwrap();
    let first = PretrainedText::load(&encoder(&[("pooling: mean", "pooling: first")]), &hub).unwrap();
    let cased = PretrainedText::load(&encoder(&[("lowercase: true", "lowercase: false")]), &hub).unwrap();
    assert_eq!(mean.width(), 32);
    let expected = expected();
    for Expected {
        note,
        tokens,
        cased: with_case,
        mean: of_all,
        first: of_first,
    } in &expected
    {
        assert_eq!(mean.tokens(note).unwrap(), *tokens, "{note}");
        assert_eq!(cased.tokens(note).unwrap(), *with_case, "{note}");
        assert_near(&mean.embed(note).unwrap(), of_all);
        assert_near(&first.embed(note).unwrap(), of_first);
    }
    // The last one is cut at the network's longest text; an empty one still has its two marks.
    assert_eq!(expected[2].tokens.len(), 24);
    assert_eq!(mean.embed("").unwrap().len(), 32);
}

#[test]
fn a_tokenizers_file_and_names_of_tensorflow_are_read_alike() {
    let (hub, home) = hub();
    let note = &expected()[1].note;
    let weights = snapshot(&home).join("model.safetensors");
    let (tensors, metadata) = safetensors::load_foreign(&weights, &Device::Cpu).unwrap();
    let renamed = tensors.into_iter().map(|(name, tensor)| {
        let name = name.replace("bert.", "").replace("LayerNorm.weight", "LayerNorm.gamma");
        (name.replace("LayerNorm.bias", "LayerNorm.beta"), tensor)
    });
    let plain = PretrainedText::load(&encoder(&[]), &hub).unwrap();
    safetensors::save(&weights, &renamed.collect(), &metadata).unwrap();

    // As `transformers` writes it for this vocabulary, less what has no effect on ids.
    let vocabulary = fs::read_to_string(snapshot(&home).join("vocab.txt")).unwrap();
    let vocabulary: BTreeMap<&str, usize> = vocabulary.lines().zip(0..).collect();
    let file = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "decoder": null,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": true
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary
        }
    });
    write_atomic(&snapshot(&home).join("tokenizer.json"), file.to_string().as_bytes()).unwrap();
    let of_file = encoder(&[("vocabulary: vocab.txt, lowercase: true", "tokenizer: tokenizer.json")]);
    let other = PretrainedText::load(&of_file, &hub).unwrap();
    assert_eq!(other.embed(note).unwrap(), plain.embed(note).unwrap());
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let (hub, home) = hub();
    let bert_tiny = TextEncoder::find("bert-tiny").unwrap();
    let error = PretrainedText::load(&bert_tiny, &hub).unwrap_err();
    assert!(
        error.to_string().contains("google/bert_uncased_L-2_H-128_A-2"),
        "{error}"
    );
    let help = error.help().unwrap().to_string();
    assert!(help.contains("data fetch") && help.contains("HF_HOME"), "{help}");

    let replaced = |file: &str, from: &str, to: &str| {
        let path = snapshot(&home).join(file);
        let good = fs::read(&path).unwrap();
        let text = String::from_utf8(good.clone()).unwrap();
        assert!(text.contains(from), "{from}");
        write_atomic(&path, text.replace(from, to).as_bytes()).unwrap();
        let error = PretrainedText::load(&encoder(&[]), &hub).unwrap_err().to_string();
        write_atomic(&path, &good).unwrap();
        assert!(error.contains(file) || error.contains("model.safetensors"), "{error}");
        error
    };
    assert!(replaced("config.json", "gelu", "relu").contains("`relu`"));
    assert!(replaced("config.json", "\"vocab_size\": 60", "\"vocab_size\": 61").contains("word_embeddings"));
    assert!(replaced("config.json", "_layers\": 2", "_layers\": 3").contains("encoder.layer.2"));
    assert!(replaced("config.json", "_heads\": 4", "_heads\": 5").contains("5 heads"));
    assert!(replaced("vocab.txt", "[SEP]", "[END]").contains("lacks [SEP]"));
    let weights = snapshot(&home).join("model.safetensors");
    let whole = fs::read(&weights).unwrap();
    write_atomic(&weights, &whole[..whole.len() - 1]).unwrap();
    let error = PretrainedText::load(&encoder(&[]), &hub).unwrap_err().to_string();
    assert!(error.contains("not a whole safetensors file"), "{error}");
}

/// The small encoder in the place of another one of the same kind of files.
#[test]
#[cfg(unix)]
fn weights_are_held_against_the_hubs_digest() {
    use mmcollapse_data::status::{Verdict, verify_in};
    let (hub, _home) = hub();
    let bert_tiny = TextEncoder::find("bert-tiny").unwrap();
    let repository = hub.folder(&bert_tiny.remotes()[0]);
    let snapshot = repository.join("snapshots").join(&bert_tiny.hub.revision);
    fill(&snapshot);
    let verdict = || match verify_in("bert-tiny", &hub) {
        Ok(verified) => Ok((verified.len(), verified[0].verdict)),
        Err(error) => Err(error.to_string()),
    };
    assert_eq!(verdict().unwrap(), (1, Verdict::Unannounced));

    let weights = snapshot.join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    let link_to = |digest: &str| {
        write_atomic(&repository.join("blobs").join(digest), &bytes).unwrap();
        fs::remove_file(&weights).unwrap();
        std::os::unix::fs::symlink(Path::new("../../blobs").join(digest), &weights).unwrap();
    };
    link_to(&sha256(&bytes));
    assert_eq!(verdict().unwrap(), (1, Verdict::Expected));
    link_to(&"0".repeat(64));
    let error = verdict().unwrap_err();
    assert!(error.contains(&format!("expected {}", "0".repeat(64))), "{error}");
}

/// Six stays; the third has no note, the last alone is tested.
fn cohort() -> Cohort {
    let notes = expected();
    let admission = |i: u64| Admission {
        subject: i,
        id: 100 + i,
        minutes: 60,
        outcome: Outcome {
            mortality: Some(i.is_multiple_of(2)),
            readmission: None,
        },
        demographics: Some(Demographics {
            age: 40 + i as u32,
            gender: "F".to_owned(),
            ethnicity: "X".to_owned(),
        }),
        diagnoses: Vec::new(),
        procedures: Vec::new(),
        medications: Vec::new(),
        labs: Vec::new(),
        notes: (i != 2).then(|| notes[i as usize % 3].note.clone()),
    };
    Cohort {
        source: "test".to_owned(),
        admissions: (0..6).map(admission).collect(),
        ..Cohort::default()
    }
}

#[test]
fn embedded_notes_take_the_place_of_fitted_ones() {
    let (hub, _home) = hub();
    let (cohort, notes) = (cohort(), expected());
    let embeddings = NoteEmbeddings::load(&cohort, &encoder(&[]), &hub, None).unwrap();
    assert_near(embeddings.get(101).unwrap(), &notes[1].mean);
    assert_eq!(embeddings.get(102), None);

    let split = Split {
        train: vec![0, 1, 2, 3],
        validation: vec![4],
        test: vec![5],
    };
    let of = |embedded| dataset("test", &cohort, Task::Mortality, &split, embedded).unwrap();
    let (fitted, embedded) = (of(None), of(Some(&embeddings)));
    assert_ne!(fitted.digest, embedded.digest);
    assert_eq!(fitted.train.inputs[0], embedded.train.inputs[0]);
    let modality = &embedded.modalities[1];
    assert_eq!(
        (modality.name.as_str(), modality.shape.as_slice()),
        ("notes", &[32][..])
    );
    assert_eq!(embedded.train.present.rows(1), [0, 1, 3]);
    // Of notes 0, 1, 0 of the training stays: mean (2 a + b) / 3, deviation |a - b| sqrt(2) / 3.
    for j in 0..32 {
        let sign = (notes[0].mean[j] - notes[1].mean[j]).signum();
        let near = |got: f32, expected: f32| assert!((got - expected).abs() < 1e-2, "{j}: {got} {expected}");
        near(embedded.train.row(1, 0)[j], sign * 0.5_f32.sqrt());
        near(embedded.train.row(1, 1)[j], -sign * 2_f32.sqrt());
        assert_eq!(embedded.train.row(1, 2)[j], 0.);
        near(embedded.validation.row(1, 0)[j], -sign * 2_f32.sqrt());
    }
}

#[test]
fn embeddings_are_kept_in_private_and_only_for_what_they_were_made_of() {
    let (hub, home) = hub();
    let kept = tempfile::tempdir().unwrap();
    let mut cohort = cohort();
    let load = |cohort: &Cohort, encoder: &TextEncoder| {
        NoteEmbeddings::load(cohort, encoder, &hub, Some(kept.path())).unwrap()
    };
    let first = load(&cohort, &encoder(&[]));
    let path = kept.path().join("ehr/test+small.safetensors");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let folder = fs::metadata(path.parent().unwrap()).unwrap();
        assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    }
    assert_eq!(fs::read(path.with_file_name(".gitignore")).unwrap(), b"*\n");
    assert_eq!(load(&cohort, &encoder(&[])), first);

    // What is kept is what is read: an altered file of the right key comes back as altered.
    let (mut tensors, metadata) = safetensors::load(&path, &Device::Cpu).unwrap();
    tensors.insert(
        "embeddings".to_owned(),
        Tensor::new(&[[7_f32]; 5], &Device::Cpu).unwrap(),
    );
    safetensors::save(&path, &tensors, &metadata).unwrap();
    assert_eq!(load(&cohort, &encoder(&[])).get(100), Some(&[7_f32][..]));
    // A fragment is made again.
    let whole = fs::read(&path).unwrap();
    write_atomic(&path, &whole[..whole.len() - 4]).unwrap();
    assert_eq!(load(&cohort, &encoder(&[])), first);

    // Another reading, another note, other weights: none is taken for the one that is kept.
    let pooled = load(&cohort, &encoder(&[("pooling: mean", "pooling: first")]));
    assert_near(pooled.get(100).unwrap(), &expected()[0].first);
    assert_eq!(load(&cohort, &encoder(&[])), first);
    cohort.admissions[0].notes = Some("no fever".to_owned());
    let changed = load(&cohort, &encoder(&[]));
    assert_ne!(changed.get(100), first.get(100));
    assert_eq!(changed.get(101), first.get(101));
    let weights = snapshot(&home).join("model.safetensors");
    let (mut tensors, metadata) = safetensors::load_foreign(&weights, &Device::Cpu).unwrap();
    let bias = tensors.get_mut("bert.encoder.layer.1.output.LayerNorm.bias").unwrap();
    *bias = (&*bias + 1.).unwrap();
    safetensors::save(&weights, &tensors, &metadata).unwrap();
    let shifted = load(&cohort, &encoder(&[]));
    assert_near(
        shifted.get(101).unwrap(),
        &first.get(101).unwrap().iter().map(|x| x + 1.).collect::<Vec<_>>(),
    );
}
