//! Operations that candle lacks, gets wrong, or runs slowly on the CPU.
//!
//! Each is a free function with right gradients. On the CPU in f32 it is a fused operation of our own; on any
//! other device or type it is composed of candle operations whose gradients are right (`*_composed`, public so
//! that the two can be compared). Where candle's own operation of that name errs is measured in
//! `tests/candle_traps.rs`; gradients are checked by finite differences in `tests/gradients.rs`.
//!
//! The order of every sum depends on shapes only, never on the number of threads, the vector unit or the size of caches,
//! and elementary functions are our own: a result has the same bits on one thread and on many, and on every processor
//! with fused multiply-adds.

mod activation;
mod awake;
mod batch_norm;
mod conv;
mod conv_fused;
mod conv_grafted;
mod conv_norm;
mod conv_pool;
mod correlate;
mod cross_entropy;
mod distance;
mod elementary;
pub(crate) mod fused;
mod gelu;
mod gemm;
mod linear;
mod link;
mod masked;
pub(crate) mod math;
mod matmul;
mod normalize;
mod planes;
mod pool;
mod reversal;
mod vector;

pub use activation::{relu, relu_composed, softplus};
pub use batch_norm::{batch_norm_eval, batch_norm_eval_composed, batch_norm_train, batch_norm_train_composed};
pub use conv::{conv2d, conv2d_composed, conv2d_relu_pool2, conv2d_relu_pool2_composed};
pub use conv_norm::{Convolution, conv2d_batch_norm_relu, conv2d_batch_norm_relu_composed};
pub use cross_entropy::{softmax_cross_entropy, softmax_cross_entropy_composed};
pub use distance::{absolute_distance, absolute_distance_composed};
pub use elementary::{erf, exp, ln, sigmoid, tanh};
pub(crate) use fused::map_parts;
pub use gelu::{gelu, gelu_composed};
pub(crate) use gemm::product;
pub use gemm::{Matrix, gemm};
pub(crate) use linear::transposed;
pub use linear::{linear, linear_composed};
pub use link::Link;
pub use masked::masked;
pub use matmul::matmul;
pub use pool::{avg_pool2d, avg_pool2d_composed, max_pool2d, max_pool2d_composed};
pub use reversal::{gradient_reversal, gradient_reversal_composed};
#[cfg(test)]
pub(crate) use vector::on_each_level;
pub(crate) use vector::{Kernel, Simd, vectorized};
pub use vector::{VECTOR_VARIABLE, exact_bits, vector_level};
