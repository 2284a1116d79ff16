//! Where samples come from.

use std::borrow::Cow;

/// A name for each sample.
#[derive(Clone, Debug)]
pub enum Ids {
    /// So many, called by their place: `0`, `1`, ... Of records nothing else may be said.
    Numbered(usize),
    /// Names of their own.
    Named(Vec<String>),
}

impl Ids {
    /// Number of names.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbered(n) => *n,
            Self::Named(names) => names.len(),
        }
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of sample `i`.
    ///
    /// # Panics
    /// When `i` is out of range, as slices do.
    pub fn get(&self, i: usize) -> Cow<'_, str> {
        match self {
            Self::Numbered(n) => {
                assert!(i < *n, "sample {i} of {n}");
                Cow::Owned(i.to_string())
            }
            Self::Named(names) => Cow::Borrowed(&names[i]),
        }
    }

    /// Names of their own; none where the samples are numbered.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Numbered(_) => &[],
            Self::Named(names) => names,
        }
    }

    /// The names in the order of the samples.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, str>> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// The names at `index`, in that order.
    ///
    /// # Panics
    /// When an index is out of range, as slices do.
    #[must_use]
    pub fn select(&self, index: &[usize]) -> Self {
        Self::Named(index.iter().map(|&i| self.get(i).into_owned()).collect())
    }
}

impl Default for Ids {
    fn default() -> Self {
        Self::Numbered(0)
    }
}

impl From<Vec<String>> for Ids {
    fn from(names: Vec<String>) -> Self {
        Self::Named(names)
    }
}

impl PartialEq for Ids {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}
