//! Reading YAML with errors that say where.

use miette::{Diagnostic, NamedSource, SourceSpan};
use mmcollapse_files::plain_words;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// A spec that cannot be used, with the place.
#[derive(Debug, Error, Diagnostic)]
#[error("{place}: {what}")]
pub struct SpecError {
    place: String,
    what: String,
    #[help]
    help: String,
    #[source_code]
    source_code: NamedSource<String>,
    #[label("here")]
    span: Option<SourceSpan>,
}

/// Reads a YAML document; what serde refuses becomes an error with its place.
pub(crate) fn read_yaml<T: DeserializeOwned>(path: &str, text: &str, help: &str) -> Result<T, Box<SpecError>> {
    let refused = |error: serde_yaml::Error| {
        let offset = error.location().map(|location| location.index());
        // serde_yaml ends its messages with the place that is given in front already.
        let message = error.to_string();
        let what = message
            .rsplit_once(" at line ")
            .map_or(message.as_str(), |(what, _)| what);
        Box::new(SpecError::at(path, text, offset, &plain_words(what), help))
    };
    // As a value first: only there a key given twice is an error in every map.
    let _: serde_yaml::Value = serde_yaml::from_str(text).map_err(refused)?;
    serde_yaml::from_str(text).map_err(refused)
}

impl SpecError {
    /// An error at a byte offset of the text.
    fn at(path: &str, text: &str, offset: Option<usize>, what: &str, help: &str) -> Self {
        let offset = offset.filter(|offset| *offset <= text.len());
        let place = offset.map_or_else(
            || path.to_owned(),
            |offset| {
                let before = text.get(..offset).unwrap_or_default();
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
                format!("{path}:{line}:{column}")
            },
        );
        let rest = offset.and_then(|offset| text.get(offset..)).unwrap_or("");
        let length = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
            .unwrap_or(rest.len());
        Self {
            place,
            what: what.to_owned(),
            help: help.to_owned(),
            source_code: NamedSource::new(path, text.to_owned()).with_language("yaml"),
            span: offset.map(|offset| (offset, length).into()),
        }
    }

    /// An error about a key of the text, wherever it stands first; about the whole text if it does not stand
    /// there.
    pub fn near(path: &str, text: &str, key: &str, what: &str, help: &str) -> Self {
        Self::at(path, text, find_key(text, key), what, help)
    }

    /// An error about a key below other keys: each is looked for after the one before it.
    pub(crate) fn below(path: &str, text: &str, keys: &[&str], what: &str, help: &str) -> Self {
        let mut place = None;
        for key in keys {
            let from = place.unwrap_or(0);
            match text.get(from..).and_then(|rest| find_key(rest, key)) {
                Some(found) => place = Some(from + found),
                None => break,
            }
        }
        Self::at(path, text, place, what, help)
    }
}

/// Byte offset of the first `key:` outside of comments.
pub(super) fn find_key(text: &str, key: &str) -> Option<usize> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let code = line.split('#').next().unwrap_or_default();
        let mut from = 0;
        while let Some(place) = code[from..].find(key) {
            let place = from + place;
            let before = code[..place].chars().next_back();
            let after = code[place + key.len()..].trim_start_matches(['"', '\'']);
            let begins = before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == '-'));
            if begins && after.trim_start().starts_with(':') {
                return Some(start + place);
            }
            from = place + key.len();
        }
        start += line.len();
    }
    None
}
