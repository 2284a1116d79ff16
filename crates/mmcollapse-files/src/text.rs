//! How digests and times are written.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// SHA-256 of `bytes` as 64 lower-case hex digits.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

/// Writes bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes seconds as a person says them: `0.2 s`, `45 s`, `12 min`, `3.4 h`.
pub fn duration_text(seconds: f64) -> String {
    match seconds {
        ..9.95 => format!("{seconds:.1} s"),
        ..100.0 => format!("{seconds:.0} s"),
        ..6000.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// What a reader of YAML or JSON says of a value of the wrong kind, without the types of the program: of `invalid type: string "much",
/// expected f64 at line 5` it makes `expected a number, got the text "much" at line 5`. Other messages stay as they are.
pub fn plain_words(message: &str) -> String {
    let split = |kind: &str| {
        let (before, rest) = message.split_once(kind)?;
        let (got, expected) = rest.rsplit_once(", expected ")?;
        let end = expected.find(" at line ").unwrap_or(expected.len());
        let (expected, place) = expected.split_at(end);
        Some(format!(
            "{before}expected {}, got {}{place}",
            wanted(expected),
            found(got)
        ))
    };
    let mut kinds = ["invalid type: ", "invalid value: "].into_iter();
    kinds.find_map(split).unwrap_or_else(|| message.to_owned())
}

fn wanted(kind: &str) -> &str {
    match kind {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number from 0 on",
        "i64" | "i32" => "a whole number",
        "f64" | "f32" => "a number",
        "a sequence" => "a list",
        "a map" => "a mapping, `key: value`",
        "a boolean" => "true or false",
        "a string" => "a text",
        _ if kind.starts_with("struct ") => "a mapping, `key: value`",
        _ => kind,
    }
}

fn found(value: &str) -> String {
    match value {
        "sequence" => return "a list".to_owned(),
        "map" => return "a mapping".to_owned(),
        "unit value" | "null" => return "nothing".to_owned(),
        _ => {}
    }
    let kinds = [
        ("string ", "the text "),
        ("integer ", ""),
        ("floating point ", ""),
        ("boolean ", ""),
    ];
    let known = kinds
        .into_iter()
        .find_map(|(kind, plain)| Some((value.strip_prefix(kind)?, plain)));
    known.map_or_else(|| value.to_owned(), |(value, plain)| format!("{plain}{value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_sha256sum() {
        assert_eq!(
            sha256("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }

    #[test]
    fn values_of_the_wrong_kind_are_told_in_plain_words() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only errors are looked at")]
        struct Settings {
            epochs: Option<usize>,
            rate: Option<f64>,
            names: Option<Vec<String>>,
            inner: Option<Box<Settings>>,
        }
        for (text, expected) in [
            (
                r#"{"epochs": -3}"#,
                "expected a whole number from 0 on, got `-3` at line 1",
            ),
            (
                r#"{"rate": "much, expected more"}"#,
                r#"expected a number, got the text "much, expected more" at"#,
            ),
            (r#"{"names": true}"#, "expected a list, got `true` at line 1"),
            (
                r#"{"inner": 3.5}"#,
                "expected a mapping, `key: value`, got `3.5` at line 1",
            ),
            (r#"{"inner": [1]}"#, "invalid length 1"),
            (
                r#"{"epochs": {}}"#,
                "expected a whole number from 0 on, got a mapping at line 1",
            ),
            (r#"{"epohcs": 1}"#, "unknown field `epohcs`, expected one of `epochs`"),
        ] {
            let error = serde_json::from_str::<Settings>(text).unwrap_err().to_string();
            let plain = plain_words(&error);
            assert!(plain.starts_with(expected), "{plain}");
            assert!(!plain.contains("usize") && !plain.contains("f64"), "{plain}");
        }
    }

    #[test]
    fn durations_read_well() {
        let texts = [0.0, 0.24, 9.96, 45.2, 120.0, 720.0, 5999.0, 12_240.0].map(duration_text);
        assert_eq!(
            texts,
            ["0.0 s", "0.2 s", "10 s", "45 s", "2 min", "12 min", "100 min", "3.4 h"]
        );
    }
}
