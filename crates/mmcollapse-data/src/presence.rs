//! Which sample has which modality.

/// A table of booleans, one row a sample and one column a modality: true where the sample has the modality.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    samples: usize,
    modalities: usize,
    present: Vec<bool>, // [samples, modalities]
}

impl Presence {
    /// Every sample has every modality.
    pub fn all(samples: usize, modalities: usize) -> Self {
        Self::from_fn(samples, modalities, |_, _| true)
    }

    /// Sample `i` has modality `m` where `f(i, m)`.
    pub fn from_fn(samples: usize, modalities: usize, mut f: impl FnMut(usize, usize) -> bool) -> Self {
        let mut present = Vec::with_capacity(samples * modalities);
        for i in 0..samples {
            present.extend((0..modalities).map(|m| f(i, m)));
        }
        Self {
            samples,
            modalities,
            present,
        }
    }

    /// Whether sample `i` has `modality`.
    ///
    /// # Panics
    /// When `i` or `modality` is out of range, as slices do.
    pub fn get(&self, i: usize, modality: usize) -> bool {
        assert!(modality < self.modalities, "modality {modality} of {}", self.modalities);
        self.present[i * self.modalities + modality]
    }

    /// Says whether sample `i` has `modality`.
    ///
    /// # Panics
    /// When `i` or `modality` is out of range, as slices do.
    pub fn set(&mut self, i: usize, modality: usize, present: bool) {
        assert!(modality < self.modalities, "modality {modality} of {}", self.modalities);
        self.present[i * self.modalities + modality] = present;
    }

    /// The samples that have `modality`, ascending.
    pub fn rows(&self, modality: usize) -> Vec<usize> {
        (0..self.samples).filter(|&i| self.get(i, modality)).collect()
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Number of modalities.
    pub fn modalities(&self) -> usize {
        self.modalities
    }

    /// Whether no sample lacks any modality.
    pub fn is_complete(&self) -> bool {
        self.present.iter().all(|&p| p)
    }

    /// What is there in both tables.
    ///
    /// # Panics
    /// When the tables differ in size.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        assert_eq!(
            (self.samples, self.modalities),
            (other.samples, other.modalities),
            "two tables of one size"
        );
        Self::from_fn(self.samples, self.modalities, |i, m| self.get(i, m) && other.get(i, m))
    }

    /// The table with only these modalities left.
    #[must_use]
    pub fn only(&self, modalities: &[usize]) -> Self {
        Self::from_fn(self.samples, self.modalities, |i, m| {
            modalities.contains(&m) && self.get(i, m)
        })
    }

    /// The rows at `index`, in that order; an index may occur more than once.
    ///
    /// # Panics
    /// When an index is out of range, as slices do.
    #[must_use]
    pub fn select(&self, index: &[usize]) -> Self {
        Self::from_fn(index.len(), self.modalities, |i, m| self.get(index[i], m))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_set_and_select_agree() {
        let mut presence = Presence::all(3, 2);
        assert!(presence.is_complete());
        presence.set(1, 0, false);
        assert!(!presence.is_complete());
        assert_eq!(presence.rows(0), [0, 2]);
        assert_eq!(presence.rows(1), [0, 1, 2]);
        let selected = presence.select(&[1, 1, 0]);
        assert_eq!(selected.rows(0), [2]);
        assert_eq!((selected.len(), selected.modalities()), (3, 2));
        assert!(Presence::all(0, 2).is_empty());
    }
}
