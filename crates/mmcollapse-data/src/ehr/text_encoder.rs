//! The manifests in `data/*.yaml` of pretrained text encoders: where each comes from, and how it is read.

use std::path::PathBuf;

use serde::Deserialize;

use crate::DataError;
use crate::hub::{Hub, Remote, RepoKind};
use crate::manifest::{BuiltIn, Repository};

/// A pretrained text encoder: a BERT on the hub at one revision.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TextEncoder {
    /// Name in data sets, on the command line, and of the manifest.
    pub name: String,
    /// Full name.
    pub title: String,
    /// Licence of the weights.
    pub licence: String,
    /// Whom to cite.
    pub citation: String,
    /// Where on the hub.
    pub hub: Repository,
    /// Path of the file with its sizes.
    pub config: String,
    /// How a text becomes tokens.
    pub tokens: Tokens,
    /// Path of the safetensors file with its weights.
    pub weights: String,
    /// How the states of a text's tokens become one vector.
    pub pooling: Pooling,
}

/// How a text becomes tokens.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged, deny_unknown_fields)]
pub enum Tokens {
    /// BERT's word pieces.
    Vocabulary {
        /// Path of a file with a piece a line.
        vocabulary: String,
        /// Whether the pieces are of text in lower case without accents.
        lowercase: bool,
    },
    /// As a file of the library `tokenizers` says.
    Tokenizer {
        /// Path of the file.
        tokenizer: String,
    },
}

/// How the states of a text's tokens become one vector.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Their mean, over all tokens that the text has.
    Mean,
    /// That of the first token, `[CLS]`.
    First,
}

/// Where the files of an encoder lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncoderFiles {
    /// Its sizes.
    pub config: PathBuf,
    /// Its tokens.
    pub tokens: PathBuf,
    /// Its weights.
    pub weights: PathBuf,
}

impl BuiltIn for TextEncoder {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<(), String> {
        self.hub.check(self.paths())
    }
}

impl TextEncoder {
    fn paths(&self) -> [&str; 3] {
        let tokens = match &self.tokens {
            Tokens::Vocabulary { vocabulary, .. } => vocabulary,
            Tokens::Tokenizer { tokenizer } => tokenizer,
        };
        [&self.config, tokens, &self.weights]
    }

    /// The hub's addresses of its three files: sizes, tokens, weights.
    pub fn remotes(&self) -> [Remote; 3] {
        self.paths().map(|path| self.hub.remote(RepoKind::Model, path))
    }

    /// Its files, downloaded where they are not in the cache.
    ///
    /// # Errors
    /// What [`Hub::fetch`] fails with.
    pub fn files(&self, hub: &Hub) -> Result<EncoderFiles, DataError> {
        let [config, tokens, weights] = self.remotes();
        Ok(EncoderFiles {
            config: hub.fetch(&config)?,
            tokens: hub.fetch(&tokens)?,
            weights: hub.fetch(&weights)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manifest_reads_and_mistakes_are_named() {
        for encoder in TextEncoder::all().unwrap() {
            assert!(!encoder.licence.is_empty(), "{}", encoder.name);
            assert_eq!(encoder.remotes().map(|remote| remote.kind), [RepoKind::Model; 3]);
        }
        let (name, good) = TextEncoder::texts().next().unwrap();
        let change = |from: &str, to: &str| {
            assert!(good.contains(from), "{from}");
            let error = TextEncoder::parse(name, &good.replace(from, to)).unwrap_err();
            error.to_string()
        };
        assert!(change("licence:", "license:").contains("unknown field `license`"));
        assert!(change("revision: 30b0", "revision: main").contains("40 hex digits"));
        assert!(change("weights: ", "weights: ../").contains("leaves"));
        assert!(change("pooling: mean", "pooling: max").contains("`max`"));
        assert!(change("name: bert-tiny", "name: other").contains("expected `bert-tiny`"));
        assert!(change("lowercase: true", "lower: true").contains("Tokens"));
        assert!(TextEncoder::find("bert").is_err());
    }
}
