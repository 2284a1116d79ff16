use mmcollapse_nn::{*, layers::*, optim::*, losses::*};
use std::time::Instant;
fn time(name: &str, n: usize, mut f: impl FnMut()) { f(); let t = Instant::now(); for _ in 0..n { f() } println!("{name}: {:.3} ms", t.elapsed().as_secs_f64() * 1e3 / n as f64); }
#[test]
fn speed() {
    let cpu = &Device::Cpu;
    for (vars, n) in [(20, 500), (20, 50_000)] {
        let params = Params::new(0, cpu);
        let ts: Vec<Tensor> = (0..vars).map(|i| params.root().var(&format!("w{i}"), n, Init::Normal { std: 1. }).unwrap()).collect();
        let mut loss = ts[0].sqr().unwrap().sum_all().unwrap();
        for t in &ts[1..] { loss = (loss + t.sqr().unwrap().sum_all().unwrap()).unwrap(); }
        let mut grads = loss.backward().unwrap();
        for kind in [OptimizerKind::Sgd, OptimizerKind::Adam, OptimizerKind::AdamW] {
            let mut opt = Optimizer::new(OptimizerConfig::new(kind, 1e-3), params.vars()).unwrap();
            time(&format!("{kind:?} {vars} x {n}"), 50, || opt.step(&grads, 1.0).unwrap());
        }
        let all = params.vars();
        time(&format!("clip {vars} x {n}"), 50, || { clip_grad_norm(&mut grads, &all, 1e9).unwrap(); });
    }
    let params = Params::new(0, cpu);
    let gru = Gru::new(&params.root().pp("gru"), 64, 128).unwrap();
    let mut s = random::Stream::new(0, "x");
    let x = Tensor::from_vec(s.normal_vec(64 * 48 * 64), (64, 48, 64), cpu).unwrap();
    time("gru forward 64x48x64->128", 5, || { gru.forward(&x).unwrap(); });
    time("gru forward+backward", 5, || { gru.forward(&x).unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap(); });
    let crd = Crd::new(&params.root().pp("crd"), 84, 84, 1050, CrdConfig::default()).unwrap();
    let st = Var::from_vec(s.normal_vec(64 * 84), (64, 84), cpu).unwrap();
    let index: Vec<usize> = (0..64).collect();
    let mut step = 0;
    time("crd 64 of 1050 forward", 10, || { step += 1; crd.loss(&st, &st, &index, Mode::Train { seed: 0, step }).unwrap(); });
    time("crd forward+backward", 10, || { step += 1; crd.loss(&st, &st, &index, Mode::Train { seed: 0, step }).unwrap().backward().unwrap(); });
    time("mask 262k", 20, || { random::Stream::new(1, "m").mask_vec(262_144, 0.5, 2.0); });
    time("x*mask 262k", 20, || { let a = Tensor::zeros((64, 4096), DType::F32, cpu).unwrap(); (&a * &a).unwrap(); });
    let d = Dropout::new(&params.root().pp("d"), 0.5).unwrap();
    let big = Tensor::zeros((64, 4096), DType::F32, cpu).unwrap();
    time("dropout 64x4096", 20, || { step += 1; d.forward(&big, Mode::Train { seed: 0, step }).unwrap(); });
    let b = AttentionBlock::new(&params.root().pp("b"), 64, 4, 4, 0.1).unwrap();
    let xv = Var::from_tensor(&x).unwrap();
    time("attention block 64x48x64 f+b", 5, || { step += 1; b.forward(&xv, None, Mode::Train { seed: 0, step }).unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap(); });
    let bytes = safetensors::to_bytes(&params.state().unwrap(), &Default::default()).unwrap();
    time(&format!("to_bytes {}", bytes.len()), 20, || { safetensors::to_bytes(&params.state().unwrap(), &Default::default()).unwrap(); });
}
