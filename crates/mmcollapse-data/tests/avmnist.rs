//! avMNIST: counts, pairs, splits, and what damage to the files leads to; from the excerpt that is built in, and from the hub's
//! files where they are.

mod real_data;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::OnceLock;
use std::time::Instant;

use mmcollapse_data::embedded::Excerpt;
use mmcollapse_data::hub::Hub;
use mmcollapse_data::manifest::BuiltIn;
use mmcollapse_data::manifest::Manifest;
use mmcollapse_data::sets::{AvMnist, Parts};
use mmcollapse_data::sources::Record;
use mmcollapse_data::{DataError, Dataset, DatasetSource, Samples, catalog, sources, status};
use mmcollapse_files::sha256;

/// The decoded excerpt, shared by all tests.
fn embedded() -> &'static Parts {
    static PARTS: OnceLock<Parts> = OnceLock::new();
    PARTS.get_or_init(|| Parts::embedded().unwrap())
}

/// The decoded files of the hub, shared by all tests; else says loudly that `what` is skipped.
fn of_hub(what: &str) -> Option<&'static Parts> {
    static PARTS: OnceLock<Option<Parts>> = OnceLock::new();
    let decode = || Some(Parts::decode(&real_data::hub(what)?).unwrap());
    PARTS.get_or_init(decode).as_ref()
}

/// What a test is made on: the excerpt, and the hub's files where they are.
fn everywhere(what: &str) -> Vec<(AvMnist, &'static Parts)> {
    let of_hub = of_hub(what).map(|parts| (AvMnist::Plain, parts));
    [(AvMnist::Embedded, embedded())].into_iter().chain(of_hub).collect()
}

/// Digests of MNIST's images in a part, as ids have them.
fn digests(entry: AvMnist, part: &str) -> BTreeSet<String> {
    let short = |records: &[Record]| records.iter().map(|r| r.identity.hex()[..12].to_owned()).collect();
    if entry == AvMnist::Embedded {
        let excerpted = Excerpt::find("avmnist-embedded").unwrap().decode().unwrap();
        let parts = excerpted.parts();
        return short(parts.iter().find(|(name, _)| *name == part).unwrap().1);
    }
    let (mnist, hub) = (
        Manifest::find("mnist").unwrap(),
        real_data::hub("images of MNIST").unwrap(),
    );
    short(&sources::records(&mnist, part, &hub).unwrap())
}

/// Image digests and clip names of a split.
fn parts(samples: &Samples) -> (BTreeSet<&str>, BTreeSet<&str>) {
    samples.ids.names().iter().map(|id| id.split_once('+').unwrap()).unzip()
}

#[test]
fn counts_splits_and_pairs() {
    for (entry, parts) in everywhere("avMNIST from the hub's files") {
        check_counts_splits_and_pairs(entry, &entry.assemble(7, parts).unwrap());
    }
}

fn check_counts_splits_and_pairs(entry: AvMnist, data: &Dataset) {
    let test = data.test.for_final_evaluation();
    assert_eq!((data.train.len(), data.validation.len(), test.len()), (840, 210, 450));
    assert_eq!(data.train.class_counts(10), [84; 10]);
    assert_eq!(data.validation.class_counts(10), [21; 10]);
    assert_eq!(test.class_counts(10), [45; 10]);
    assert_eq!(data.modalities[0].shape, [1, 28, 28]);
    assert_eq!(data.modalities[1].shape, [1, 20, 20]);

    // Every image and every clip occurs once; the clips are those of the brief's speakers and indices.
    let splits = [&data.train, &data.validation, test];
    let images: BTreeSet<&str> = splits.iter().flat_map(|s| parts(s).0).collect();
    let clips: BTreeSet<&str> = splits.iter().flat_map(|s| parts(s).1).collect();
    assert_eq!((images.len(), clips.len()), (1500, 1500));
    for (split, is_test) in [(&data.train, false), (&data.validation, false), (test, true)] {
        for (id, label) in split.ids.names().iter().zip(&split.labels) {
            let name: Vec<&str> = id.split_once('+').unwrap().1.split('_').collect();
            assert_eq!(name[0].parse::<u32>().unwrap(), *label);
            assert!(["jackson", "nicolas", "theo"].contains(&name[1]), "{id}");
            assert_eq!(name[2].parse::<u32>().unwrap() < 15, is_test, "{id}");
        }
    }

    // Test images come from MNIST's test part, the others from its training part.
    let (of_train, of_test) = (digests(entry, "train"), digests(entry, "test"));
    assert!(parts(test).0.iter().all(|image| of_test.contains(*image)));
    assert!(parts(&data.train).0.iter().all(|image| of_train.contains(*image)));
    assert!(parts(&data.validation).0.iter().all(|image| of_train.contains(*image)));

    // Ink and paper are +-1; no clip is as long as 20 frames, so the last is padding.
    for split in splits {
        let image = split.inputs[0].numbers();
        assert!(image.iter().all(|x| (-1. ..=1.).contains(x)));
        assert!(image.contains(&-1.) && image.contains(&1.));
        for i in 0..split.len() {
            let sound = split.row(1, i);
            assert!(
                sound.iter().all(|x| x.is_finite()) && sound[0] != 0.,
                "{}",
                split.ids.get(i)
            );
            assert_eq!(sound[19], 0., "{}", split.ids.get(i));
        }
    }
}

#[test]
fn the_seed_decides_and_nothing_else() {
    for (entry, parts) in everywhere("seeds of avMNIST") {
        check_that_the_seed_decides(entry, parts);
    }
}

fn check_that_the_seed_decides(entry: AvMnist, sources: &Parts) {
    let build = |entry: AvMnist, seed: u64| entry.assemble(seed, sources).unwrap();
    let (one, again, other) = (build(entry, 1), build(entry, 1), build(entry, 2));
    assert_eq!(one, again);
    assert_ne!(one.digest, other.digest);
    // Another seed: other images, other pairs, other validation pairs; the clips of a split's source stay.
    assert_ne!(parts(&one.train).0, parts(&other.train).0);
    assert_ne!(parts(&one.validation).1, parts(&other.validation).1);
    let tests = [&one, &other].map(|data| parts(data.test.for_final_evaluation()));
    assert_eq!(tests[0].1, tests[1].1);

    let standard = build(AvMnist::Standardized, 1);
    assert_eq!(standard.train.ids, one.train.ids);
    assert_eq!(standard.train.inputs[0], one.train.inputs[0]);
    let numbers = standard.train.inputs[1].numbers();
    for k in 0..20 {
        let rows = numbers.chunks_exact(20).skip(k).step_by(20);
        let values: Vec<f64> = rows.flatten().map(|&x| f64::from(x)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(
            mean.abs() < 1e-4 && (variance - 1.).abs() < 1e-4,
            "{k}: {mean} {variance}"
        );
    }
}

/// Clips of other speakers, and nothing else differs.
#[test]
fn fresh_clips_are_other_clips_with_the_same_images() {
    let Some(hub) = real_data::hub("the other speakers of avMNIST") else {
        return;
    };
    let sources = Parts::decode(&hub).unwrap();
    let [plain, fresh] = [AvMnist::Plain, AvMnist::Fresh].map(|entry| entry.assemble(7, &sources).unwrap());
    let splits = |data: &Dataset| {
        let test = data.test.for_final_evaluation().clone();
        [data.train.clone(), data.validation.clone(), test]
    };
    for (plain, fresh) in splits(&plain).iter().zip(&splits(&fresh)) {
        assert_eq!((parts(plain).0, &plain.labels), (parts(fresh).0, &fresh.labels));
        assert_eq!(plain.inputs[0], fresh.inputs[0]);
        for clip in parts(fresh).1 {
            let speaker = clip.split('_').nth(1).unwrap();
            assert!(["george", "lucas", "yweweler"].contains(&speaker), "{clip}");
        }
    }
    assert_eq!(fresh.name, "avmnist-fresh");
}

#[test]
fn a_cached_data_set_loads_in_no_time() {
    let nowhere = Hub {
        offline: true,
        ..Hub::from_variables(|_| None::<std::ffi::OsString>)
    };
    check_that_loading_again_is_quick(AvMnist::Embedded, &nowhere);
    if let Some(hub) = real_data::hub("loading time of avMNIST") {
        check_that_loading_again_is_quick(AvMnist::Plain, &hub);
    }
}

fn check_that_loading_again_is_quick(entry: AvMnist, hub: &Hub) {
    let folder = tempfile::tempdir().unwrap();
    let load = || {
        let start = Instant::now();
        let data = entry.load_from(3, hub, Some(folder.path())).unwrap();
        (data, start.elapsed().as_secs_f64())
    };
    let ((first, cold), (second, warm)) = (load(), load());
    mmcollapse_files::tell!(
        "{}: {cold:.2} s from the files, {warm:.3} s from the cache",
        entry.name()
    );
    assert_eq!(first, second);
    assert!(warm < cold / 2., "{warm} s after {cold} s");
    assert_eq!(entry.name(), first.name);
}

/// Bits of the sound of each clip by its name.
fn sounds(data: &Dataset) -> BTreeMap<String, Vec<u32>> {
    let splits = [&data.train, &data.validation, data.test.for_final_evaluation()];
    let of = |samples: &Samples, i: usize| {
        let name = samples.ids.get(i).split_once('+').unwrap().1.to_owned();
        (name, samples.row(1, i).iter().map(|x| x.to_bits()).collect())
    };
    let all = splits.into_iter().flat_map(|s| (0..s.len()).map(move |i| of(s, i)));
    all.collect()
}

#[test]
fn the_excerpt_has_the_hubs_clips_bit_for_bit_and_the_images_of_the_smallest_digests() {
    let what = "the excerpt against the hub's files";
    let (Some(parts), Some(hub)) = (of_hub(what), real_data::hub(what)) else {
        return;
    };
    let [ours, theirs] = [(AvMnist::Embedded, embedded()), (AvMnist::Plain, parts)]
        .map(|(entry, parts)| sounds(&entry.assemble(11, parts).unwrap()));
    assert_eq!(ours.len(), 1500);
    assert!(
        ours == theirs,
        "an input made of a clip of the excerpt differs from the hub's"
    );

    let excerpt = Excerpt::find("avmnist-embedded").unwrap();
    let excerpted = excerpt.decode().unwrap();
    for (part, images, n) in [
        ("train", &excerpted.train_images, excerpt.train_images_per_class),
        ("test", &excerpted.test_images, excerpt.test_images_per_class),
    ] {
        // By class, then digest: the first n of each class.
        let all = sources::records(&Manifest::find("mnist").unwrap(), part, &hub).unwrap();
        let of = |class: u32| all.iter().filter(move |r| r.identity.label == class).take(n);
        let expected: Vec<&Record> = (0..10).flat_map(of).collect();
        assert!(images.iter().eq(expected), "{part}");
    }
}

#[test]
fn the_excerpts_draw_is_the_same_on_every_machine() {
    let data = AvMnist::Embedded.assemble(0, embedded()).unwrap();
    let splits = [&data.train, &data.validation, data.test.for_final_evaluation()];
    let ids: Vec<_> = splits.iter().flat_map(|s| s.ids.iter()).collect();
    let digest = sha256(ids.join("\n"));
    assert_eq!(digest[..16], *"78256967e02e4a65");
}

#[test]
fn damage_to_the_files_is_named() {
    let Some(hub) = real_data::hub("damaged files") else {
        return;
    };
    let manifest = Manifest::find("fsdd").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = Hub {
        cache: folder.path().to_owned(),
        ..hub.clone()
    };
    let mut originals = Vec::new();
    for file in &manifest.files {
        let from = hub.cached(&manifest.remote(file)).unwrap();
        let to = folder.path().join(from.strip_prefix(&hub.cache).unwrap());
        let bytes = fs::read(from).unwrap();
        mmcollapse_files::write_atomic(&to, &bytes).unwrap();
        originals.push((to, bytes));
    }
    assert_eq!(sources::records(&manifest, "all", &copy).unwrap().len(), 3000);

    // A bit in the middle of the smaller file's samples: found by the digest, or by the decoder, never unnoticed.
    let (path, whole) = &originals[1];
    for at in (1..10).map(|i| i * whole.len() / 11) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        mmcollapse_files::write_atomic(path, &damaged).unwrap();
        let error = sources::records(&manifest, "all", &copy).unwrap_err();
        assert!(
            matches!(
                error,
                DataError::Content { .. } | DataError::Row { .. } | DataError::File { .. }
            ),
            "{error}"
        );
    }
    mmcollapse_files::write_atomic(path, b"PAR1 this is no parquet file PAR1").unwrap();
    let error = sources::records(&manifest, "all", &copy).unwrap_err();
    assert!(error.to_string().contains("not a readable parquet file"), "{error}");
}

#[test]
fn list_and_verify_say_what_is_there() {
    let empty = tempfile::tempdir().unwrap();
    let nothing = Hub {
        cache: empty.path().to_owned(),
        offline: true,
        ..Hub::from_variables(|_| None::<String>)
    };
    let listing = status::list_in(&nothing).unwrap();
    let text = listing.to_string();
    let [set, source] = [&listing.sets, &listing.sources].map(|rows| rows[0].clone());
    assert_eq!(
        (set.name.as_str(), set.content.as_str(), set.size.as_str()),
        ("avmnist", "image, sound", "1500")
    );
    assert_eq!(
        set.place,
        "not fetched: `data fetch mnist`; not fetched: `data fetch fsdd`"
    );
    assert_eq!((source.name.as_str(), source.size.as_str()), ("mnist", "70000"));
    assert_eq!(source.place, "not fetched: `data fetch mnist`");
    assert!(
        text.lines()
            .any(|line| line.starts_with("mnist ") && line.contains("open")),
        "{text}"
    );
    let text = status::describe_in("avmnist", &nothing).unwrap();
    assert!(text.contains("Source mnist: MNIST handwritten digits"), "{text}");
    assert!(text.contains("data/test-00000-of-00001.parquet (missing)"), "{text}");
    assert!(text.contains("used by     avmnist, avmnist_standardized"), "{text}");
    let error = status::verify_in("avmnist", &nothing).unwrap_err();
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert!(help.contains("data fetch"), "{error}: {help}");

    let verified = status::verify_in("avmnist-embedded", &nothing).unwrap();
    let rows: Vec<(&str, usize)> = verified.iter().map(|v| (v.part.as_str(), v.rows)).collect();
    assert_eq!(rows, [("train", 4000), ("test", 1000), ("clips", 1500)]);
    let text = status::describe_in("avmnist-embedded", &nothing).unwrap();
    assert!(
        text.contains("built in") && text.contains("CC BY-SA 4.0") && text.contains("used by     avmnist-embedded"),
        "{text}"
    );

    let Some(hub) = real_data::hub("verification of the sources") else {
        return;
    };
    for source in catalog::named("avmnist").unwrap() {
        assert!(source.place(&hub).is_there(), "{:?}", source.about());
    }
    let verified = status::verify_in("avmnist", &hub).unwrap();
    let rows: Vec<(&str, &str, usize)> = verified
        .iter()
        .map(|v| (v.source.as_str(), v.part.as_str(), v.rows))
        .collect();
    assert_eq!(
        rows,
        [
            ("mnist", "test", 10_000),
            ("mnist", "train", 60_000),
            ("fsdd", "all", 3000)
        ]
    );
    eprint!("{}", verified.iter().map(ToString::to_string).collect::<String>());
}
