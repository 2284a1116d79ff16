"""A method of another program beside ours: late fusion in PyTorch. It reads an export and writes predictions (docs/compare.md).

    cargo mmcollapse export avmnist exchange
    python scripts/example_method.py exchange predictions.parquet
    cargo mmcollapse compare table4 predictions.parquet --name my-method

Needs torch, numpy and pyarrow. EPOCHS changes the number of epochs.
"""

import json
import os
import pathlib
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn
from torch.nn.functional import cross_entropy


def arrays(path):
    """The arrays of a safetensors file: the length of a header, the header as JSON, the numbers."""
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    kinds = {"F32": np.float32, "I64": np.int64, "U8": np.uint8}
    header = {name: of for name, of in json.loads(raw[8:start]).items() if name != "__metadata__"}
    flat = {n: np.frombuffer(raw[start:][slice(*of["data_offsets"])], kinds[of["dtype"]]) for n, of in header.items()}
    return {name: torch.from_numpy(flat[name].reshape(of["shape"]).copy()) for name, of in header.items()}


class LateFusion(nn.Module):
    """A network a modality; the mean of the logits of those that a sample has."""

    def __init__(self, widths, classes):
        super().__init__()
        self.nets = nn.ModuleList(nn.Sequential(nn.Flatten(), nn.Linear(w, 64), nn.ReLU(), nn.Linear(64, classes)) for w in widths)

    def forward(self, inputs, seen):
        each = torch.stack([net(x) for net, x in zip(self.nets, inputs)], 1)  # [n, modalities, classes]
        weights = seen / seen.sum(1, keepdim=True).clamp(min=1)
        return each, (weights[:, :, None] * each).sum(1)


def trained(data, names, classes, seed):
    torch.manual_seed(seed)
    inputs = [data[f"train.{name}"] for name in names]
    labels, seen = data["train.labels"], data["train.seen"].float()
    model = LateFusion([x[0].numel() for x in inputs], classes)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, weight_decay=1e-4)
    for _ in range(int(os.environ.get("EPOCHS", 40))):
        for batch in torch.randperm(len(labels)).split(32):
            each, _ = model([x[batch] for x in inputs], seen[batch])
            losses = [cross_entropy(each[:, m], labels[batch], reduction="none") for m in range(len(names))]
            loss = (torch.stack(losses, 1) * seen[batch]).sum() / len(batch)  # a modality that is missing teaches nothing
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


def main(folder, to):
    torch.set_num_threads(1)  # products this small take longer on several
    rows = {"seed": [], "sample": [], "condition": [], "data": [], "p": []}
    for draw in json.loads((folder / "index.json").read_text())["draws"]:
        names = [modality["name"] for modality in draw["modalities"]]
        for training in draw["trainings"]:
            data = arrays(folder / draw["file"]) | arrays(folder / training["file"])
            model = trained(data, names, len(draw["classes"]), draw["seed"])
            for condition in training["conditions"]:
                seen, split = data[condition["seen"]].float(), condition["split"]
                every = condition["samples"] == len(seen)
                asked = torch.arange(len(seen)) if every else seen.any(1).nonzero()[:, 0]
                with torch.no_grad():
                    _, logits = model([data[f"{split}.{name}"][asked] for name in names], seen[asked])
                rows["seed"] += [draw["seed"]] * len(asked)
                rows["sample"] += asked.tolist()
                rows["condition"] += [condition["name"]] * len(asked)
                rows["data"] += [condition["data"]] * len(asked)
                rows["p"] += logits.double().softmax(1).tolist()
    probabilities = np.array(rows.pop("p"))
    columns = {f"p{c}": probabilities[:, c] for c in range(probabilities.shape[1])}
    pq.write_table(pa.table(rows | columns), to)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2])
