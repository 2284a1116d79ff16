"""Known answers for the fusions `gmc` and `mmvae` and their losses, computed by PyTorch.

    python scripts/fixtures_generative.py

writes crates/mmcollapse-nn/tests/fixtures/generative.json and crates/mmcollapse-models/tests/fixtures/{gmc,mmvae}.json, which are
committed; the tests need no Python. Made with torch 2.15, in double precision. Samples are computed one by one from what they
have, without masks. Weights, encodings, inputs and noise of the models are those of formulas, so that they need no file.
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Laplace

CRATES = Path(__file__).resolve().parent.parent / "crates"
torch.set_default_dtype(torch.float64)


def write(crate, name, value):
    folder = CRATES / crate / "tests/fixtures"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(short(value), separators=(",", ":")) + "\n")


def short(value):
    if isinstance(value, dict):
        return {k: short(v) for k, v in value.items()}
    if isinstance(value, list):
        return [short(v) for v in value]
    return float(f"{value:.14g}") if isinstance(value, float) else value


def tensor(t):
    return {"shape": list(t.shape), "data": t.detach().flatten().tolist()}


def inputs(*shape):
    """Normal numbers of three decimals."""
    return (torch.randn(*shape) * 1000).round() / 1000


# --- losses -----------------------------------------------------------------------------------------------


def contrast(joint, own, temperature):
    """As `super_gmc_loss` in GMC's code: of each of the 2 B rows its partner among the 2 B - 1 others."""
    b = len(joint)
    rows = torch.cat([joint, own])
    total = 0
    for i in range(2 * b):
        odds = [torch.exp(rows[i] @ rows[j] / temperature) for j in range(2 * b)]
        total = total - torch.log(odds[(i + b) % (2 * b)] / sum(o for j, o in enumerate(odds) if j != i))
    return total / (2 * b)


def importance(objective, log_weights, samples):
    """The bound of each column of log_weights [k, ..], its gradient by IWAE, DReG, or DReG as MMVAE's code has it.

    The code's hook is on a concatenation of the samples that the loss does not read, so it is never called."""
    bound = torch.logsumexp(log_weights, 0) - math.log(len(log_weights))
    if objective == "iwae":
        return bound
    weights = torch.softmax(log_weights, 0).detach()
    hooked = samples if objective == "dreg" else torch.cat([samples])
    hooked.register_hook(lambda gradient: weights.unsqueeze(-1) * gradient)
    # The value of the bound, the gradient of the weighted sum.
    surrogate = (weights * log_weights).sum(0)
    return bound.detach() + surrogate - surrogate.detach()


def losses():
    torch.manual_seed(5)
    a, b = inputs(5, 4).requires_grad_(), inputs(5, 4).requires_grad_()
    loss = contrast(F.normalize(a, dim=1), F.normalize(b, dim=1), 0.3)
    loss.backward()
    known = {
        "nt_xent": {
            "a": tensor(a), "b": tensor(b), "temperature": 0.3, "loss": loss.item(),
            "grad_a": tensor(a.grad), "grad_b": tensor(b.grad),
        }
    }
    # A decoder W of 3 numbers from 2, 4 samples of each of 3 latents.
    leaves = {
        "location": inputs(3, 2), "scale": inputs(3, 2).abs() + 0.3, "prior": inputs(2).abs() + 0.5, "weight": inputs(2, 3)
    }
    noise, x = inputs(4, 3, 2), inputs(3, 3)
    known["importance"] = {name: tensor(leaf) for name, leaf in leaves.items()} | {"noise": tensor(noise), "x": tensor(x)}
    for objective in ("iwae", "dreg", "dreg_as_coded"):
        own = {name: leaf.clone().requires_grad_() for name, leaf in leaves.items()}
        location, scale = own["location"], own["scale"]
        z = location + scale * noise
        q = Laplace(location, scale) if objective == "iwae" else Laplace(location.detach(), scale.detach())
        log_weights = (
            Laplace(torch.zeros(2), own["prior"]).log_prob(z).sum(-1)
            + Laplace(z @ own["weight"], torch.ones(())).log_prob(x).sum(-1)
            - q.log_prob(z).sum(-1)
        )
        bound = importance(objective, log_weights, z)
        bound.sum().backward()
        known["importance"][objective] = {
            "bound": tensor(bound), "grads": {name: tensor(leaf.grad) for name, leaf in own.items()}
        }
    write("mmcollapse-nn", "generative", known)


# --- models -----------------------------------------------------------------------------------------------

NAMES, WIDTHS, CLASSES = "abc", [3, 2, 2], 2
# Modalities that a sample lacks.
MISSING = [[], [1], [0, 2], [], [0, 1, 2]]


def set_known(model):
    """By name in the order of the alphabet: sin(parameter + .7 number) / 2."""
    parameters = sorted(model.named_parameters())
    with torch.no_grad():
        for k, (_, p) in enumerate(parameters):
            p.copy_((torch.sin(k + 0.7 * torch.arange(p.numel())) / 2).reshape(p.shape))
    return parameters


def encoding(i, m):
    return torch.sin(i + m + 1.3 * torch.arange(WIDTHS[m]))


def gradients(parameters):
    return {name: p.grad.flatten().tolist() for name, p in parameters}


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.second(torch.relu(self.first(x)))


class Joint(Residual):
    def __init__(self, joined, width):
        super().__init__(joined)
        self.common = nn.Linear(joined, width)

    def forward(self, x):
        return self.common(super().forward(x))


class Gmc(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.common = nn.ModuleDict({name: nn.Linear(w, width) for name, w in zip(NAMES, WIDTHS)})
        self.joint = Joint(sum(WIDTHS), width)
        self.shared = nn.Linear(width, width)
        self.head = Residual(width)
        self.classifier = nn.Linear(width, CLASSES)

    def represent(self, common):
        return F.normalize(self.shared(common), dim=-1)


def gmc():
    width, temperature, weight = 4, 0.3, 0.7
    model = Gmc(width)
    parameters = set_known(model)
    joints, owns, logits = {}, {name: {} for name in NAMES}, []
    for i, missing in enumerate(MISSING):
        there = [m for m in range(3) if m not in missing]
        z = [encoding(i, m) if m in there else torch.zeros(WIDTHS[m]) for m in range(3)]
        joints[i] = model.represent(model.joint(torch.cat(z)))
        for m in there:
            owns[NAMES[m]][i] = model.represent(model.common[NAMES[m]](z[m]))
        available = [owns[NAMES[m]][i] for m in there]
        if not missing:
            fused = joints[i]
        else:
            fused = torch.stack(available).mean(0) if available else torch.zeros(width)
        logits.append(model.classifier(model.head(fused)))
    loss = 0
    for own in owns.values():
        loss = loss + weight * contrast(torch.stack([joints[i] for i in own]), torch.stack(list(own.values())), temperature)
    (loss + sum((y**2).sum() for y in logits)).backward()
    write("mmcollapse-models", "gmc", {
        "logits": [y.tolist() for y in logits], "contrast": loss.item(), "gradients": gradients(parameters)
    })


class Mmvae(nn.Module):
    def __init__(self, latent, hidden, numbers):
        super().__init__()
        by_name = lambda make: nn.ModuleDict({name: make(m) for m, name in enumerate(NAMES)})
        self.location = by_name(lambda m: nn.Linear(WIDTHS[m], latent))
        self.scale = by_name(lambda m: nn.Linear(WIDTHS[m], latent))
        self.decoder = by_name(lambda m: nn.ModuleDict({
            "hidden": nn.Linear(latent, hidden), "output": nn.Linear(hidden, numbers[m])
        }))
        self.prior = nn.Parameter(torch.zeros(1, latent))
        self.classifier = nn.Linear(latent, CLASSES)


def mmvae():
    latent, hidden, numbers, k, scale, weight = 3, 4, [4, 6, 2], 4, 0.75, 0.7
    beta = {"a": 1, "b": 2.5, "c": 1}
    known = {}
    for objective in ("iwae", "dreg", "dreg_as_coded"):
        model = Mmvae(latent, hidden, numbers)
        parameters = set_known(model)
        spread = lambda v: torch.softmax(v, -1) * latent
        bounds, logits = [], []
        for i, missing in enumerate(MISSING):
            there = [m for m in range(3) if m not in missing]
            z = {m: encoding(i, m) for m in there}
            location = {m: model.location[NAMES[m]](z[m]) for m in there}
            width = {m: spread(model.scale[NAMES[m]](z[m])) + 1e-6 for m in there}
            mean = torch.stack(list(location.values())).mean(0) if there else torch.zeros(latent)
            logits.append(model.classifier(mean))
            if not there:
                continue
            hold = (lambda t: t) if objective == "iwae" else (lambda t: t.detach())
            experts = [Laplace(hold(location[m]), hold(width[m])) for m in there]
            prior = Laplace(torch.zeros(latent), spread(model.prior[0]))
            own = []
            for e in there:
                draws, dims = torch.arange(k)[:, None], torch.arange(latent)[None]
                noise = 2 * torch.sin(1 + 3.1 * draws + 1.7 * e + 0.9 * i + 2.3 * dims)
                samples = location[e] + width[e] * noise  # [k, latent]
                log_weights = prior.log_prob(samples).sum(-1)
                for d in there:
                    x = torch.cos(i + 2 * d + 0.9 * torch.arange(numbers[d]))
                    decoder = model.decoder[NAMES[d]]
                    decoded = decoder["output"](torch.relu(decoder["hidden"](samples)))
                    likelihood = Laplace(decoded, torch.tensor(scale)).log_prob(x).sum(-1)
                    log_weights = log_weights + beta[NAMES[d]] * max(numbers) / numbers[d] * likelihood
                mixture = torch.stack([q.log_prob(samples).sum(-1) for q in experts])
                log_weights = log_weights - torch.logsumexp(mixture, 0) + math.log(len(experts))
                own.append(importance(objective, log_weights, samples))
            bounds.append(sum(own) / len(own))
        loss = -weight * sum(bounds) / len(bounds) / max(numbers)
        (loss + sum((y**2).sum() for y in logits)).backward()
        known[objective] = gradients(parameters)
    write("mmcollapse-models", "mmvae", {
        "logits": [y.tolist() for y in logits], "loss": loss.item(), "gradients": known
    })


if __name__ == "__main__":
    losses()
    gmc()
    mmvae()
