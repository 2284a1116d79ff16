//! Notes as vectors by a pretrained text encoder that stays as it is, as in MUSE.
//!
//! A text is its first 512 tokens, as many as a BERT takes. Which vector stands for it is our choice: the mean of the last
//! hidden states over the tokens ([`Pooling::Mean`]), `[CLS]` and `[SEP]` included, as sentence embeddings usually are, or
//! the state of the first token ([`Pooling::First`]). One text at a time goes through the network: nothing is padded, so the
//! mean over the attention mask is the mean.

use std::path::{Path, PathBuf};
use std::{fs, io};

use mmcollapse_files::hex;
use mmcollapse_nn::{Device, safetensors};
use sha2::{Digest, Sha256};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{Model, Tokenizer, TruncationParams};

use super::bert::{Bert, BertConfig};
use super::text_encoder::{EncoderFiles, Pooling, TextEncoder, Tokens};
use crate::DataError;
use crate::hub::Hub;

/// Tokens of a note that are read: what every BERT was trained with.
const LONGEST: usize = 512;

/// A pretrained text encoder in memory.
#[derive(Clone, Debug)]
pub struct PretrainedText {
    tokenizer: Tokenizer,
    bert: Bert,
    pooling: Pooling,
    width: usize,
    weights: PathBuf,
}

impl PretrainedText {
    /// `encoder` from `hub` or its cache.
    ///
    /// # Errors
    /// When a file cannot be had, or is not what the manifest says it is.
    pub fn load(encoder: &TextEncoder, hub: &Hub) -> Result<Self, DataError> {
        Self::read(encoder, &encoder.files(hub)?)
    }

    /// `encoder` from `files`.
    ///
    /// # Errors
    /// When one is not what the manifest says it is.
    pub fn read(encoder: &TextEncoder, files: &EncoderFiles) -> Result<Self, DataError> {
        let config = sizes(&files.config).map_err(|reason| broken(&files.config, reason))?;
        let network = safetensors::load_foreign(&files.weights, &Device::Cpu)
            .and_then(|(weights, _)| Bert::new(&config, weights))
            .map_err(|error| broken(&files.weights, error.to_string()))?;
        let longest = LONGEST.min(config.max_position_embeddings);
        let tokenizer = tokenizer(&encoder.tokens, &files.tokens, longest);
        Ok(Self {
            tokenizer: tokenizer.map_err(|error| broken(&files.tokens, error.to_string()))?,
            bert: network,
            pooling: encoder.pooling,
            width: config.hidden_size,
            weights: files.weights.clone(),
        })
    }

    /// Numbers of a text.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The tokens of `text` that are read.
    ///
    /// # Errors
    /// When the vocabulary lacks the token of what is unknown.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let encoding = self.tokenizer.encode_fast(text, true);
        let encoding = encoding.map_err(|error| broken(&self.weights, error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The vector of `text`, [`Self::width`] numbers.
    ///
    /// # Errors
    /// When vocabulary and weights are not of the same encoder.
    pub fn embed(&self, text: &str) -> Result<Vec<f32>, DataError> {
        let tokens = self.tokens(text)?;
        let pooled = self.bert.forward(&tokens).and_then(|states| match self.pooling {
            Pooling::Mean => states.mean(0)?.to_vec1(),
            Pooling::First => states.get(0)?.to_vec1(),
        });
        pooled.map_err(|error| broken(&self.weights, error.to_string()))
    }
}

/// Digest of each of the encoder's files: sizes, tokens, weights.
///
/// # Errors
/// When one cannot be read.
pub fn digests(files: &EncoderFiles) -> Result<[String; 3], DataError> {
    let digest = |path: &Path| -> Result<String, DataError> {
        let mut hash = Sha256::new();
        let read = fs::File::open(path).and_then(|mut file| io::copy(&mut file, &mut hash));
        read.map_err(|error| broken(path, error.to_string()))?;
        Ok(hex(&hash.finalize()))
    };
    Ok([digest(&files.config)?, digest(&files.tokens)?, digest(&files.weights)?])
}

fn broken(path: &Path, reason: String) -> DataError {
    DataError::File {
        path: path.to_owned(),
        reason,
    }
}

fn sizes(path: &Path) -> Result<BertConfig, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| format!("not the sizes of a BERT that can be read here: {error}"))
}

fn tokenizer(tokens: &Tokens, path: &Path, longest: usize) -> tokenizers::Result<Tokenizer> {
    let mut tokenizer = match tokens {
        Tokens::Vocabulary { lowercase, .. } => word_pieces(path, *lowercase)?,
        Tokens::Tokenizer { .. } => Tokenizer::from_file(path)?,
    };
    tokenizer.with_truncation(Some(TruncationParams {
        max_length: longest,
        ..TruncationParams::default()
    }))?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

/// What `transformers`' `BertTokenizerFast` makes of a vocabulary.
fn word_pieces(path: &Path, lowercase: bool) -> tokenizers::Result<Tokenizer> {
    let name = path.to_str().ok_or("the path is not UTF-8")?;
    let pieces = WordPiece::from_file(name).build()?;
    let special = |token: &str| {
        let id = pieces.token_to_id(token);
        id.map(|id| (token.to_owned(), id))
            .ok_or_else(|| format!("the vocabulary lacks {token}"))
    };
    special("[UNK]")?;
    let around = BertProcessing::new(special("[SEP]")?, special("[CLS]")?);
    let mut tokenizer = Tokenizer::new(pieces);
    tokenizer.with_normalizer(Some(BertNormalizer::new(true, true, None, lowercase)));
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_post_processor(Some(around));
    Ok(tokenizer)
}
