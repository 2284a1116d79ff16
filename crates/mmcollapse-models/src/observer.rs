//! Who is told how a training goes.

/// Told of every epoch, and asked whether to go on.
pub trait Observer {
    /// An epoch of a fit (from 0) is over; `losses` are its means.
    fn epoch(&mut self, fit: &str, epoch: usize, epochs: usize, losses: &[(&str, f64)]);

    /// Something worth telling, such as a damaged file that is made again.
    fn note(&mut self, _text: &str) {}

    /// Whether to stop after this epoch; a checkpoint is written first.
    fn should_stop(&self) -> bool {
        false
    }
}

/// An observer that does nothing.
pub struct Silent;

impl Observer for Silent {
    fn epoch(&mut self, _: &str, _: usize, _: usize, _: &[(&str, f64)]) {}
}
