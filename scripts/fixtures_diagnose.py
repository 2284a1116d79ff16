"""Trains a model in which the sound collapses, for docs/diagnose.md and the tests of crates/mmcollapse-diagnose.

    python scripts/fixtures_diagnose.py

Writes crates/mmcollapse-diagnose/tests/fixtures/collapsed.npz, what the model says of 400 held-out samples, and
expected.json, numbers of it by scikit-learn, scipy and numpy. Image and sound are vectors that tell the class about
equally well; the sound comes at a twentieth of the image's scale, and training stops before the fusion has taken it up.
"""

import json
import pathlib

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

torch.manual_seed(0)
to = pathlib.Path(__file__).parent.parent / "crates/mmcollapse-diagnose/tests/fixtures"
to.mkdir(parents=True, exist_ok=True)
CLASSES, WIDTH = 4, 8
means = {name: 1.1 * torch.randn(CLASSES, 12) / 12**0.5 * 2 for name in ["image", "sound"]}
scale = {"image": 1.0, "sound": 0.05}


def samples(n):
    y = torch.randint(CLASSES, (n,))
    return {m: scale[m] * (means[m][y] + torch.randn(n, 12)) for m in means}, y


class Model(nn.Module):
    def __init__(self, modalities):
        super().__init__()
        self.encoders = nn.ModuleDict({m: nn.Sequential(nn.Linear(12, WIDTH), nn.Tanh()) for m in modalities})
        self.fusion = nn.Linear(WIDTH * len(modalities), WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        encoded = {m: encoder(x[m]) for m, encoder in self.encoders.items()}
        fused = torch.relu(self.fusion(torch.cat([encoded[m] for m in sorted(encoded)], 1)))
        return encoded, fused, self.head(fused)


def trained(modalities, steps):
    model = Model(modalities)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(steps):
        x, y = samples(64)
        loss = nn.functional.cross_entropy(model(x)[2], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


model, alone = trained(["image", "sound"], 150), trained(["sound"], 5000)
x, y = samples(400)
zero = {m: torch.zeros_like(v) for m, v in x.items()}
with torch.no_grad():
    encoded, fused, logits = model(x)
    arrays = {f"embedding.{m}": v for m, v in encoded.items()}
    arrays |= {"fused": fused, "logits": logits, "weight": model.fusion.weight.detach()}
    arrays |= {f"logits.{m}": model({**zero, m: x[m]})[2] for m in means}
    arrays |= {"alone.sound": alone(x)[1]}
arrays = {name: value.numpy().astype("f2") for name, value in arrays.items()}
labels = y.numpy().astype("i1")
split = (np.arange(400) % 2).astype("i1")
np.savez_compressed(to / "collapsed.npz", **arrays, labels=labels, split=split)

# The numbers again, by other means. Halves for the pool's weights are made by place; the program draws them.
arrays = {name: value.astype("f8") for name, value in arrays.items()}
fit, evaluate = split == 0, split == 1


def probe(name, penalty, rows, asked):
    """Logits, up to a constant a sample, of a probe fitted to `rows`."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000))
    return probe.fit(arrays[name][rows], labels[rows]).predict_log_proba(arrays[name][asked])


def loss(z, y):
    return float(np.mean(logsumexp(z, axis=1) - z[np.arange(len(y)), y]))


def crossed(name, penalty):
    """Logits of the samples that fit, each by the probe without its half."""
    rows = np.flatnonzero(fit)
    halves = [rows[0::2], rows[1::2]]
    z = np.zeros((400, CLASSES))
    for own, other in [(0, 1), (1, 0)]:
        z[halves[other]] = probe(name, penalty, halves[own], halves[other])
    return z[fit]


def pooled(opinions, y):
    """Weights of opinions and an offset of each class; offsets are held back by a tenth of a sample."""
    held = lambda w: 0.05 / len(y) * float(w[len(opinions) :] @ w[len(opinions) :])
    start = np.r_[1.0, np.zeros(len(opinions) - 1 + CLASSES)]
    return minimize(lambda w: loss(pool(w, opinions), y) + held(w), start, tol=1e-12).x


def pool(w, opinions):
    return sum(w[i] * z for i, z in enumerate(opinions)) + w[len(opinions) :]


expected = {"probes": []}
for name in ["embedding.image", "embedding.sound", "fused"]:
    for penalty in [1.0, 10.0, 1000.0]:
        z = probe(name, penalty, fit, evaluate)
        expected["probes"].append({"name": name, "penalty": penalty, "loss": loss(z, labels[evaluate])})
prior = np.log(np.bincount(labels[fit]) / fit.sum())
expected["pairs"] = []
for name in ["image", "sound"]:
    a, b = crossed("fused", 10.0), crossed(f"embedding.{name}", 10.0)
    y_fit = labels[fit]
    one, two = pooled([a], y_fit), pooled([a, b - prior], y_fit)
    own = minimize(lambda w: loss(w[0] * b, y_fit), [1.0], tol=1e-12).x
    a_, b_ = probe("fused", 10.0, fit, evaluate), probe(f"embedding.{name}", 10.0, fit, evaluate)
    y_ = labels[evaluate]
    expected["pairs"].append(
        {
            "name": name,
            "gain": loss(pool(one, [a_]), y_) - loss(pool(two, [a_, b_ - prior]), y_),
            "information": loss(np.tile(prior, (len(y_), 1)), y_) - loss(own[0] * b_, y_),
        }
    )


def cka(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    return float(np.linalg.norm(x.T @ y) ** 2 / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y))


f = arrays["fused"][evaluate]
sigma = np.linalg.svd(f - f.mean(0), compute_uv=False)
p = sigma[sigma > 1e-12] / sigma.sum()
expected["effective_rank"] = float(np.exp(-(p * np.log(p)).sum()))
expected["cka"] = {m: cka(f, arrays[f"embedding.{m}"][evaluate]) for m in means}
cosines = (f * arrays["alone.sound"][evaluate]).sum(1) / (
    np.linalg.norm(f, axis=1) * np.linalg.norm(arrays["alone.sound"][evaluate], axis=1)
)
expected["cosine_sound"] = float(np.nanmean(cosines))
size = np.abs(np.concatenate([arrays["embedding.image"], arrays["embedding.sound"]], 1)[evaluate]).mean(0)
attribution = np.abs(arrays["weight"]) * size
by = np.stack([attribution[:, :WIDTH].sum(1), attribution[:, WIDTH:].sum(1)], 1)
expected["weights"] = (by / by.sum(1, keepdims=True)).mean(0).tolist()
right = lambda name: float((arrays[name][evaluate].argmax(1) == labels[evaluate]).mean())
whole, image, sound = right("logits"), right("logits.image"), right("logits.sound")
none = float((labels[evaluate] == prior.argmax()).mean())
expected["shapley"] = {
    "image": 0.5 * (image - none) + 0.5 * (whole - sound),
    "sound": 0.5 * (sound - none) + 0.5 * (whole - image),
}
(to / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
print(json.dumps(expected, indent=1))
print("accuracy", whole, image, sound)
