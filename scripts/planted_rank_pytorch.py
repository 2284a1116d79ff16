"""The experiment `planted-rank` in PyTorch, independent of the Rust code: data, model and training are written anew from their description.

    python scripts/planted_rank_pytorch.py [SEEDS]      prints accuracies (%) over 8 or SEEDS seeds; two minutes

Eight classes, each with a feature; the label is the class of the largest. Where modalities are distinct, each holds four of the features,
where they are redundant, all of them. Besides, each modality has two noise features, four times as strong, and the second has more.
The fusion layer is a product of rank r. The draws are others than those of results/planted-rank: of 36 means 33 agree with it within two
standard errors. They have no part in any verdict. Made with torch 2.15.
"""

import sys

import numpy as np
import torch
from torch import nn

WIDTH, CLASSES, TRAIN, TEST = 40, 8, 1024, 2048
EPOCHS, BATCH = 40, 64
torch.set_num_threads(1)  # layers this small only lose by more


def draw(rng, n, directions, more, distinct):
    """Samples of both modalities, and labels."""
    features = rng.standard_normal((n, CLASSES))
    halves = (features[:, :4], features[:, 4:]) if distinct else (features, features)
    inputs = []
    for modality, own in enumerate(halves):
        noise = 4 * rng.standard_normal((n, 2 + more * modality))
        x = np.concatenate([own, noise], 1) @ directions[modality].T + 0.3 * rng.standard_normal((n, WIDTH))
        inputs.append(torch.tensor(x, dtype=torch.float32))
    return inputs, torch.tensor(features.argmax(1))


class Concat(nn.Module):
    """Linear encoders and one hidden layer of a given rank; a missing modality is zeros after its encoder."""

    def __init__(self, rank):
        super().__init__()
        self.encoders = nn.ModuleList([nn.Linear(WIDTH, 16) for _ in range(2)])
        self.down, self.up = nn.Linear(32, rank, bias=False), nn.Linear(rank, 32)
        self.out = nn.Linear(32, CLASSES)

    def forward(self, x, present=(1, 1)):
        encodings = [encoder(x) * p for encoder, x, p in zip(self.encoders, x, present)]
        return self.out(torch.relu(self.up(self.down(torch.cat(encodings, 1)))))


def accuracies(seed, rank, more, distinct):
    """Test accuracy with both modalities, with the first and with the second alone."""
    rng = np.random.default_rng(9000 + seed)
    torch.manual_seed(seed)
    count = (4 if distinct else CLASSES) + 2
    directions = [np.linalg.qr(rng.standard_normal((WIDTH, count + more * m)))[0] for m in range(2)]
    x, y = draw(rng, TRAIN, directions, more, distinct)
    x_test, y_test = draw(rng, TEST, directions, more, distinct)
    model = Concat(rank)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * TRAIN // BATCH)
    for _ in range(EPOCHS):
        for batch in torch.randperm(TRAIN).split(BATCH):
            loss = nn.functional.cross_entropy(model([x[batch] for x in x]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        return [100 * (model(x_test, p).argmax(1) == y_test).float().mean().item() for p in ((1, 1), (1, 0), (0, 1))]


def main():
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    print("modalities  noise more  rank          both      the first     the second")
    for distinct in (True, False):
        for more in (1, 16):
            for rank in (4, 8, 32):
                found = np.array([accuracies(seed, rank, more, distinct) for seed in range(seeds)])
                errors = found.std(0, ddof=1) / seeds**0.5
                cells = "  ".join(f"{mean:6.1f} ± {error:.1f}" for mean, error in zip(found.mean(0), errors))
                print(f"{'distinct' if distinct else 'redundant':10}  {more:10}  {rank:4}  {cells}", flush=True)


if __name__ == "__main__":
    main()
