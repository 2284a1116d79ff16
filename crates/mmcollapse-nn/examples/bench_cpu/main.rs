//! Times training steps on the CPU, for `just bench` (`scripts/bench.py` runs this beside PyTorch).
//!
//! Without arguments it answers requests: each line `WORKLOAD SECONDS` on standard input is trained for about
//! that long and answered by one line of JSON with the median time of a step. With arguments, these are the
//! workloads, two seconds each: `bench_cpu smil_32 mlp_128`. `gemm` times a large matrix product instead.
//! The number of threads is `RAYON_NUM_THREADS`.

use std::error::Error;
use std::io::{BufRead, stdin};
use std::time::Instant;

use mmcollapse_nn::optim::{Optimizer, OptimizerConfig, OptimizerKind, clip_factor};
use mmcollapse_nn::random::Stream;
use mmcollapse_nn::{Device, Mode, Params, Result, Tensor, backward, ops};

mod ebr;
mod nets;

/// As in the experiments: the system's allocator returns large blocks at once, and each step pays for new pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use ebr::Ebr;
use nets::{Cnn, Mlp, Net, Smil, Unimodal};

/// Steps before the clock starts: caches, page tables and clock rate settle.
const WARM_UP: usize = 3;

/// Rows and columns of the matrix product that measures the machine's rate.
const GEMM: usize = 1024;

fn main() -> std::result::Result<(), Box<dyn Error>> {
    // In the pool, so that work for several threads starts without waking one up first.
    rayon::ThreadPoolBuilder::new()
        .build()?
        .install(|| {
            let arguments: Vec<String> = std::env::args().skip(1).collect();
            for workload in &arguments {
                mmcollapse_files::say!("{}", answer(workload, 2.0)?);
            }
            if arguments.is_empty() {
                for line in stdin().lock().lines() {
                    let line = line?;
                    let (workload, seconds) = line
                        .split_once(' ')
                        .ok_or_else(|| format!("expected `WORKLOAD SECONDS`, got `{line}`"))?;
                    mmcollapse_files::say!("{}", answer(workload, seconds.trim().parse()?)?);
                }
            }
            Ok(())
        })
        .map_err(|error: Box<dyn Error + Send + Sync>| error as Box<dyn Error>)
}

/// A line of JSON with what was measured.
fn answer(workload: &str, seconds: f64) -> std::result::Result<String, Box<dyn Error + Send + Sync>> {
    let (median, steps, gflop) = if workload == "gemm" {
        time_gemm(seconds)
    } else {
        let (name, batch) = workload
            .rsplit_once('_')
            .and_then(|(name, batch)| Some((name, batch.parse().ok()?)))
            .ok_or_else(|| format!("expected NAME_BATCH or gemm, got `{workload}`"))?;
        time_training(name, batch, seconds)?
    };
    Ok(format!(
        "{{\"workload\":\"{workload}\",\"variant\":\"mmcollapse\",\"threads\":{},\"steps\":{steps},\
         \"seconds_per_step\":{median:.9},\"gflop_per_step\":{gflop:.6}}}",
        rayon::current_num_threads()
    ))
}

fn time_gemm(seconds: f64) -> (f64, usize, f64) {
    let mut stream = Stream::new(0, "bench");
    let a = stream.normal_vec(GEMM * GEMM);
    let b = stream.normal_vec(GEMM * GEMM);
    let mut out = vec![0.0; GEMM * GEMM];
    let (median, steps) = time(seconds, || {
        ops::gemm(
            &mut out,
            ops::Matrix::new(&a, GEMM, GEMM),
            ops::Matrix::new(&b, GEMM, GEMM),
            false,
        );
        Ok(())
    })
    .unwrap_or_default();
    (median, steps, 2.0 * (GEMM as f64).powi(3) * 1e-9)
}

fn time_training(name: &str, batch: usize, seconds: f64) -> Result<(f64, usize, f64)> {
    let params = Params::new(0, &Device::Cpu);
    let scope = params.root();
    let net: Box<dyn Net> = match name {
        "cnn" => Box::new(Cnn::new(&scope)?),
        "smil" => Box::new(Smil::new(&scope)?),
        "smil_image" => Box::new(Unimodal::image(&scope, 0.5)?),
        "smil_sound" => Box::new(Unimodal::sound(&scope, 0.25)?),
        "mlp" => Box::new(Mlp::new(&scope)?),
        "ebr" => Box::new(Ebr::new(&scope)?),
        _ => {
            mmcollapse_nn::candle::bail!("no workload `{name}`; there are cnn, smil, smil_image, smil_sound, mlp, ebr")
        }
    };
    let mut stream = Stream::new(0, "bench");
    let inputs: Vec<Tensor> = net
        .inputs()
        .iter()
        .map(|shape| {
            let shape = [&[batch], &shape[..]].concat();
            Tensor::from_vec(stream.normal_vec(shape.iter().product()), shape, &Device::Cpu)
        })
        .collect::<Result<_>>()?;
    let targets: Vec<u32> = (0..batch).map(|_| stream.below(10) as u32).collect();
    let vars = params.vars();
    let mut optimizer = Optimizer::new(OptimizerConfig::new(OptimizerKind::AdamW, 1e-3), vars.clone())?;
    let mut step = 0;
    let (median, steps) = time(seconds, || {
        let loss = net.loss(&inputs, &targets, Mode::Train { seed: 0, step })?;
        let gradients = backward(&loss, &vars)?;
        let scale = match net.clip_norm() {
            Some(norm) => clip_factor(&gradients, &vars, norm)?.factor,
            None => 1.0,
        };
        optimizer.step_scaled(&gradients, scale, 1.0)?;
        step += 1;
        Ok(())
    })?;
    Ok((median, steps, 2e-9 * (net.multiply_adds() * batch) as f64))
}

/// The median time of a call in seconds, and the number of calls.
fn time(seconds: f64, mut call: impl FnMut() -> Result<()>) -> Result<(f64, usize)> {
    for _ in 0..WARM_UP {
        call()?;
    }
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < 5 || start.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok((times[times.len() / 2], times.len()))
}
