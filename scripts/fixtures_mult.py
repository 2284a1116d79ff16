"""Known answers for the fusion `mult`, computed by PyTorch.

    python scripts/fixtures_mult.py

writes crates/mmcollapse-models/tests/fixtures/mult.json, which is committed; the test needs no Python. Made with torch 2.15, in
double precision. Each sample is computed by itself from the tokens it has, without padding or mask. Weights are those of a
formula, so that they need no file.
"""

import json
import math
from pathlib import Path

import torch
from torch import nn

OUT = Path(__file__).resolve().parent.parent / "crates/mmcollapse-models/tests/fixtures"
torch.set_default_dtype(torch.float64)

NAMES, WIDTHS = "abc", [3, 2, 2]
WIDTH, HEADS, LAYERS, CLASSES, PLACES = 4, 2, 2, 2, 3
# Per sample and modality the places that hold a token.
TAKEN = [
    [[0, 1, 2], [0], [0, 2]],
    [[0, 1], [], [1]],
    [[], [], [0, 1, 2]],
    [[], [], []],
]


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.layer_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x, source):
        """`source` None: attention to itself. Empty: none."""
        own = self.layer_norms[0](x)
        read = own if source is None else self.layer_norms[0](source)
        if read.shape[1] > 0:
            x = x + self.self_attn(own, read, read)[0]
        return x + self.fc2(torch.relu(self.fc1(self.layer_norms[1](x))))


class Transformer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.ModuleList(Block(width) for _ in range(LAYERS))
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, x, source=None):
        for layer in self.layers:
            x = layer(x, source)
        return self.layer_norm(x)


def placed(x, places):
    """Times the root of the width, plus sine and cosine of the place, from 1."""
    width = x.shape[2]
    half = width // 2
    frequencies = torch.exp(-torch.arange(half) * (math.log(10000) / (half - 1)))
    angles = (torch.tensor(places, dtype=torch.float64) + 1)[:, None] * frequencies
    return x * math.sqrt(width) + torch.cat([angles.sin(), angles.cos()], 1)[None]


class Mult(nn.Module):
    def __init__(self):
        super().__init__()
        others = lambda m: [n for n in NAMES if n != m]
        joined = len(NAMES) * 2 * WIDTH
        self.projection = nn.ModuleDict({m: nn.Linear(w, WIDTH, bias=False) for m, w in zip(NAMES, WIDTHS)})
        self.crossmodal = nn.ModuleDict(
            {m: nn.ModuleDict({n: Transformer(WIDTH) for n in others(m)}) for m in NAMES}
        )
        self.joint = nn.ModuleDict({m: Transformer(2 * WIDTH) for m in NAMES})
        self.first = nn.Linear(joined, joined)
        self.second = nn.Linear(joined, joined)
        self.classifier = nn.Linear(joined, CLASSES)

    def forward(self, tokens, taken):
        """`tokens`: per modality `[PLACES, width]`; `taken`: per modality the places that hold one."""
        z = {
            m: placed(self.projection[m](x[places])[None], places)
            for m, x, places in zip(NAMES, tokens, taken)
        }
        ends = []
        for m, places in zip(NAMES, taken):
            if not places:
                ends.append(torch.zeros(1, 2 * WIDTH))
                continue
            read = [transformer(z[m], z[n]) for n, transformer in self.crossmodal[m].items()]
            ends.append(self.joint[m](placed(torch.cat(read, 2), places))[:, -1])
        h = torch.cat(ends, 1)
        fused = h + self.second(torch.relu(self.first(h)))
        return fused, self.classifier(fused)


def main():
    model = Mult()
    # By name in the order of the alphabet: sin(parameter + .7 number) / 2.
    parameters = sorted(model.named_parameters())
    with torch.no_grad():
        for k, (_, parameter) in enumerate(parameters):
            parameter.copy_((torch.sin(k + 0.7 * torch.arange(parameter.numel())) / 2).reshape(parameter.shape))
    fused, logits, loss = [], [], 0
    for i, taken in enumerate(TAKEN):
        tokens = [
            torch.sin(i + m + 1.3 * torch.arange(PLACES * w)).reshape(PLACES, w) for m, w in enumerate(WIDTHS)
        ]
        f, y = model(tokens, taken)
        fused.append(f[0].tolist())
        logits.append(y[0].tolist())
        loss = loss + (y**2).sum()
    loss.backward()
    gradients = {name: [p.grad.sum().item(), (p.grad**2).sum().item()] for name, p in parameters}
    short = lambda value: (
        {k: short(v) for k, v in value.items()}
        if isinstance(value, dict)
        else [short(v) for v in value]
        if isinstance(value, list)
        else float(f"{value:.8g}")
    )
    OUT.mkdir(parents=True, exist_ok=True)
    known = short({"fused": fused, "logits": logits, "gradients": gradients})
    (OUT / "mult.json").write_text(json.dumps(known, separators=(",", ":")) + "\n")


main()
