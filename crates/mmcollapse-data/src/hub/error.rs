//! What the hub, the network or the cache can refuse, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

use miette::Diagnostic;
use thiserror::Error;

/// Why a file could not be had from the hub.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum HubError {
    /// Not cached, and the network is not to be used.
    #[error("{file} of {repo} is not in the cache {} and offline mode is on", cache.display())]
    #[diagnostic(help(
        "run `data fetch` once without HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE and --offline, or name a cache that has it in HF_HOME \
         or HF_HUB_CACHE"
    ))]
    Offline {
        /// File in the repository.
        file: String,
        /// Repository.
        repo: String,
        /// Where was looked.
        cache: PathBuf,
    },

    /// The cached file is a fragment, and the network is not to be used.
    #[error("{} is not a whole file, and offline mode is on", path.display())]
    #[diagnostic(help("something else wrote it and was interrupted; delete it and run `data fetch` with network"))]
    Damaged {
        /// The file.
        path: PathBuf,
    },

    /// Nobody answered.
    #[error("no answer from {url}: {reason}")]
    #[diagnostic(help(
        "check the network, HTTPS_PROXY and HF_ENDPOINT; where there is no network, set HF_HOME to a folder that \
         holds the files and HF_HUB_OFFLINE=1"
    ))]
    NoNetwork {
        /// What was asked for.
        url: String,
        /// What the connection failed with.
        reason: String,
    },

    /// 401 or 403.
    #[error("{url}: access refused (HTTP {status}, {})", if *with_token { "with the token that was given" } else { "no token given" })]
    #[diagnostic(help(
        "set HF_TOKEN to a token that may read it (huggingface.co/settings/tokens) and accept the data set's terms on \
         its page; the hub also answers 401 for a repository that does not exist"
    ))]
    Refused {
        /// What was asked for.
        url: String,
        /// 401 or 403.
        status: u16,
        /// Whether a token went along.
        with_token: bool,
    },

    /// 404.
    #[error("{url}: not found (HTTP 404)")]
    #[diagnostic(help(
        "the repository, the pinned revision or the file is gone, or HF_ENDPOINT points to a mirror without it"
    ))]
    NotFound {
        /// What was asked for.
        url: String,
    },

    /// 429 or 503 for longer than is waited.
    #[error(
        "{url}: the hub is turning requests away (HTTP {status}){}",
        retry_after.map(|wait| format!(", come back in {} s", wait.as_secs())).unwrap_or_default()
    )]
    #[diagnostic(help("wait and run again, what was loaded so far is kept; a token (HF_TOKEN) raises the limit"))]
    Busy {
        /// What was asked for.
        url: String,
        /// 429 or 503.
        status: u16,
        /// What `Retry-After` said.
        retry_after: Option<Duration>,
    },

    /// 5xx, again and again.
    #[error("{url}: the server failed (HTTP {status})")]
    #[diagnostic(help("not your fault; wait and run again, what was loaded so far is kept"))]
    Server {
        /// What was asked for.
        url: String,
        /// 500 to 599.
        status: u16,
    },

    /// The connection ended early, again and again.
    #[error("{url}: the connection broke after {got} of {expected} bytes ({reason})")]
    #[diagnostic(help("run again: it continues where it stopped"))]
    Truncated {
        /// What was asked for.
        url: String,
        /// Bytes there are.
        got: u64,
        /// Bytes there should be.
        expected: u64,
        /// What the connection ended with.
        reason: String,
    },

    /// The connection stands, but nothing comes any more.
    #[error("{url}: no byte for {seconds} s")]
    #[diagnostic(help("run again: it continues where it stopped"))]
    Silent {
        /// What was asked for.
        url: String,
        /// How long was waited.
        seconds: u64,
    },

    /// The bytes are not those that the hub announced.
    #[error("{url}: the bytes received have sha256 {got}, the hub announced {expected}")]
    #[diagnostic(help(
        "the file was thrown away; a proxy or mirror (HTTPS_PROXY, HF_ENDPOINT) may be altering it; run again"
    ))]
    WrongDigest {
        /// What was asked for.
        url: String,
        /// What the bytes hash to.
        got: String,
        /// The hub's etag.
        expected: String,
    },

    /// More bytes than are loaded.
    #[error("{url}: expected a file of at most {most} bytes, got more")]
    #[diagnostic(help(
        "nothing of it was kept; is HF_ENDPOINT a Hugging Face hub? a proxy or mirror in between may be sending something else"
    ))]
    TooLarge {
        /// What was asked for.
        url: String,
        /// Bytes that were announced, or the most that are loaded of any file.
        most: u64,
    },

    /// A variable of the environment cannot be used.
    #[error("{variable}: {reason}")]
    #[diagnostic(help("correct {variable} or unset it"))]
    Variable {
        /// The variable.
        variable: &'static str,
        /// What was expected and got.
        reason: String,
    },

    /// An answer that the hub does not give.
    #[error("{url}: unexpected answer: {reason}")]
    #[diagnostic(help("is HF_ENDPOINT a Hugging Face hub? a login page or proxy in between answers like this"))]
    Protocol {
        /// What was asked for.
        url: String,
        /// What was wrong with the answer.
        reason: String,
    },

    /// The cache folder cannot be used.
    #[error("cannot write to the cache {}: {reason}", path.display())]
    #[diagnostic(help("make room, or set HF_HOME or HF_HUB_CACHE to a folder that you may write"))]
    Cache {
        /// Folder or file.
        path: PathBuf,
        /// What the file system said.
        reason: String,
    },
}

impl HubError {
    /// Whether another try may succeed by itself.
    pub(super) fn passes(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. }
                | Self::Server { .. }
                | Self::Truncated { .. }
                | Self::WrongDigest { .. }
                | Self::NoNetwork { .. }
        )
    }
}
