//! Distillation of a teacher's predictions (Hinton, Vinyals and Dean 2015, section 2).

use candle_core::bail;

use super::info_nce::log_sum_exp;
use crate::ops::exp;
use crate::{Result, Tensor};

/// Mean over samples of `T^2 KL(softmax(teacher / T) || softmax(student / T))`, in nats.
///
/// `student`, `teacher`: logits `[n, classes]`. No gradient flows to the teacher. The factor `T^2` keeps the size of the
/// gradient about the same at every temperature.
///
/// # Errors
/// If the shapes differ, or the temperature is not positive.
pub fn distillation(student: &Tensor, teacher: &Tensor, temperature: f64) -> Result<Tensor> {
    let (n, _) = student.dims2()?;
    if student.dims() != teacher.dims() {
        bail!(
            "distillation: student and teacher are {:?} and {:?}, expected the same shape",
            student.dims(),
            teacher.dims()
        );
    }
    if !(temperature.is_finite() && temperature > 0.0) {
        bail!("distillation: the temperature must be positive, got {temperature}");
    }
    let log_softmax = |logits: &Tensor| {
        let scaled = (logits / temperature)?;
        scaled.broadcast_sub(&log_sum_exp(&scaled, 1)?.unsqueeze(1)?)
    };
    let (student, teacher) = (log_softmax(student)?, log_softmax(&teacher.detach())?);
    let divergence = (exp(&teacher)? * (&teacher - student)?)?.sum_all()?;
    divergence * (temperature * temperature / n.max(1) as f64)
}
