//! Files that numpy, safetensors and pyarrow wrote (`scripts/fixtures_arrays.py`), and damaged ones.

use std::path::{Path, PathBuf};

use mmcollapse_arrays::{ArrayError, Arrays, Dtype, Values};
use proptest::prelude::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Row + column / 8, [5, 3]: exact in every type.
fn ramp() -> Vec<f64> {
    (0..15).map(|i| f64::from(i / 3) + f64::from(i % 3) / 8.0).collect()
}

fn numbers(arrays: &Arrays, name: &str) -> (Vec<usize>, Vec<f64>) {
    let array = arrays.read(name).unwrap();
    let values = (0..array.values.len()).map(|i| array.values.get(i).unwrap()).collect();
    (array.info.shape, values)
}

fn assert_ramp(file: &str, names: &[&str]) {
    let arrays = Arrays::open(&fixture(file)).unwrap();
    for name in names {
        assert_eq!(numbers(&arrays, name), (vec![5, 3], ramp()), "{file}: {name}");
    }
    assert_eq!(
        numbers(&arrays, "labels"),
        (vec![5], vec![0.0, 1.0, 0.0, 1.0, 1.0]),
        "{file}"
    );
    assert!(matches!(arrays.read("labels").unwrap().values, Values::Whole(_)));
}

#[test]
fn every_format_gives_the_same_numbers() {
    for archive in ["stored.npz", "deflated.npz"] {
        assert_ramp(archive, &["half", "single", "double", "big", "fortran"]);
        let arrays = Arrays::open(&fixture(archive)).unwrap();
        assert_eq!(arrays.read("one").unwrap().values, Values::Single(vec![2.5]));
        for name in ["bytes", "flags"] {
            assert_eq!(arrays.read(name).unwrap().values, Values::Whole(vec![0, 1, 0, 1, 1]));
        }
    }
    assert_ramp("folder", &["embedding.image"]);
    assert_ramp("tensors.safetensors", &["half", "brain", "single", "double"]);
    for table in ["lists.parquet", "zstd.parquet"] {
        assert_ramp(table, &["embedding.image", "double", "half"]);
    }
}

#[test]
fn names_shapes_and_types_come_without_the_numbers() {
    let arrays = Arrays::open(&fixture("lists.parquet")).unwrap();
    let known: Vec<(&str, Vec<usize>, Dtype)> = arrays
        .infos()
        .map(|info| (info.name.as_str(), info.shape.clone(), info.dtype))
        .collect();
    assert_eq!(
        known,
        [
            ("embedding.image", vec![5, 3], Dtype::F32),
            ("double", vec![5, 3], Dtype::F64),
            ("half", vec![5, 3], Dtype::F16),
            ("labels", vec![5], Dtype::I32),
            ("flags", vec![5], Dtype::Bool),
            ("text", vec![], Dtype::Other),
        ]
    );
    assert_eq!(arrays.info("double").unwrap().rows(), 5);
}

#[test]
fn columns_are_what_their_schema_says() {
    let arrays = Arrays::open(&fixture("types.parquet")).unwrap();
    for (name, dtype, expected) in [
        ("byte", Dtype::U32, [0.0, 200.0, 255.0]),
        ("word", Dtype::U32, [0.0, 2_147_483_648.0, 4_294_967_295.0]),
        ("words", Dtype::U32, [2_147_483_648.0, 1.0, 2.0]),
        ("narrow", Dtype::F64, [0.1, -2.5, 99.9]),
        ("wide", Dtype::F64, [0.1, -2.5, 1.234_567_890_123_456_7e19]),
        ("decimals", Dtype::F64, [0.1, -2.5, 99.9]),
    ] {
        assert_eq!(numbers(&arrays, name).1, expected, "{name}");
        assert_eq!(arrays.info(name).unwrap().dtype, dtype, "{name}");
    }
    let long = arrays.read("long").unwrap().values;
    assert_eq!(long, Values::Whole(vec![0, 1, i64::MAX]));
    let whole = Arrays::open(&fixture("whole_decimals.parquet")).unwrap();
    for name in ["narrow", "long"] {
        assert_eq!(numbers(&whole, name).1, [0.1, -2.5, 99.9], "{name}");
    }
}

#[test]
fn what_cannot_be_read_is_an_error_once_it_is_asked_for() {
    let told = |error: ArrayError| {
        let help = miette::Diagnostic::help(&error).map(|help| help.to_string());
        format!("{error} | {}", help.unwrap_or_default())
    };
    let arrays = Arrays::open(&fixture("types.parquet")).unwrap();
    for (name, expected, advice) in [
        ("too_long", "expected integers below 2^63", "write them as floats"),
        ("text", "expected numbers, got text", "pandas.factorize"),
        ("category", "expected numbers, got text", "pandas.factorize"),
        ("bytes", "expected numbers, got bytes", "write numbers"),
        ("nested", "expected numbers, got lists of lists", "one list a row"),
        ("widest", "decimals of more than 38 digits", "doubles"),
    ] {
        let told = told(arrays.read(name).unwrap_err());
        assert!(
            told.contains(&format!("types.parquet: array `{name}`: "))
                && told.contains(expected)
                && told.contains(advice),
            "{told}"
        );
    }
    let arrays = Arrays::open(&fixture("beside.npz")).unwrap();
    assert_eq!(numbers(&arrays, "rows").1, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(arrays.infos().count(), 4);
    for (name, expected) in [("ids", "return_inverse"), ("names", "pickles"), ("waves", "array.real")] {
        assert_eq!(arrays.info(name).unwrap().dtype, Dtype::Other);
        let told = told(arrays.readable(name).unwrap_err());
        assert!(
            told.contains(&format!("beside.npz: array `{name}`: expected floats")) && told.contains(expected),
            "{told}"
        );
    }
    // A folder with a file that is none of numpy's; and text of one name in two files, which nobody asks for.
    let folder = tempfile::tempdir().unwrap();
    let numbers_file = folder.path().join("a.npy");
    for (path, bytes) in [
        (&numbers_file, std::fs::read(fixture("folder/labels.npy")).unwrap()),
        (&folder.path().join("b.npy"), b"text".to_vec()),
    ] {
        #[allow(clippy::disallowed_methods, reason = "a scratch file")]
        std::fs::write(path, bytes).unwrap();
    }
    let arrays = Arrays::open(folder.path()).unwrap();
    assert_eq!(arrays.read("a").unwrap().info.shape, [5]);
    assert!(arrays.read("b").is_err());
    let again = folder.path().join("again.npz");
    #[allow(clippy::disallowed_methods, reason = "a scratch file")]
    std::fs::copy(fixture("objects.npz"), &again).unwrap();
    let both = Arrays::open_all(&[fixture("objects.npz"), again, fixture("folder/labels.npy")]).unwrap();
    assert_eq!(numbers(&both, "labels").1, [0.0, 1.0, 0.0, 1.0, 1.0]);
}

#[test]
fn several_files_are_one_set_of_arrays() {
    let files = [fixture("folder"), fixture("folder/labels.npy")];
    let error = Arrays::open_all(&files).unwrap_err().to_string();
    assert!(error.contains("array `labels`: the same name is in"), "{error}");
    let files = [fixture("folder/embedding.image.npy"), fixture("folder/labels.npy")];
    let arrays = Arrays::open_all(&files).unwrap();
    assert_eq!(arrays.infos().count(), 2);
}

/// Pandas writes NaN as a missing value; a whole number that is missing has no such value.
#[test]
fn a_missing_float_is_not_a_number() {
    let arrays = Arrays::open(&fixture("missing.parquet")).unwrap();
    let (shape, late) = numbers(&arrays, "late");
    assert_eq!((shape, &late[..3]), (vec![2, 2], &[1.0, 2.0, 3.0][..]));
    assert!(late[3].is_nan(), "{late:?}");
}

#[test]
fn errors_name_file_and_array_and_say_what_to_do() {
    let refused = |file: &str| Arrays::open(&fixture(file)).unwrap_err().to_string();
    let objects = Arrays::open(&fixture("objects.npz")).unwrap();
    let error = objects.read("labels").unwrap_err().to_string();
    assert!(
        error.contains("objects.npz: array `labels`: expected floats"),
        "{error}"
    );
    assert!(refused("none.npz").contains("none.npz"));
    let arrays = Arrays::open(&fixture("folder")).unwrap();
    let error = format!("{:?}", miette::Report::new(arrays.read("fused").unwrap_err()));
    assert!(
        error.contains("no such array") && error.contains("embedding.image"),
        "{error}"
    );
    let read = |file: &str, name: &str| {
        let arrays = Arrays::open(&fixture(file)).unwrap();
        arrays.read(name).unwrap_err().to_string()
    };
    let error = read("ragged.parquet", "ragged");
    assert!(error.contains("row 1: expected a list of 2, got one of 1"), "{error}");
    let error = read("ragged.parquet", "whole");
    assert!(
        error.contains("row 1: expected a number, got a missing value"),
        "{error}"
    );
    let folder = tempfile::tempdir().unwrap();
    let error = Arrays::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("expected .npy files in the folder"), "{error}");
    let pickle = format!(
        "{:?}",
        miette::Report::new(Arrays::open(&fixture("../formats.rs")).unwrap_err())
    );
    assert!(pickle.contains("pickles"), "{pickle}");
}

/// Reads all that a damaged copy of `file` still names.
fn read_damaged(file: &str, damage: impl FnOnce(&mut Vec<u8>)) -> Result<(), String> {
    let mut bytes = std::fs::read(fixture(file)).unwrap();
    damage(&mut bytes);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file);
    #[allow(clippy::disallowed_methods, reason = "a scratch file")]
    std::fs::write(&path, bytes).unwrap();
    let arrays = Arrays::open(&path).map_err(|error| error.to_string())?;
    let names: Vec<String> = arrays.infos().map(|info| info.name.clone()).collect();
    for name in names {
        arrays.read(&name).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A download that ended early.
#[test]
fn a_file_that_was_cut_off_says_so() {
    let told = read_damaged("stored.npz", |bytes| bytes.truncate(bytes.len() / 2)).unwrap_err();
    assert!(told.contains("it was cut off"), "{told}");
}

#[test]
fn a_flipped_bit_of_a_number_fails_the_checksum() {
    // The last number of the first member lies before the second member's header.
    let flip = |bytes: &mut Vec<u8>| {
        let second = bytes.windows(4).skip(1).position(|mark| mark == b"PK\x03\x04").unwrap();
        bytes[second - 1] ^= 1;
    };
    let error = read_damaged("stored.npz", flip).unwrap_err();
    assert!(error.contains("checksum"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A damaged or shortened file gives an error or numbers, never a panic.
    #[test]
    fn damaged_files_do_not_panic(
        file in prop::sample::select(vec!["stored.npz", "deflated.npz", "tensors.safetensors", "lists.parquet"]),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let _ = read_damaged(file, |bytes| {
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] = byte;
            }
        });
    }
}
