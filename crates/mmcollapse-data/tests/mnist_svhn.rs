//! MNIST-SVHN, made of small files of the hub's schema: what is refused, which images meet, what the seed decides.

mod made;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, Rgb, RgbImage, RgbaImage};
use made::{REVISION, typed};
use mmcollapse_data::catalog::{Need, Source};
use mmcollapse_data::hub::Hub;
use mmcollapse_data::manifest::{BuiltIn, Manifest};
use mmcollapse_data::sets::{MnistSvhn, PairParts, PairRecipe, PairSize};
use mmcollapse_data::status::Verdict;
use mmcollapse_data::{DataError, Dataset, DatasetSource, Samples, sources, status};
use mmcollapse_nn::random::Stream;
use tempfile::TempDir;

const SCHEMA: &str = "message schema {
    optional group image { optional binary bytes; optional binary path (UTF8); }
    optional int64 label;
}";
/// Images of each class: training and test of MNIST, training and test of SVHN.
const COUNTS: [usize; 4] = [9, 4, 11, 5];
const SIZE: PairSize = PairSize {
    train_per_class: 5,
    validation_per_class: 3,
    test_per_class: 10,
    matchings: 2,
};

type Row = (Vec<u8>, i64);

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Images of ten classes, none like another; of SVHN those that have colours.
fn images(name: &str, per_class: usize) -> Vec<Row> {
    let (side, has_colours) = if name.starts_with("svhn") {
        (32, true)
    } else {
        (28, false)
    };
    let mut stream = Stream::new(0, name);
    let mut image = || {
        let mut values = vec![0; side * side * if has_colours { 3 } else { 1 }];
        values.fill_with(|| stream.below(256) as u8);
        let side = side as u32;
        if has_colours {
            png(RgbImage::from_raw(side, side, values).unwrap())
        } else {
            png(GrayImage::from_raw(side, side, values).unwrap())
        }
    };
    (0..10 * per_class).map(|i| (image(), (i % 10) as i64)).collect()
}

/// Rows of the four files: training and test of MNIST, training and test of SVHN.
fn rows() -> [Vec<Row>; 4] {
    let names = ["mnist/train", "mnist/test", "svhn/train", "svhn/test"];
    std::array::from_fn(|i| images(names[i], COUNTS[i]))
}

/// Manifests of both sources that say these classes, and a cache that holds `rows`.
fn sources_of(rows: &[Vec<Row>; 4], classes: [&str; 4]) -> ([Manifest; 2], Hub, TempDir) {
    let files: Vec<Vec<u8>> = rows.iter().map(|rows| typed(SCHEMA, rows)).collect();
    let places = [
        ("a/mnist", "train"),
        ("a/mnist", "test"),
        ("a/svhn", "train"),
        ("a/svhn", "test"),
    ];
    let files: Vec<_> = places
        .iter()
        .zip(&files)
        .map(|((repo, part), bytes)| (*repo, *part, &bytes[..]))
        .collect();
    let (hub, folder) = made::cache(&files);
    let manifests = [0, 1].map(|m| {
        let (name, media) = [("mnist", "image"), ("svhn", "colour_image\nform: [32, 32]")][m];
        let part = |i: usize| format!("{{ rows: {}, classes: [{}] }}", rows[2 * m + i].len(), classes[2 * m + i]);
        let text = format!(
            "name: {name}\ntitle: t\nlicence: l\ncitation: c\nhub: {{ repo: a/{name}, revision: {REVISION} }}\nmedia: {media}\n\
             files: [{{ path: train, part: train }}, {{ path: test, part: test }}]\n\
             content:\n  train: {}\n  test: {}\n",
            part(0),
            part(1),
        );
        Manifest::parse(name, &text).unwrap()
    });
    (manifests, hub, folder)
}

/// The same number of rows in each of ten classes, as a manifest has them.
fn even(n: usize) -> String {
    vec![n.to_string(); 10].join(", ")
}

fn decoded(rows: &[Vec<Row>; 4]) -> Result<PairParts, Box<DataError>> {
    let classes = COUNTS.map(even);
    let ([mnist, svhn], hub, _folder) = sources_of(rows, std::array::from_fn(|i| &classes[i][..]));
    PairParts::decode(&mnist, &svhn, &hub).map_err(Box::new)
}

fn assembled(parts: &PairParts, size: PairSize, seed: u64) -> Result<Dataset, Box<DataError>> {
    let mut recipe = PairRecipe::built_in().unwrap();
    recipe.sizes = BTreeMap::from([("mnist-svhn".to_owned(), size)]);
    recipe.assemble("mnist-svhn", seed, parts).map_err(Box::new)
}

fn splits(data: &Dataset) -> [&Samples; 3] {
    [&data.train, &data.validation, data.test.for_final_evaluation()]
}

/// Bits of each image of a modality in a split.
fn bits(samples: &Samples, modality: usize) -> Vec<Vec<u32>> {
    let row = |i| samples.row(modality, i).iter().map(|x| x.to_bits()).collect();
    (0..samples.len()).map(row).collect()
}

/// The class of each image of a source, by its input's bits.
fn classes(rows: &[Row], has_colours: bool) -> BTreeMap<Vec<u32>, u32> {
    let of = |(bytes, label): &Row| {
        let image = image::load_from_memory(bytes).unwrap();
        let planes: Vec<u8> = if has_colours {
            let image = image.into_rgb8();
            (0..3)
                .flat_map(|channel| image.pixels().map(move |pixel| pixel[channel]))
                .collect()
        } else {
            image.into_luma8().into_raw()
        };
        let input = planes.iter().map(|&x| ((f32::from(x) / 255. - 0.5) / 0.5).to_bits());
        (input.collect(), *label as u32)
    };
    rows.iter().map(of).collect()
}

#[test]
fn pairs_are_of_one_class_and_splits_share_no_image() {
    let rows = rows();
    let data = assembled(&decoded(&rows).unwrap(), SIZE, 7).unwrap();
    assert_eq!(data.modalities[0].shape, [1, 28, 28]);
    assert_eq!(data.modalities[1].shape, [3, 32, 32]);
    // A class has 9 - 3 = 6 images of MNIST left to train, of which the recipe takes 5; the smaller test part has 4.
    let per_class = splits(&data).map(|split| split.class_counts(10));
    assert_eq!(per_class, [vec![2 * 5; 10], vec![2 * 3; 10], vec![2 * 4; 10]]);

    for modality in [0, 1] {
        let [train, test] = [0, 1].map(|part| classes(&rows[2 * modality + part], modality == 1));
        let mut seen = BTreeSet::new();
        for (place, split) in splits(&data).into_iter().enumerate() {
            let images = bits(split, modality);
            for (image, label) in images.iter().zip(&split.labels) {
                assert_eq!([&train, &train, &test][place].get(image), Some(label));
            }
            // Each image once in each of the two matchings.
            let different: BTreeSet<Vec<u32>> = images.iter().cloned().collect();
            assert_eq!(2 * different.len(), images.len());
            assert!(
                different.into_iter().all(|image| seen.insert(image)),
                "an image is in two splits"
            );
        }
    }
    let ids: BTreeSet<&String> = splits(&data).iter().flat_map(|split| split.ids.names()).collect();
    assert_eq!(ids.len(), splits(&data).iter().map(|split| split.len()).sum::<usize>());
}

#[test]
fn the_seed_decides_and_the_order_of_rows_does_not() {
    let rows = rows();
    let parts = decoded(&rows).unwrap();
    let mut turned = rows.clone();
    for (i, rows) in turned.iter_mut().enumerate() {
        Stream::new(i as u64, "order").shuffle(rows);
    }
    assert_ne!(rows, turned);
    let one = assembled(&parts, SIZE, 1).unwrap();
    assert_eq!(one, assembled(&decoded(&turned).unwrap(), SIZE, 1).unwrap());
    let other = assembled(&parts, SIZE, 2).unwrap();
    for modality in [0, 1] {
        let of = |data: &Dataset| -> BTreeSet<Vec<u32>> { bits(&data.validation, modality).into_iter().collect() };
        assert_ne!(of(&one), of(&other), "other images");
    }
    // With every image of the test in use, only who meets whom is left to the seed; the two matchings differ as well.
    let pairs = |data: &Dataset| -> BTreeSet<(String, String)> {
        let ids = data.test.for_final_evaluation().ids.names();
        ids.iter()
            .map(|id| id.rsplit_once('+').unwrap())
            .map(|(pair, matching)| (matching.to_owned(), pair.to_owned()))
            .collect()
    };
    assert_ne!(pairs(&one), pairs(&other));
    let of_matching = |matching: &str| -> BTreeSet<String> {
        pairs(&one)
            .into_iter()
            .filter(|(of, _)| of == matching)
            .map(|(_, pair)| pair)
            .collect()
    };
    assert_ne!(of_matching("0"), of_matching("1"));
}

/// An image that both parts have is one of the test; one that a part has twice is there once.
#[test]
fn what_is_there_twice_is_in_one_split() {
    let mut rows = rows();
    for source in [0, 2] {
        let (first, second) = (rows[source][0].clone(), rows[source + 1][1].clone());
        // Rows of class 0 and 1.
        rows[source][10] = first;
        rows[source][1] = second;
    }
    let parts = decoded(&rows).unwrap();
    let all = PairSize {
        train_per_class: 100,
        matchings: 1,
        ..SIZE
    };
    let data = assembled(&parts, all, 3).unwrap();
    assert_eq!(data.train.class_counts(10)[..3], [8 - 3, 8 - 3, 9 - 3]);
    for modality in [0, 1] {
        let images: Vec<Vec<u32>> = splits(&data).iter().flat_map(|split| bits(split, modality)).collect();
        assert_eq!(images.iter().collect::<BTreeSet<_>>().len(), images.len());
    }
}

#[test]
fn other_counts_of_a_class_are_refused() {
    let rows = rows();
    let with = |svhn: &str| {
        let even = COUNTS.map(even);
        let ([_, manifest], hub, _folder) = sources_of(&rows, [&even[0], &even[1], svhn, &even[3]]);
        sources::records(&manifest, "train", &hub).unwrap_err().to_string()
    };
    assert_eq!(
        with("11, 11, 11, 12, 10, 11, 11, 11, 11, 11"),
        "svhn, part `train`, class 3: decoded content has rows 11, expected 12"
    );
    // A class that the manifest does not know takes its rows from those that it knows.
    let mut rows = rows.clone();
    rows[2][7].1 = 10;
    let error = decoded(&rows).unwrap_err();
    assert_eq!(
        error.to_string(),
        "svhn, part `train`, class 7: decoded content has rows 10, expected 11"
    );
}

#[test]
fn images_of_another_kind_are_refused_with_file_and_row() {
    let refused = |image: Vec<u8>| {
        let mut rows = rows();
        rows[3][17].0 = image;
        let error = decoded(&rows).unwrap_err();
        assert!(matches!(*error, DataError::Row { row: 17, .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("a--svhn") && text.contains("test, row 17: "), "{text}");
        text
    };
    let grey = refused(png(GrayImage::new(32, 32)));
    assert!(
        grey.ends_with("a PNG of L8, expected 8-bit red, green and blue"),
        "{grey}"
    );
    assert!(refused(png(RgbaImage::new(32, 32))).contains("a PNG of Rgba8"));
    let small = refused(png(RgbImage::from_pixel(31, 32, Rgb([1, 2, 3]))));
    assert!(
        small.ends_with("a record of form [32, 31], expected [32, 32]"),
        "{small}"
    );
    assert!(refused(b"no image".to_vec()).contains("not a readable PNG"));

    // MNIST's manifest says no form; the data set does.
    let mut rows = rows();
    rows[0][3].0 = png(GrayImage::new(27, 28));
    let error = decoded(&rows).unwrap_err().to_string();
    assert!(error.contains("mnist: an image of [28, 27] pixels"), "{error}");
}

#[test]
fn too_few_images_are_refused_with_the_class() {
    let size = PairSize {
        validation_per_class: 9,
        ..SIZE
    };
    let error = assembled(&decoded(&rows()).unwrap(), size, 0).unwrap_err().to_string();
    assert!(
        error.contains("class 0: expected more than 9 images") && error.contains("got [9, 11] and [4, 5]"),
        "{error}"
    );
    let recipe = PairRecipe::built_in().unwrap();
    let error = recipe
        .assemble("mnist", 0, &decoded(&rows()).unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("`sizes` lacks `mnist`"), "{error}");
}

#[test]
fn a_source_without_a_digest_is_verified_by_its_counts_and_says_its_digest() {
    let even = COUNTS.map(even);
    let ([_, svhn], hub, _folder) = sources_of(&rows(), [0, 1, 2, 3].map(|i| &even[i][..]));
    let verified = svhn.verify(&hub).unwrap();
    assert_eq!(verified.len(), 2);
    for part in verified {
        assert_eq!(part.verdict, Verdict::CountsOnly);
        assert_eq!(part.digest.len(), 64);
        assert_eq!(
            part.details,
            [format!("digest of all {} rows: {}", part.rows, part.digest)]
        );
        // The digest in the place of the counts.
        let content = |known: &str| format!("rows: {}, {known}", part.rows);
        let text = format!(
            "name: svhn\ntitle: t\nlicence: l\ncitation: c\nhub: {{ repo: a/svhn, revision: {REVISION} }}\n\
             media: colour_image\nfiles: [{{ path: {0}, part: {0} }}]\ncontent: {{ {0}: {{ {1} }} }}\n",
            part.part,
            content(&format!("digest: {}", part.digest)),
        );
        let known = Manifest::parse("svhn", &text).unwrap().verify(&hub).unwrap();
        assert_eq!((known[0].verdict, &known[0].digest), (Verdict::Expected, &part.digest));
    }
}

#[test]
fn it_is_listed_and_says_how_to_have_it() {
    let (hub, _folder) = made::cache(&[]);
    for set in [MnistSvhn::Small, MnistSvhn::Full] {
        let error = set.load_from(0, &hub, None).unwrap_err();
        assert!(matches!(error, DataError::Hub(_)), "{error}");
        assert_eq!(set.modalities(), ["mnist", "svhn"]);
    }
    let text = status::describe_in("mnist-svhn", &hub).unwrap();
    for said in [
        "samples     4600",
        "not fetched: `data fetch svhn`",
        "train: 73257 rows",
        "used by     mnist-svhn, mnist-svhn-full",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let error = status::verify_in("svhn", &hub).unwrap_err();
    assert!(matches!(error, DataError::Hub(_)), "{error}");
    // `all` leaves it alone.
    let manifests = Manifest::all().unwrap();
    let needed = manifests
        .iter()
        .filter(|manifest| manifest.about().need == Need::Required);
    assert_eq!(
        needed.map(|manifest| &manifest.name[..]).collect::<Vec<_>>(),
        ["mnist", "fsdd"]
    );
}
