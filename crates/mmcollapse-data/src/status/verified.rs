//! What a check of data found, part by part, and its text.

use std::fmt;

/// What the content that was read was held against, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is that of the manifest or of the hub.
    Expected,
    /// What is there is right, but not everything is there that was tested with.
    InPart,
    /// It is not that of the manifest, which only a folder of the user's own making may have.
    OtherSamples,
    /// It has the manifest's number of rows in each class; the manifest has no digest.
    CountsOnly,
    /// Nothing: neither the manifest nor the cache says one.
    Unannounced,
    /// Nothing: of data that are not open no digest is kept.
    NothingKnown,
    /// It is not what is known of these data, or cannot be learnt from.
    Wrong,
}

impl Verdict {
    /// Whether the data must not be used.
    pub fn is_fault(self) -> bool {
        self == Self::Wrong
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expected => "as expected",
            Self::InPart => "as expected as far as it goes",
            Self::OtherSamples => "complete, but not the samples tested with (another resampler?)",
            Self::CountsOnly => "as many rows of each class as expected (the manifest has no digest to compare with)",
            Self::Unannounced => "whole and of the right form (a copied cache, which does not say the hub's digest)",
            Self::NothingKnown => "nothing to compare with",
            Self::Wrong => "WRONG",
        })
    }
}

/// A part of a source that was read, and what was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// Source.
    pub source: String,
    /// Part of it.
    pub part: String,
    /// Records decoded; 0 where only the digest of a file was taken.
    pub rows: usize,
    /// Digest of their content; empty where none could be taken.
    pub digest: String,
    /// What that digest was held against.
    pub verdict: Verdict,
    /// What else is to be said: counts, coverage, and of a difference what was expected and got; one line each.
    pub details: Vec<String>,
    /// Time it took, in seconds.
    pub seconds: f64,
}

impl Verified {
    /// A part of which nothing is known yet.
    pub fn new(source: &str, part: &str) -> Self {
        Self {
            source: source.to_owned(),
            part: part.to_owned(),
            rows: 0,
            digest: String::new(),
            verdict: Verdict::NothingKnown,
            details: Vec::new(),
            seconds: 0.,
        }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.source, self.part)?;
        if self.rows > 0 {
            write!(f, "{} rows, ", self.rows)?;
        }
        if let Some(digest) = self.digest.get(..16) {
            write!(f, "content {digest} ")?;
        }
        writeln!(f, "{} ({:.1} s)", self.verdict, self.seconds)?;
        self.details.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}
