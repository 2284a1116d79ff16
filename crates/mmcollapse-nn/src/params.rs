//! The parameters and buffers of a model, by name.
//!
//! A parameter is what an optimizer moves; a buffer is what a layer keeps beside it (running statistics, a
//! memory bank). Both are saved. They are kept sorted by name, since an order that differs from run to run
//! would make sums, and so results, differ too. Each parameter starts from a random stream of its own name, so
//! that adding one never moves another.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Shape, bail};

use crate::random::Stream;
use crate::{DType, Device, Result, Tensor, Var};

/// Numbers that a parameter may have, a gigabyte: more is a width with a digit too many.
const MOST_NUMBERS: usize = 1 << 28;

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// All the same value.
    Constant(f64),
    /// Uniform on `[-bound, bound)`.
    Uniform {
        /// The largest absolute value.
        bound: f64,
    },
    /// Normal around 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Uniform within `1/sqrt(fan_in)` of 0: PyTorch's default for linear and convolution layers (Kaiming with
    /// a = sqrt 5), with the number of inputs that one output sees.
    FanIn(usize),
    /// Uniform within `sqrt(6 / (fan_in + fan_out))` of 0 (Glorot and Bengio 2010).
    Glorot {
        /// Inputs that one output sees.
        fan_in: usize,
        /// Outputs that one input reaches.
        fan_out: usize,
    },
    /// Normal with variance `2 / fan_in`, for layers with a rectifier behind them (He et al. 2015, equation 10), with the number of
    /// inputs that one output sees.
    He(usize),
    /// The matrix that splits x into its positive and negative part (more rows than columns: 1 at `(i, i)`, -1 at `(i + at, i)`)
    /// or joins them again (else: its transpose), plus normal noise. With a rectifier between, two of them are the identity.
    Split {
        /// Place of the negative part.
        at: usize,
        /// Standard deviation of the noise.
        std: f64,
    },
}

impl Init {
    /// A tensor that starts so, drawn from `stream`. Draws are made in f64 and rounded, so that a model has the
    /// same start in every type.
    ///
    /// # Errors
    /// Whatever the device says about making a tensor.
    pub fn tensor(self, shape: &Shape, dtype: DType, device: &Device, stream: &mut Stream) -> Result<Tensor> {
        let n = shape.elem_count();
        let values: Vec<f64> = match self {
            Self::Zeros => vec![0.0; n],
            Self::Ones => vec![1.0; n],
            Self::Constant(value) => vec![value; n],
            Self::Uniform { bound } => (0..n).map(|_| stream.uniform(-bound, bound)).collect(),
            Self::Normal { std } => (0..n).map(|_| stream.normal() * std).collect(),
            Self::FanIn(fan_in) => {
                let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
                return Self::Uniform { bound }.tensor(shape, dtype, device, stream);
            }
            Self::Glorot { fan_in, fan_out } => {
                let bound = (6.0 / (fan_in + fan_out).max(1) as f64).sqrt();
                return Self::Uniform { bound }.tensor(shape, dtype, device, stream);
            }
            Self::He(fan_in) => {
                let std = (2.0 / fan_in.max(1) as f64).sqrt();
                return Self::Normal { std }.tensor(shape, dtype, device, stream);
            }
            Self::Split { at, std } => {
                let (rows, columns) = shape.dims2()?;
                let mut values: Vec<f64> = (0..n).map(|_| stream.normal() * std).collect();
                let mut add = |row: usize, column: usize, value: f64| {
                    if row < rows && column < columns {
                        values[row * columns + column] += value;
                    }
                };
                for i in 0..at {
                    add(i, i, 1.0);
                    let (row, column) = if rows > columns { (i + at, i) } else { (i, i + at) };
                    add(row, column, -1.0);
                }
                values
            }
        };
        Tensor::from_vec(values, shape, &Device::Cpu)?
            .to_dtype(dtype)?
            .to_device(device)
    }
}

#[derive(Debug)]
struct Store {
    vars: BTreeMap<String, Var>,
    buffers: BTreeMap<String, Var>,
}

#[derive(Debug)]
struct Inner {
    seed: u64,
    device: Device,
    dtype: DType,
    store: Mutex<Store>,
}

/// The parameters and buffers of one model. A clone is another handle on the same ones.
#[derive(Clone, Debug)]
pub struct Params {
    inner: Arc<Inner>,
}

impl Params {
    /// An empty store for f32 parameters on `device`, started from `seed`.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self::with_dtype(seed, device, DType::F32)
    }

    /// An empty store for parameters of type `dtype`.
    pub fn with_dtype(seed: u64, device: &Device, dtype: DType) -> Self {
        Self {
            inner: Arc::new(Inner {
                seed,
                device: device.clone(),
                dtype,
                store: Mutex::new(Store {
                    vars: BTreeMap::new(),
                    buffers: BTreeMap::new(),
                }),
            }),
        }
    }

    /// The seed that parameters start from.
    pub fn seed(&self) -> u64 {
        self.inner.seed
    }

    /// Where names begin.
    pub fn root(&self) -> Scope {
        Scope {
            params: self.clone(),
            path: String::new(),
        }
    }

    /// All parameters, sorted by name.
    pub fn vars(&self) -> Vec<(String, Var)> {
        named(&self.store().vars)
    }

    /// The parameters whose names lie under `path` (`encoder` holds `encoder.fc.weight`, not `encoder2.weight`),
    /// sorted by name: what one optimizer of several moves.
    pub fn vars_under(&self, path: &str) -> Vec<(String, Var)> {
        let mut vars = self.vars();
        vars.retain(|(name, _)| {
            path.is_empty()
                || name
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        vars
    }

    /// All buffers, sorted by name.
    pub fn buffers(&self) -> Vec<(String, Var)> {
        named(&self.store().buffers)
    }

    /// Number of trained values, buffers not counted.
    pub fn count(&self) -> usize {
        let store = self.store();
        store.vars.values().map(|var| var.elem_count()).sum()
    }

    /// Copies of all parameters and buffers as they are now.
    ///
    /// # Errors
    /// Whatever the device says about copying.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let store = self.store();
        store
            .vars
            .iter()
            .chain(&store.buffers)
            .map(|(name, var)| Ok((name.clone(), var.copy()?.detach())))
            .collect()
    }

    /// Puts the values of a [`Params::state`] back; nothing is changed if anything does not fit.
    ///
    /// # Errors
    /// Names that are missing or unexpected, and shapes or types that differ, are all named.
    pub fn load(&self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let store = self.store();
        let mut problems = Vec::new();
        for (name, var) in store.vars.iter().chain(&store.buffers) {
            match state.get(name) {
                None => problems.push(format!("`{name}` {:?} is missing", var.dims())),
                Some(tensor) if tensor.dims() != var.dims() || tensor.dtype() != var.dtype() => {
                    problems.push(format!(
                        "`{name}` is {:?} {:?}, expected {:?} {:?}",
                        tensor.dtype(),
                        tensor.dims(),
                        var.dtype(),
                        var.dims()
                    ));
                }
                Some(_) => {}
            }
        }
        for name in state.keys() {
            if !store.vars.contains_key(name) && !store.buffers.contains_key(name) {
                problems.push(format!("`{name}` is unexpected"));
            }
        }
        if !problems.is_empty() {
            bail!(
                "this state belongs to another model: {}; load it into a model of the configuration that saved it",
                problems.join(", ")
            );
        }
        for (name, var) in store.vars.iter().chain(&store.buffers) {
            if let Some(tensor) = state.get(name) {
                // A copy, because `set` refuses a tensor that shares the variable's own storage.
                var.set(&tensor.to_device(var.device())?.copy()?.detach())?;
            }
        }
        Ok(())
    }

    /// The same as [`Params::state`]: what a best epoch is kept by.
    ///
    /// # Errors
    /// As [`Params::state`].
    pub fn snapshot(&self) -> Result<BTreeMap<String, Tensor>> {
        self.state()
    }

    /// The same as [`Params::load`].
    ///
    /// # Errors
    /// As [`Params::load`].
    pub fn restore(&self, snapshot: &BTreeMap<String, Tensor>) -> Result<()> {
        self.load(snapshot)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        // Every change to the store is a single insert: a thread that panicked left it whole.
        self.inner.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(vars: &BTreeMap<String, Var>) -> Vec<(String, Var)> {
    vars.iter().map(|(name, var)| (name.clone(), var.clone())).collect()
}

/// A place in the tree of names, where a layer makes its parameters.
#[derive(Clone, Debug)]
pub struct Scope {
    params: Params,
    path: String,
}

impl Scope {
    /// The place `name` below this one.
    #[must_use]
    pub fn pp(&self, name: impl fmt::Display) -> Self {
        Self {
            params: self.params.clone(),
            path: self.full(&name),
        }
    }

    /// A new parameter. The tensor is the variable itself, so that gradients reach it.
    ///
    /// # Errors
    /// If the name is taken, or it has more numbers than any machine this is for could train.
    pub fn var(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Result<Tensor> {
        let full = self.full(&name);
        let shape = shape.into();
        let numbers = shape
            .dims()
            .iter()
            .try_fold(1, |all: usize, axis| all.checked_mul(*axis));
        if numbers.is_none_or(|numbers| numbers > MOST_NUMBERS) {
            bail!(
                "parameter `{full}`: expected at most {MOST_NUMBERS} numbers, got shape {:?}",
                shape.dims()
            );
        }
        let inner = &self.params.inner;
        let mut stream = Stream::new(inner.seed, &format!("init/{full}"));
        let start = init.tensor(&shape, inner.dtype, &inner.device, &mut stream)?;
        let var = Var::from_tensor(&start)?;
        let tensor = var.as_tensor().clone();
        let mut store = self.params.store();
        Self::check_free(&store, &full)?;
        store.vars.insert(full, var);
        Ok(tensor)
    }

    /// A new buffer that starts as a copy of `value`, whatever its type.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn buffer(&self, name: &str, value: Tensor) -> Result<Var> {
        let full = self.full(&name);
        let var = Var::from_tensor(&value.to_device(&self.device())?.copy()?.detach())?;
        let mut store = self.params.store();
        Self::check_free(&store, &full)?;
        store.buffers.insert(full, var.clone());
        Ok(var)
    }

    /// Where the parameters lie.
    pub fn device(&self) -> Device {
        self.params.inner.device.clone()
    }

    /// The type of the parameters.
    pub fn dtype(&self) -> DType {
        self.params.inner.dtype
    }

    /// The full name of this place, empty at the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The store that this place belongs to.
    pub fn params(&self) -> &Params {
        &self.params
    }

    fn full(&self, name: &impl fmt::Display) -> String {
        if self.path.is_empty() {
            name.to_string()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    fn check_free(store: &Store, name: &str) -> Result<()> {
        if store.vars.contains_key(name) || store.buffers.contains_key(name) {
            bail!("the parameter or buffer `{name}` exists already; give this layer a scope of its own");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn another_parameter_moves_none_of_the_others() {
        let one = Params::new(3, &Device::Cpu);
        let weight = one.root().pp("fc").var("weight", (4, 5), Init::FanIn(5)).unwrap();
        let two = Params::new(3, &Device::Cpu);
        two.root()
            .pp("extra")
            .var("weight", 7, Init::Normal { std: 1.0 })
            .unwrap();
        let same = two.root().pp("fc").var("weight", (4, 5), Init::FanIn(5)).unwrap();
        assert_eq!(values(&weight), values(&same));
        let other = two.root().pp("fc").var("other", (4, 5), Init::FanIn(5)).unwrap();
        assert_ne!(values(&weight), values(&other));
        assert!(values(&weight).iter().all(|v| v.abs() <= 1.0 / 5_f32.sqrt()));
        let seed = Params::new(4, &Device::Cpu);
        let moved = seed.root().pp("fc").var("weight", (4, 5), Init::FanIn(5)).unwrap();
        assert_ne!(values(&weight), values(&moved));
    }

    #[test]
    fn types_start_alike() {
        let single = Params::new(3, &Device::Cpu);
        let double = Params::with_dtype(3, &Device::Cpu, DType::F64);
        let init = Init::Glorot { fan_in: 2, fan_out: 4 };
        let a = single.root().var("w", 9, init).unwrap();
        let b = double.root().var("w", 9, init).unwrap();
        assert_eq!(values(&a), values(&b.to_dtype(DType::F32).unwrap()));
    }

    #[test]
    fn names_are_sorted_and_taken_once() {
        let params = Params::new(0, &Device::Cpu);
        let scope = params.root();
        scope.pp("z").var("w", 2, Init::Zeros).unwrap();
        scope.pp("a").pp(0).var("w", 3, Init::Ones).unwrap();
        scope.pp("ab").var("w", 1, Init::Constant(2.0)).unwrap();
        let buffer = Tensor::new(&[1_u32, 2], &Device::Cpu).unwrap();
        scope.pp("a").buffer("count", buffer.clone()).unwrap();
        let names: Vec<String> = params.vars().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a.0.w", "ab.w", "z.w"]);
        let under: Vec<String> = params.vars_under("a").into_iter().map(|(name, _)| name).collect();
        assert_eq!(under, ["a.0.w"]);
        assert_eq!(params.vars_under("").len(), 3);
        assert_eq!(params.count(), 6);
        for error in [
            scope.pp("z").var("w", 2, Init::Zeros).unwrap_err(),
            scope.pp("a").var("count", 2, Init::Zeros).unwrap_err(),
            scope.pp("ab").buffer("w", buffer).unwrap_err(),
        ] {
            assert!(error.to_string().contains("exists already"), "{error}");
        }
    }

    #[test]
    fn what_no_machine_holds_is_refused_before_it_is_made() {
        let scope = Params::new(0, &Device::Cpu).root();
        for shape in [(usize::MAX, 2), (4_000_000_000, 64)] {
            let error = scope.var("w", shape, Init::Zeros).unwrap_err().to_string();
            assert!(error.contains("parameter `w`: expected at most"), "{error}");
        }
    }

    #[test]
    fn a_state_is_a_copy_and_comes_back() {
        let params = Params::new(1, &Device::Cpu);
        let weight = params.root().var("w", 4, Init::Normal { std: 1.0 }).unwrap();
        let start = Tensor::new(0_f32, &Device::Cpu).unwrap();
        let buffer = params.root().buffer("mean", start.clone()).unwrap();
        let before = values(&weight);
        let snapshot = params.snapshot().unwrap();
        params.vars()[0]
            .1
            .set(&Tensor::ones(4, DType::F32, &Device::Cpu).unwrap())
            .unwrap();
        buffer.set(&(&start + 5.0).unwrap()).unwrap();
        assert_eq!(values(&snapshot["w"]), before);
        assert_eq!(start.to_scalar::<f32>().unwrap(), 0.0);
        params.restore(&snapshot).unwrap();
        assert_eq!(values(&weight), before);
        assert_eq!(buffer.to_scalar::<f32>().unwrap(), 0.0);
        // The state stays a copy after it was loaded.
        params.vars()[0]
            .1
            .set(&Tensor::ones(4, DType::F32, &Device::Cpu).unwrap())
            .unwrap();
        assert_eq!(values(&snapshot["w"]), before);
    }

    #[test]
    fn a_state_that_does_not_fit_changes_nothing() {
        let params = Params::new(1, &Device::Cpu);
        let scope = params.root();
        let kept = scope.var("a", 2, Init::Ones).unwrap();
        scope.var("b", 2, Init::Ones).unwrap();
        scope.var("c", 2, Init::Ones).unwrap();
        let mut state = params.state().unwrap();
        state.insert("a".into(), Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap());
        state.insert("b".into(), Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap());
        state.insert("d".into(), Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap());
        state.remove("c");
        let error = params.load(&state).unwrap_err().to_string();
        for part in [
            "`b` is F32 [3], expected F32 [2]",
            "`c` [2] is missing",
            "`d` is unexpected",
        ] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(values(&kept), [1.0, 1.0]);
    }

    #[test]
    fn gradients_reach_a_parameter() {
        let params = Params::new(1, &Device::Cpu);
        let weight = params.root().var("w", 2, Init::Ones).unwrap();
        let grads = (weight.sqr().unwrap() * 3.0)
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        assert_eq!(values(grads.get(&params.vars()[0].1).unwrap()), [6.0, 6.0]);
    }
}
