"""Known answers for the fusion `gmc` and its loss, computed by PyTorch.

    python scripts/fixtures_generative.py

writes crates/mmcollapse-nn/tests/fixtures/generative.json and crates/mmcollapse-models/tests/fixtures/gmc.json, which are
committed; the tests need no Python. Made with torch 2.15, in double precision. Samples are computed one by one from what they
have, without masks. Weights and encodings of the model are those of formulas, so that they need no file.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

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


if __name__ == "__main__":
    losses()
    gmc()
