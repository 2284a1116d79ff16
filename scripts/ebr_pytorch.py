"""Explicit basis reallocation (EBR) in PyTorch, independent of the Rust code: to take along, and to check it by.

    python scripts/ebr_pytorch.py            train each kind of turn for 50 steps and write the expected losses and weights
    python scripts/ebr_pytorch.py --check    compare with what is written; exit status 1 where something differs

The expected values are crates/mmcollapse-models/tests/fixtures/ebr.json, which `cargo t` compares the Rust training with, to 1e-4.
Weights and inputs are given by formulas, so that both sides start alike without exchanging files. Made with torch 2.15.

EBR (Chaudhuri et al., ICML 2025, section 4.3) puts a head h and a decoder hinv on each encoder fbar. With g = h(fbar(x)) and a
discriminator psi that tells modalities apart,

    L_md   = sum over modalities i of CE(psi(g_i), i)
    psi    <- psi  - rate * grad L_md
    fbar,h <- ...  - rate * (grad L_sem - weight * grad L_md)
    hinv, fusion <- ... - rate * grad L_sem

Here both gradients are taken apart and added; the Rust code reverses one gradient in a single backward pass.
"""

import json
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

OUT = Path(__file__).resolve().parent.parent / "crates/mmcollapse-models/tests/fixtures/ebr.json"
torch.set_default_dtype(torch.float64)
STEPS, SAMPLES, CLASSES, INPUTS = 50, 12, 3, {"a": 5, "b": 4}
WIDTH, HIDDEN, LATENT, PSI_HIDDEN, FUSED = 6, 16, 8, 7, 9


def two_layers(names, inputs, hidden, outputs):
    return nn.ModuleDict({names[0]: nn.Linear(inputs, hidden), names[1]: nn.Linear(hidden, outputs)})


def apply(layers, x, last=lambda x: x):
    first, second = layers.values()
    return last(second(torch.relu(first(x))))


class Model(nn.Module):
    """Two encoders, EBR's parts, a fusion by concatenation; parameters have the names that they have in Rust."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm
        self.encoder = nn.ModuleDict({m: two_layers(("hidden", "output"), n, WIDTH, WIDTH) for m, n in INPUTS.items()})
        self.reallocation = nn.ModuleDict({
            "head": nn.ModuleDict({m: two_layers("01", WIDTH, HIDDEN, LATENT) for m in INPUTS}),
            "decoder": nn.ModuleDict({m: two_layers("01", LATENT, HIDDEN, WIDTH) for m in INPUTS}),
            "psi": two_layers("01", LATENT, PSI_HIDDEN, len(INPUTS)),
        })
        self.fusion = two_layers(("hidden", "classifier"), WIDTH * len(INPUTS), FUSED, CLASSES)
        with torch.no_grad():
            for name, p in self.named_parameters():
                phase = sum(name.encode()) % 97 / 10
                scale = 0.1 if p.dim() == 1 else 1.8 / math.sqrt(p.shape[1])
                p.copy_(torch.tensor([math.sin(0.7 * i + phase) * scale for i in range(p.numel())]).view_as(p))

    def latents(self, x):
        g = {m: apply(self.reallocation["head"][m], apply(self.encoder[m], x[m], torch.relu)) for m in INPUTS}
        return {m: F.layer_norm(v, (LATENT,)) for m, v in g.items()} if self.norm else g

    def forward(self, x):
        g = self.latents(x)
        f = [apply(self.reallocation["decoder"][m], g[m]) for m in INPUTS]
        return g, apply(self.fusion, torch.cat(f, 1))


def data():
    value = lambda m, i, j: math.sin(1.1 * i + 0.9 * j + m) + 1.5 * math.cos(2.1 * (i % CLASSES) + 1.3 * j + m)
    x = {
        name: torch.tensor([[value(m, i, j) for j in range(n)] for i in range(SAMPLES)])
        for m, (name, n) in enumerate(INPUTS.items())
    }
    return x, torch.tensor([i % CLASSES for i in range(SAMPLES)])


def reduce(terms, how):
    """All modalities have all samples here, so that the mean over rows is the mean of the means."""
    return sum(terms) if how == "sum" else sum(terms) / len(terms)


def phases(turns, turn, lasting):
    """Names of the phases, given L_sem after each epoch so far; one epoch is one step."""
    cycle = {
        "joint": ["joint"],
        "alternate": ["semantic", "adversarial"],
        "psi_then_encoders": ["semantic", "psi", "encoders"],
        "semantic_then_both": ["semantic", "joint"],
    }[turns]
    stopped = False

    def phase(losses):
        nonlocal stopped
        n, length = len(losses), turn * len(cycle)
        # A turn of L_sem is just over: did it end lower than the one before?
        if lasting and n % length == turn and n > length:
            stopped = stopped or losses[n - 1] >= losses[n - 1 - length]
        return "semantic" if stopped else cycle[n // turn % len(cycle)]

    return phase


def train(kind):
    model, (x, y) = Model(kind["norm"]), data()
    named = dict(model.named_parameters())
    psi = [n for n in named if n.startswith("reallocation.psi")]
    below = [n for n in named if n.startswith(("encoder", "reallocation.head"))]
    rest = [n for n in named if n not in psi and n not in below]
    optimizer = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[kind["optimizer"]]
    optimizer = optimizer([
        {"params": [named[n] for n in below + rest], "lr": kind["rate"]},
        {"params": [named[n] for n in psi], "lr": kind["psi_rate"] * kind["rate"]},
    ])
    phase, semantic, modality, names = phases(kind["turns"], kind["turn_epochs"], kind["lasting"]), [], [], []
    for _ in range(STEPS):
        name = phase(semantic)
        g, logits = model(x)
        l_sem = F.cross_entropy(logits, y)
        target = [torch.full((SAMPLES,), i) for i in range(len(INPUTS))]
        says = lambda g: [apply(model.reallocation["psi"], v) for v in g.values()]
        l_md = reduce([F.cross_entropy(s, t) for s, t in zip(says(g), target)], kind["md"])
        # What psi descends: L_md, and R1 (Mescheder et al. 2018) where there is one.
        l_psi = l_md
        if kind["penalty"]:
            fixed = {m: v.detach().requires_grad_() for m, v in g.items()}
            slopes = []
            for i, (v, s) in enumerate(zip(fixed.values(), says(fixed))):
                margin = s[:, i] - (s.sum(1) - s[:, i]) / (len(INPUTS) - 1)
                (slope,) = torch.autograd.grad(margin.sum(), v, create_graph=True)
                slopes.append(slope.square().sum(1).mean())
            l_psi = l_psi + kind["penalty"] * reduce(slopes, kind["md"])
        # What encoders and heads descend beside L_sem: the opposite of L_md, or psi's confusion.
        if kind["adversary"] == "reversal":
            l_below = -kind["weight"] * l_md
        else:
            confusion = [-F.log_softmax(s, 1).mean() for s in says(g)]
            l_below = kind["weight"] * reduce(confusion, kind["md"])
        zero = lambda: {n: None for n in named}
        gradients = zero()

        def add(loss, names):
            for n, grad in zip(names, torch.autograd.grad(loss, [named[n] for n in names], retain_graph=True)):
                gradients[n] = grad if gradients[n] is None else gradients[n] + grad

        if name in ("joint", "semantic"):
            add(l_sem, below + rest)
        if name in ("joint", "adversarial", "psi"):
            add(l_psi, psi)
        if name in ("joint", "adversarial", "encoders"):
            add(l_below, below)
        for n, p in named.items():
            p.grad = gradients[n]
        optimizer.step()
        semantic.append(l_sem.item())
        modality.append(l_md.item())
        names.append(name)
    return {
        "options": kind["options"],
        "optimizer": {"kind": kind["optimizer"], "lr": kind["rate"]},
        "phases": names,
        "semantic": semantic,
        "modality": modality,
        "weights": {n: p.detach().flatten().tolist() for n, p in named.items()},
    }


def kind(name, **changed):
    """A training, and the options by which the Rust code has the same."""
    k = dict(turns="alternate", turn_epochs=5, lasting=False, adversary="reversal", weight=1.0, md="sum", norm=False,
             penalty=0.0, psi_rate=1.0, optimizer="sgd", rate=0.05) | changed
    k["options"] = {
        "regime": "literal", "hidden": HIDDEN, "latent": LATENT, "psi_hidden": PSI_HIDDEN, "turns": k["turns"],
        "turn_epochs": k["turn_epochs"], "lasting_stop": k["lasting"], "adversary": k["adversary"], "lambda_md": k["weight"],
        "md": k["md"], "latent_norm": k["norm"], "norm_gain": False, "gradient_penalty": k["penalty"],
        "psi_rate": k["psi_rate"],
    }
    return name, k


KINDS = dict([
    kind("in turns, as the paper writes it", rate=0.1, weight=0.1),
    kind("in turns, until the stopping rule ends them", rate=0.2, weight=0.5, lasting=True),
    kind("in every step", turns="joint", weight=0.1, rate=0.1),
    kind("in every step, by Adam, bounded", turns="joint", weight=0.1, md="mean", norm=True, optimizer="adam", rate=0.003),
    kind("psi, then the encoders to confuse it", turns="psi_then_encoders", adversary="confusion", md="pooled", rate=0.2),
    kind("with a gradient penalty", turns="joint", weight=0.1, penalty=0.2, norm=True, rate=0.03),
    kind("a turn of L_sem, a turn of both, psi faster", turns="semantic_then_both", weight=0.1, norm=True, psi_rate=8.0, rate=0.03),
])


def rounded(value):
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value


if __name__ == "__main__":
    made = rounded({name: train(k) for name, k in KINDS.items()})
    if "--check" in sys.argv:
        same = json.loads(OUT.read_text()) == made
        print("as written" if same else f"differs from {OUT}")
        sys.exit(0 if same else 1)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(made, separators=(",", ":")) + "\n")
    for name, run in made.items():
        ends = f"L_sem {run['semantic'][0]:.4f} to {run['semantic'][-1]:.4f}, L_md {run['modality'][0]:.4f} to {run['modality'][-1]:.4f}"
        print(f"{name}: {ends}; {len([p for p in run['phases'] if p == 'semantic'])} semantic steps")
