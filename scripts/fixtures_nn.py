"""Writes crates/mmcollapse-nn/tests/fixtures/step.json: one training step of SMIL's encoders in PyTorch.

Weights, inputs and labels follow from a formula that tests/pytorch_step.rs repeats, so the file holds only what
PyTorch makes of them: the loss, and for each tensor after the step its sum, its sum of squares and every 29th value.

    python3 scripts/fixtures_nn.py > crates/mmcollapse-nn/tests/fixtures/step.json
"""

import json

import torch
from torch.nn import functional as F

from bench_pytorch import smil_image, smil_sound

BATCH = 6
EVERY = 29
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-2),
    # SMIL's own settings.
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-3, weight_decay=1e-4),
}


def pattern(shape, salt):
    """Numbers in -1..1 without a visible order, the same in every language: halves of integers are exact."""
    n = torch.Size(shape).numel()
    values = [((i * 7919 + salt * 104729) % 10007) / 5003.5 - 1.0 for i in range(n)]
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def start(net):
    """Every parameter follows the pattern, scaled as PyTorch's default start; norms start off one and zero."""
    for salt, (name, parameter) in enumerate(sorted(net.named_parameters())):
        values = pattern(parameter.shape, salt)
        if "norm" in name:
            values = values * 0.3 + (1.0 if name.endswith("weight") else 0.0)
        else:
            fan_in = dict(net.named_parameters())[name.rsplit(".", 1)[0] + ".weight"][0].numel()
            values = values / fan_in**0.5
        parameter.data = values.float()


def summary(tensor):
    flat = tensor.detach().double().flatten()
    return {"sum": flat.sum().item(), "squares": (flat * flat).sum().item(), "values": flat[::EVERY].tolist()}


def step(make, optimizer):
    net = make(dropout=0.0).train()
    start(net)
    x = pattern((BATCH, *net.shapes[0]), 1000).float()
    targets = torch.tensor([(3 * i + 1) % 10 for i in range(BATCH)])
    optimizer = OPTIMIZERS[optimizer](net.parameters())
    loss = F.cross_entropy(net(x), targets)
    loss.backward()
    optimizer.step()
    state = {name: t for name, t in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    return {"loss": loss.item(), "after": {name: summary(state[name]) for name in sorted(state)}}


def main():
    torch.set_num_threads(1)
    fixtures = {
        f"{name}_{optimizer}": step(make, optimizer)
        for name, make in (("image", smil_image), ("sound", smil_sound))
        for optimizer in OPTIMIZERS
    }
    print(json.dumps({"torch": torch.__version__, "steps": fixtures}, indent=1))


if __name__ == "__main__":
    main()
